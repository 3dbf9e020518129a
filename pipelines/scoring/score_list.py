"""Stage score: every open lead at one date, ranked, tiered and with reasons.

Phase one scores leads a shard at a time, and no score of a lead depends on another lead. Phase two reads a few columns
of the complete list, ranks it, puts each lead into a tier and streams the rows in that order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from features.cohort.moments import moment_text
from features.schema.errors import NoOpenLeadsError
from models.lists.overrides import in_force, override_tiers
from models.scoring.scorer import Scorer
from models.tiers.assignment import TierContext, working_rank
from models.tiers.results import ListSummary
from models.tiers.score_lists import best_first, list_summary, lowest_scores, tier_columns
from models.tiers.tier_rules import EXCLUDED, REASON, TierFacts
from pipelines.config.params import Params
from pipelines.revenue.deal_values import REVENUE, DealValues, rank_value
from pipelines.scoring.population import scoring_day
from pipelines.scoring.score_summary import ExpectedRevenue, ScoreSummary
from pipelines.scoring.shards import SCORE_COLUMNS, read_facts, read_part
from pipelines.scoring.tier_inputs import exploration_quota, read_previous_tiers, warn_of_types
from pipelines.storage.contract_store import Contract, Display
from pipelines.storage.files import ROW_GROUP, csv_sheet, write_json, write_parquet
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
SCORES = pa.schema(
    {
        "lead_id": pa.string(),
        "as_of": pa.timestamp("us"),
        "probability": pa.float64(),
        "score": pa.int64(),
        "fit": pa.float64(),
        "engagement": pa.float64(),
        "grade": pa.string(),
        "tier": pa.string(),
        "stage": pa.string(),
        "tier_reason": pa.string(),
        "previous_tier": pa.string(),
        "earned_tier": pa.string(),
        "explored": pa.string(),
        "propensity": pa.float64(),
        "reasons_text": pa.string(),
        "reasons": pa.string(),
        "online": pa.float64(),
        "offline": pa.float64(),
        "other_engagement": pa.float64(),
        "negative": pa.float64(),
        "points": pa.float64(),
        "base_points": pa.float64(),
        "raw_score": pa.float64(),
        "model_id": pa.string(),
        "data_fingerprint": pa.string(),
    }
)
COLUMNS = SCORES.names
MONEY = pa.schema([(name, pa.float64()) for name in REVENUE])  # behind SCORES, with `money.deal_value`
MEANING = {  # of each column, for the reference
    "lead_id": "the lead",
    "as_of": "the day, or the moment (UTC), the lead was scored for; empty without dates",
    "probability": "to convert within the horizon; empty where the rules alone score",
    "score": "`points` as whole points from 0 to 100",
    "fit": "points for what the lead is",
    "engagement": "points for what the lead did and did not do",
    "grade": "fit A to D by engagement 1 to 4; empty where the rules alone score",
    "tier": "of `tiers.ladder`, or excluded",
    "stage": "the lifecycle stage that the tier maps to",
    "tier_reason": "the trigger, exclusion or person that put the lead there; empty where its score did",
    "previous_tier": "on the previous score list; empty without one",
    "earned_tier": "the tier before exploration and overrides; else `tier`",
    "explored": "yes where exploration drew the lead at random into the best tier, else no",
    "propensity": "chance with which the lead came into the best tier; copy it into the contact log",
    "reasons_text": "why, in words, strongest first, each with its points behind",
    "reasons": "the same as JSON: theme, group, points, feature, value and text of each; in the Parquet file alone",
    "online": "the part of engagement that happened online",
    "offline": "the part of engagement that happened offline",
    "other_engagement": "the part of engagement that has no channel of its own",
    "negative": "what all themes that count against the lead take away",
    "points": "base_points + fit + engagement, before the score is cut at 0 and 100",
    "base_points": "points of every lead before any feature",
    "raw_score": "calibrated log-odds; empty where the rules alone score",
    "model_id": "digest of the model",
    "data_fingerprint": "digest of the data that was scored",
    "deal_value": "what the deal brings if it is won, on average; as the next six, with `money.deal_value` alone",
    "deal_value_low": "below it lies little of what won deals like it bring",
    "deal_value_high": "above it lies little of what won deals like it bring",
    "expected_revenue": "probability times deal_value",
    "expected_revenue_low": "probability times deal_value_low",
    "expected_revenue_high": "probability times deal_value_high",
    "revenue_per_hour": "expected_revenue over the hours of work on the lead",
}
RANKING = ["lead_id", "probability", "points", "score"]  # what phase two reads of every lead at once
TIER = ["tier", "stage", "tier_reason", "previous_tier", "earned_tier", "explored", "propensity"]  # what it adds


@dataclass(frozen=True)
class RankedList:
    """The complete score list in its order, by few columns.

    Attributes
    ----------
    leads
        RANKING and TIER, and REVENUE where there is money; best first, ties broken by lead_id.
    order
        Of each of them, the row in the concatenated shards.
    metrics
        Tier sizes and what capacity buys.
    as_of
        The scoring day; NaT for tables without dates.
    intercept
        That all leads share.
    revenue
        Of the leads that capacity reaches; None without money.
    """

    leads: pd.DataFrame
    order: np.ndarray
    metrics: ListSummary
    as_of: pd.Timestamp
    model_id: str
    fingerprint: str
    intercept: float
    revenue: ExpectedRevenue | None = None

    @property
    def schema(self) -> pa.Schema:
        """SCORES, and MONEY where there is money."""
        return SCORES if self.revenue is None else pa.schema([*SCORES, *MONEY])

    @property
    def day(self) -> str | None:
        """The scoring day, or moment, in ISO format; None for tables without dates."""
        return None if pd.isna(self.as_of) else moment_text(self.as_of)


def write_scores(rows: pa.RecordBatchReader, summary: ScoreSummary, run: RunContext) -> None:
    """Write scores.parquet, scores.csv and score_summary.json; `rows` as SCORES, best first."""
    layout = run.layout
    display = Display.read_mapped(layout, run.params.source.leads)

    def then_no_summary() -> Iterator[pa.RecordBatch]:
        """Once all rows are staged, the old summary goes: a kill from here on leaves no list beside another's."""
        yield from rows
        layout.score_summary.path.unlink(missing_ok=True)

    staged = pa.RecordBatchReader.from_batches(rows.schema, then_no_summary())
    write_rows(staged, layout.scores.path, layout.scores_csv.path, display)
    write_json(summary.model_dump(), layout.score_summary.path)
    _log_list(summary)


