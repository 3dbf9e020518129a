"""Compare two models on the leads of one day; nothing is published or delivered."""

from __future__ import annotations

import logging
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from features.schema.errors import ModelError
from features.schema.spec import Spec
from models.promotion.run_comparison import ScoreComparison, scores_side_by_side
from models.scoring.scorer import Scorer
from pipelines.config.params import Params
from pipelines.scoring.fresh_list import stand_fresh
from pipelines.scoring.population import open_leads
from pipelines.scoring.score_list import rank_leads
from pipelines.scoring.shards import read_part, score_shards
from pipelines.storage.bundle import check_fits
from pipelines.storage.contract_store import Contract
from pipelines.storage.files import write_csv
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
SIDES = ("champion", "challenger")
MOVERS = 20  # leads shown whose scores differ most; shadow.csv has all


class TopLeads(Spec):
    """The share of the champion's `n` best leads that are among the challenger's."""

    n: int
    overlap: float


class Mover(Spec):
    """A lead as both models score it; `moved` is the difference of its scores."""

    lead_id: str
    score_champion: int
    points_champion: float
    tier_champion: str
    reasons_text_champion: str
    score_challenger: int
    points_challenger: float
    tier_challenger: str
    reasons_text_challenger: str
    moved: int


class ShadowResult(ScoreComparison):
    """shadow.json: champion (A) and challenger (B) on the leads of one day.

    Attributes
    ----------
    who
        Which leads were scored, in words.
    movers
        The leads whose scores differ most.
    """

    format: Literal[1] = 1
    who: str
    model_ids: dict[str, str]
    top: TopLeads
    movers: list[Mover]


def shadow(run: RunContext, champion: Scorer, challenger: Scorer, folder: Path) -> ShadowResult:
    """Score the leads that are open at `score.as_of` with both models; write shadow.json and shadow.csv.

    Raises
    ------
    ModelError
        Where a model does not fit the data, or both are one model.
    """
    if champion.model_id == challenger.model_id:
        raise ModelError(f"champion and challenger are one model, {champion.model_id}; train a challenger first")
    with closing(Contract.open(run.layout, run.params.project)) as contract:
        snapshots, who = open_leads(contract, champion.metadata.snapshots, run)
        lists = []
        for scorer in (champion, challenger):
            check_fits(scorer, contract)
            fresh = stand_fresh(scorer, contract, snapshots["snapshot_at"].max(), run.params)
            lists.append(_scored(fresh, snapshots, contract, run.params))
    n_top = min(run.params.capacity.per_period, len(lists[0]))
    both = lists[0].merge(lists[1], on="lead_id", suffixes=("_champion", "_challenger"))
    both = both.assign(moved=both["score_challenger"] - both["score_champion"])
    ordered = both.reindex(both["moved"].abs().sort_values(ascending=False, kind="stable").index).reset_index(drop=True)
    result = ShadowResult(
        **dict(scores_side_by_side(lists[0], lists[1])),
        who=who,
        model_ids={side: one.model_id for side, one in zip(SIDES, (champion, challenger), strict=True)},
        top=TopLeads(n=n_top, overlap=_overlap(lists[0], lists[1], n_top)),
        movers=[Mover.model_validate(row) for row in ordered.head(MOVERS)[list(Mover.model_fields)].to_dict("records")],
    )
    write_result(result, folder / "shadow.json")
    write_csv(ordered, folder / "shadow.csv")
    log.info("shadow: %s", _line(result))
    return result


def _scored(scorer: Scorer, snapshots: pd.DataFrame, contract: Contract, params: Params) -> pd.DataFrame:
    """Return a model's list, best first, with its reasons; computed in a temporary folder."""
    with tempfile.TemporaryDirectory() as work:
        parts = list(score_shards(contract, scorer, params.tiers, snapshots, params.score.reasons, Path(work)))
        listed = rank_leads(parts, scorer, snapshots, contract, None, params)
        why = pa.concat_tables(read_part(part, ["lead_id", "reasons_text"]) for part in parts).to_pandas()
    shown = listed.leads[["lead_id", "score", "points", "tier"]].merge(why, "left", "lead_id")
    return shown.assign(as_of=listed.as_of)


def _overlap(champion: pd.DataFrame, challenger: pd.DataFrame, n_top: int) -> float:
    best = [set(one["lead_id"].head(n_top)) for one in (champion, challenger)]
    return len(best[0] & best[1]) / n_top


def shown(result: ShadowResult) -> RenderableType:
    """Lay out the disagreement for a terminal; what comes from data is never markup."""
    table = Table("lead", "score", "tier", "why by the challenger", box=None, pad_edge=False)
    for one in result.movers:
        score = f"{one.score_champion} > {one.score_challenger}"
        tier = f"{one.tier_champion} > {one.tier_challenger}"
        table.add_row(*(Text(cell) for cell in (one.lead_id, score, tier, one.reasons_text_challenger)))
    return Group(Text(_line(result)), table)


def _line(result: ShadowResult) -> str:
    alike, top = result.rank_correlation, result.top
    return (
        f"{result.n:,} {result.who}: rank correlation {'not defined' if alike is None else f'{alike:.3f}'}, "
        f"{result.tier_changed:,} in another tier, {top.overlap:.0%} of the best {top.n:,} the same, "
        f"{result.mean_difference:+.1f} points on average, {result.mean_absolute_difference:.1f} absolute"
    )
