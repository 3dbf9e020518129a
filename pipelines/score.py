"""Stage score: every open lead at one date, ranked, tiered and with reasons."""

from __future__ import annotations

import json
import logging
from typing import Any

import pandas as pd

from features.errors import DataError, ParamsError
from features.fit import attributes_as_of, count_unseen
from features.snapshots import at_risk, one_per_lead
from features.spec import SnapshotParams
from models.scorer import Scorer
from models.tier_lists import list_figures, tier_columns
from pipelines.artifacts import Layout
from pipelines.bundle import load_bundle
from pipelines.params import Params
from pipelines.sinks import write_csv, write_json, write_parquet
from pipelines.store import Contract, read_matrix
from pipelines.tiering import facts_of, tiers_in_place

log = logging.getLogger("leadscore")
COLUMNS = ["lead_id", "as_of", "probability", "score", "fit", "engagement", "grade", "tier", "stage", "tier_reason",
           "previous_tier", "reasons_text", "reasons", "online", "offline", "other_engagement", "negative", "points",
           "base_points", "raw_score", "model_id", "data_fingerprint"]  # fmt: skip


def score_leads(params: Params, layout: Layout) -> pd.DataFrame:
    """Write scores.parquet, scores.csv and score_summary.json.

    Returns
    -------
    DataFrame
        One row an open lead, best first.
    """
    contract = Contract.open(layout, params.project)
    scorer = load_bundle(layout.bundle, params.project.threads)
    snapshots, who = open_leads(contract, scorer.card.snapshots, params, layout)
    as_of = snapshots["snapshot_at"].max()
    matrix = pd.concat(contract.matrix(snapshots, scorer.card.matrix), ignore_index=True)
    scored = scorer.score(matrix, params.score.reasons)
    card = scorer.card
    facts = facts_of(scored[["lead_id"]].merge(snapshots, "left", "lead_id"), contract, card.matrix, card.tiers)
    previous = tiers_in_place(layout, as_of, scorer.model_id)
    tiers = tier_columns(scored, card.tiers, card.capacity, scale=card.points, facts=facts, previous=previous)
    scored = scored.assign(
        as_of=pd.Series(as_of, index=scored.index, dtype="datetime64[us]"),
        **tiers,
        model_id=scorer.model_id,
        data_fingerprint=contract.profile["fingerprint"],
    )[COLUMNS]
    summary = _summary(scored, contract, snapshots, scorer, who)
    summary |= list_figures(scored, card.tiers, card.capacity, facts, params.evaluate.confidence)
    write_scores(scored, summary, layout)
    for name, n in summary["unseen"].items():
        log.warning("score: %s: %s leads have a rare or new value, which counts as other", name, f"{n:,}")
    return scored


def write_scores(scored: pd.DataFrame, summary: dict[str, Any], layout: Layout) -> None:
    """Write scores.parquet, scores.csv and score_summary.json, whoever gave the scores."""
    write_parquet(scored, layout.scores.path)
    sheet = scored.assign(reasons_text=scored["reasons"].map(_points_last)).drop(columns="reasons")
    write_csv(sheet, layout.scores_csv.path)
    write_json(summary, layout.score_summary.path)
    tiers = ", ".join(f"{name} {n:,}" for name, n in summary["tiers"].items())
    log.info("score: %s %s (%s)", f"{len(scored):,}", summary["who"], tiers)
    for name, full in summary["overfull"].items():
        log.warning("score: triggers give %s %s leads for %s places; all stay", name, full["triggered"], full["places"])


def open_leads(
    contract: Contract, population: SnapshotParams | None, params: Params, layout: Layout
) -> tuple[pd.DataFrame, str]:
    """Return the leads to score (lead_id, snapshot_at) and what they are.

    `population` says how old a lead may be; it is None for tables without dates. With dates: those open at
    `score.as_of`. Without: those whose outcome is not known; where all are known, the held-out leads stand in, so that
    the list can still be looked at.
    """
    if population is None:
        known = contract.outcomes.loc[contract.outcomes["converted"].notna(), "lead_id"]
        unknown = contract.leads[~contract.leads["lead_id"].isin(known)]
        if len(unknown):
            return one_per_lead(unknown), "leads without an outcome"
        matrix, _ = read_matrix(layout)
        held_out = matrix.loc[matrix["part"] == "test", "lead_id"]
        rows = contract.leads[contract.leads["lead_id"].isin(held_out)]
        return one_per_lead(rows), "held-out leads, as none is without an outcome"
    as_of = scoring_day(params, contract)
    rows = at_risk(contract.leads, contract.outcomes, pd.DatetimeIndex([as_of]).as_unit("us"), population)
    if rows.empty:
        raise DataError(
            "leads",
            "created_at",
            found=f"no lead open on {as_of:%Y-%m-%d}",
            expected=f"leads at most {population.max_age_days} days old that have not closed",
            fix="Choose another score.as_of or a larger snapshots.max_age_days.",
        )
    return rows, f"leads open on {as_of:%Y-%m-%d}"


def _points_last(reasons: str) -> str:
    """Write reasons with their points behind: a cell that begins with a sign is a formula to a spreadsheet."""
    parts = [reason["text"].split(" ", 1) for reason in json.loads(reasons)]
    return "; ".join(f"{phrase} ({points})" for points, phrase in parts)


def scoring_day(params: Params, contract: Contract) -> pd.Timestamp:
    """Return the midnight to stand at."""
    if params.score.as_of == "latest":
        return contract.data_until.floor("D") + pd.Timedelta(days=1)
    return pd.Timestamp(params.score.as_of).as_unit("us")


def one_lead(lead_id: str, contract: Contract, params: Params, layout: Layout) -> pd.DataFrame:
    """Return one lead at the scoring day, open or not: lead_id, snapshot_at (NaT for tables without dates).

    Raises
    ------
    ParamsError
        Where no lead has this id, or it was not there yet on that day.
    """
    lead = contract.leads[contract.leads["lead_id"] == lead_id]
    if lead.empty:
        raise ParamsError(
            f"no lead {lead_id!r} among the {len(contract.leads):,} of {layout.leads.path}; write its id as it stands "
            "there"
        )
    if params.source.order != "dates":
        return one_per_lead(lead)[["lead_id", "snapshot_at"]]
    at, created = scoring_day(params, contract), lead["created_at"].iloc[0]
    if created >= at:
        raise ParamsError(
            f"lead {lead_id!r} was created on {created:%Y-%m-%d}, so there is nothing to explain at the start of "
            f"{at:%Y-%m-%d}; give a later --as-of"
        )
    return pd.DataFrame({"lead_id": [lead_id], "snapshot_at": pd.Series([at], dtype="datetime64[us]")})


def _summary(
    scored: pd.DataFrame, contract: Contract, snapshots: pd.DataFrame, scorer: Scorer, who: str
) -> dict[str, Any]:
    attributes = scorer.card.matrix.attributes
    frame = attributes_as_of(snapshots, contract.leads, contract.history, attributes)
    by_tier = scored.groupby("tier")["probability"]
    as_of = scored["as_of"].iloc[0]
    return {
        "who": who,
        "as_of": None if pd.isna(as_of) else as_of.date().isoformat(),
        "n": len(scored),
        "expected_conversions": {name: float(by_tier.get_group(name).sum()) for name in by_tier.groups},
        "lowest_score": {name: int(scored.loc[scored["tier"] == name, "score"].min()) for name in by_tier.groups},
        "unseen": count_unseen(frame, attributes, scorer.card.matrix.vocabulary),
        "model_id": scorer.model_id,
        "data_fingerprint": contract.profile["fingerprint"],
    }