def write_no_list(
    error: NoOpenLeadsError, contract: Contract, run: RunContext, tiers: Sequence[str], model_id: str
) -> None:
    """Write the same files without a lead, where none is open at the end of the data.

    Raises
    ------
    NoOpenLeadsError
        The same error, where `score.as_of` asks for a day: another one may have open leads.
    """
    if run.params.score.as_of != "latest":
        raise error
    day = moment_text(scoring_day(run.params, contract))
    summary = ScoreSummary.of_nobody(str(error), day, tiers, model_id, contract.profile.fingerprint)
    nobody = pa.RecordBatch.from_pylist([], SCORES)
    write_scores(pa.RecordBatchReader.from_batches(SCORES, [nobody]), summary, run)
    log.warning("score: there is no list: %s", error)


def write_rows(rows: pa.RecordBatchReader, scores: Path, sheet: Path, display: Display) -> None:
    """Write a list as Parquet, and as CSV for people: with what they are shown of leads, without the reasons' JSON.

    `rows` as SCORES, and MONEY where there is money, best first.
    """
    with csv_sheet(sheet) as add:

        def both() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                add(display.beside(batch.drop_columns(["reasons"]).to_pandas()))
                yield batch

        write_parquet(pa.RecordBatchReader.from_batches(rows.schema, both()), scores)


def _log_list(summary: ScoreSummary) -> None:
    """Log how many leads were scored, and values that the model does not know."""
    tiers = ", ".join(f"{name} {n:,}" for name, n in summary.tiers.items())
    log.info("score: %s %s (%s)", f"{summary.n:,}", summary.who, tiers)
    for name, n in summary.unseen.items():
        log.warning("score: %s: %s leads have a rare or new value, which counts as other", name, f"{n:,}")
    for line in summary.warnings:
        log.warning("score: %s", line)
    if summary.revenue is not None:
        log.info("score: %s", summary.revenue.sentence)
    if summary.explored:
        log.warning("score: %s leads are drawn at random from lower tiers (exploration.share)", summary.explored)
    if summary.overridden:
        log.info("score: leads in a tier that a person gave them: %s", f"{summary.overridden:,}")
    if summary.by_fixed_scores:
        log.warning("score: capacity is larger than the list, so tiers follow the fixed scores of tiers.ladder")
    for name, full in summary.overfull.items():
        log.warning("score: triggers give %s %s leads, capacity is %s; all stay", name, full.triggered, full.capacity)


# Phase two


def rank_leads(
    parts: Sequence[Path],
    scorer: Scorer,
    snapshots: pd.DataFrame,
    contract: Contract,
    previous_scores: Path | None,
    params: Params,
    overrides: pd.DataFrame | None = None,
) -> RankedList:
    """Rank all scored leads and put them into tiers.

    Parameters
    ----------
    parts
        What `score_shards` wrote.
    snapshots
        The leads that were scored: lead_id, snapshot_at.
    previous_scores
        The previous score list, whose tiers leads keep within the margin.
    overrides
        What people gave, see `read_overrides`; None: nothing.
    params
        Of them the policy (`tiers`, `capacity`, `exploration` and its seed), and the confidence of the interval of what
        capacity buys.
    """
    scored = pa.concat_tables(read_part(part, RANKING) for part in parts).to_pandas()
    metadata, as_of = scorer.metadata, snapshots["snapshot_at"].max()
    warn_of_types(contract, params.tiers)
    facts = read_facts(parts, params.tiers)
    deals = DealValues.learn(contract, metadata.matrix, params.money, as_of)
    if deals is not None:
        moments = scored[["lead_id"]].merge(snapshots[["lead_id", "snapshot_at"]], "left", "lead_id")
        confidence = params.evaluate.confidence
        scored = rank_value(scored.join(deals.columns(scored["probability"], moments, confidence)), params.money)
        facts = replace(facts, deal_value=facts.deal_value.fillna(scored["deal_value"]))
    previous = None if previous_scores is None else read_previous_tiers(previous_scores, as_of, scorer.model_id)
    quota = exploration_quota(as_of, metadata, params)
    context = TierContext(params.tiers, params.capacity.per_period, metadata.points, facts, previous)
    tiers = tier_columns(scored, context, quota)
    if overrides is not None:
        stages = {one.name: one.stage for one in params.tiers.ladder}
        tiers = override_tiers(scored, tiers, in_force(overrides, as_of), stages)
    leads = scored.assign(**tiers)
    metrics = list_summary(leads, params.tiers, params.capacity.per_period, facts, params.evaluate.confidence)
    order = best_first(leads)
    ranked = leads.iloc[order].reset_index(drop=True)
    fingerprint = contract.profile.fingerprint
    listed = RankedList(ranked, order, metrics, as_of, scorer.model_id, fingerprint, scorer.sigmoid.intercept)
    if deals is None:
        return listed
    return replace(listed, revenue=_expected_revenue(leads, moments, deals, facts, params))


def _expected_revenue(
    leads: pd.DataFrame, moments: pd.DataFrame, deals: DealValues, facts: TierFacts, params: Params
) -> ExpectedRevenue:
    """Return what the leads that capacity reaches are expected to bring."""
    first = (leads["explored"] == "yes") | leads["tier_reason"].str.startswith(REASON)
    reached = (working_rank(leads, leads["tier"], params.tiers, facts, first) < params.capacity.per_period).to_numpy()
    chance = leads["probability"].to_numpy("float64")[reached]
    total = deals.total(chance, moments[reached], params.evaluate.confidence, params.project.seed)
    return ExpectedRevenue(value=total.value, low=total.low, high=total.high)


def ranked_rows(parts: Sequence[Path], listed: RankedList) -> pa.RecordBatchReader:
    """Stream the scored rows in the order of the list, as `listed.schema`.

    `parts` is what `score_shards` wrote: it is read from a memory map, so that the list is never completely in memory.
    """
    ends = np.cumsum([len(read_part(part, ["lead_id"])) for part in parts])
    day = None if pd.isna(listed.as_of) else listed.as_of.to_pydatetime()
    same = {"as_of": day, "model_id": listed.model_id, "data_fingerprint": listed.fingerprint}

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(listed.order), ROW_GROUP):
            rows = slice(start, start + ROW_GROUP)
            taken = rows_of(parts, ends, listed.order[rows])
            added = TIER if listed.revenue is None else [*TIER, *REVENUE]
            tiers = pa.Table.from_pandas(listed.leads[added].iloc[rows], preserve_index=False)
            columns = {name: one[name] for one in (taken, tiers) for name in one.column_names}
            columns |= {name: pa.array([value] * len(taken)) for name, value in same.items()}
            table = pa.table({name: columns[name] for name in listed.schema.names}).cast(listed.schema)
            yield from table.combine_chunks().to_batches()

    return pa.RecordBatchReader.from_batches(listed.schema, batches())


def rows_of(parts: Sequence[Path], ends: np.ndarray, rows: np.ndarray) -> pa.Table:
    """Take SCORE_COLUMNS of some rows, in their order, counted over parts that end at `ends`.

    Part by part, as taking across all of them would first put them together in memory.
    """
    order = np.argsort(rows)
    cuts = np.searchsorted(rows[order], [0, *ends])
    pieces = [
        read_part(part, SCORE_COLUMNS).take(pa.array(rows[order[cuts[n] : cuts[n + 1]]] - (ends[n - 1] if n else 0)))
        for n, part in enumerate(parts)
    ]
    return pa.concat_tables(pieces).combine_chunks().take(pa.array(np.argsort(order)))


def summarise(
    listed: RankedList, who: str, unseen: Mapping[str, int], closed: Mapping[str, dict[str, int]]
) -> ScoreSummary:
    """Summarise a list of leads described as `who`; `unseen` and `closed` as in `ScoreSummary`."""
    leads = listed.leads
    by_tier = leads.groupby("tier")["probability"]
    return ScoreSummary(
        as_of=listed.day,
        intercept=listed.intercept,
        n=len(leads),
        who=who,
        expected_conversions={str(name): float(by_tier.get_group(name).sum()) for name in by_tier.groups},
        lowest_score=lowest_scores(leads, [name for name in listed.metrics.tiers if name != EXCLUDED]),
        unseen=dict(unseen),
        closed=dict(closed),
        revenue=listed.revenue,
        model_id=listed.model_id,
        data_fingerprint=listed.fingerprint,
        **dict(listed.metrics),
    )
