"""Stage kpis: KPIs by tier and period, days to conversion, and calibration by tier."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from features.schema.errors import DataError, ParamsError
from models.evaluation.list_coverage import ListCoverage
from models.evaluation.metrics import segment_levels
from models.evaluation.results import EvaluationResult
from models.kpis.calibration_check import AGE_OF_LEAD, AGE_OF_MODEL, Lists, ages, compare_rates, volumes
from models.kpis.lifecycle import ordered, qualified_growth, stage_facts, stages_misfit, times_in_stage
from models.kpis.results import (
    KpiResult,
    KpiVerdict,
    ListSpan,
    ListVolume,
    RateComparison,
    SalesCycles,
    TierMetrics,
    Velocity,
)
from models.kpis.summary import answered, caught, lines, sent
from models.kpis.tier_kpis import as_listed, first_lists, known, of_leads, tier_metrics, winners, within
from models.kpis.velocity import cycle_days, cycles_by, sales_cycle, time_to_conversion
from models.points.scale import score, score_of
from models.scoring.rule_scorer import rule_tiers, rules_id
from models.scoring.scorer import ModelMetadata
from models.splitting.holdout import tested_rows
from models.tiers.assignment import TierContext
from models.tiers.capacity import sampled_capacity
from models.tiers.declarations import TierParams
from models.tiers.score_lists import assign_in_order
from models.tiers.tier_rules import EXCLUDED
from pipelines.config.params import Params
from pipelines.lists.response import response
from pipelines.revenue.list_revenue import money_tiers, write_revenue
from pipelines.scoring.list_coverage import closes_until, intervals, list_coverage
from pipelines.scoring.rule_scoring import tier_names
from pipelines.scoring.tier_inputs import tier_facts
from pipelines.storage.bundle import load_trained
from pipelines.storage.contract_store import Contract, read_matrix
from pipelines.storage.layout import Layout
from pipelines.storage.results import Provenance, read_result, read_snapshot_counts, write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
UNDATED = "the data carry no dates"
NO_PREDICTIONS = "hand-written rules give points and predict no probability; a model would"


@dataclass(frozen=True)
class KpiInputs:
    """What the contract's tables hold on leads, and what they lack.

    Attributes
    ----------
    entries
        Into lifecycle stages, as from `lifecycle.ordered`.
    touched_at
        When sales first touched a lead, by lead_id.
    missing
        Why a part is not available, by part.
    """

    contract: Contract
    entries: pd.DataFrame
    touched_at: pd.Series[pd.Timestamp]
    missing: dict[str, str]
    params: Params

    @classmethod
    def read(cls, run: RunContext) -> KpiInputs:
        """Read them; raises DataError where ingest has not run."""
        contract, stages = Contract.open(run.layout, run.params.project), pd.read_parquet(run.layout.stages.path)
        if run.params.source.order != "dates":
            parts = ("periods", "engagement", "stages", "velocity", "sales cycle")
            return cls(contract, stages, pd.Series(dtype="datetime64[us]"), dict.fromkeys(parts, UNDATED), run.params)
        entries = ordered(stages, run.params.kpis, contract.data_until)
        touched_at = _touches(contract, entries, run.params)
        reasons = {
            "engagement": "" if run.params.source.events else "the data hold no events",
            "stages": stages_misfit(stages["stage"].unique().tolist(), run.params.kpis),
            "sales cycle": "" if len(touched_at) else "no event and no stage shows when sales touched a lead",
        }
        return cls(contract, entries, touched_at, {part: why for part, why in reasons.items() if why}, run.params)

    @property
    def closes_until(self) -> pd.Timestamp:
        """The last moment by which a won or lost deal would be known."""
        return closes_until(self.contract, self.params)


def measure_kpis(run: RunContext) -> KpiResult:
    """Write kpis.json: the later period's lists as the model would have given them, and the outcomes of the leads.

    Raises
    ------
    DataError
        Where an earlier stage has not run.
    ModelError
        Where the predictions come from another model than the one that scores, or an artifact from other data.
    """
    metadata, evaluated, rows, sampled = _predicted(run)
    inputs = KpiInputs.read(run)
    facts = tier_facts(rows, inputs.contract, metadata.matrix, run.params.tiers)
    capacity = sampled_capacity(run.params.capacity.per_period, sampled)
    rows = rows.assign(tier=money_tiers(rows, facts, metadata, capacity, inputs.contract, run.params))
    listed = as_listed(rows.assign(by_rule=facts.held.any(axis=1)), run.params.kpis)
    lists = Lists(listed, run.params.tiers, metadata.points)
    compared = compare_rates(
        lists, _segments(listed, metadata, inputs), run.params.evaluate.confidence, run.params.kpis
    )
    volume = volumes(lists, capacity, run.params.kpis)
    tiering = Tiering("model", evaluated.model_id, sampled, compared, volume, evaluated.coverage)
    figures = _figures(listed, _stages(run.params.tiers), inputs, tiering)
    revenue = write_revenue(rows, facts, metadata.matrix, capacity, inputs.contract, run)
    figures = figures.model_copy(update={"revenue": revenue})
    return _write(_answered(figures, listed, inputs, run), run)


def _segments(listed: pd.DataFrame, metadata: ModelMetadata, inputs: KpiInputs) -> pd.DataFrame:
    """Name the segments of each row of the lists, and with dates the age of lead and model when the list was made."""
    segments = segment_levels(listed, metadata.matrix.catalogue, inputs.params.evaluate)
    if metadata.trained_until is None:
        return segments
    created = of_leads(listed["lead_id"], inputs.contract.leads.set_index("lead_id")["created_at"])
    trained = pd.Series(pd.Timestamp(metadata.trained_until), index=listed.index)
    return segments.join(ages(listed["snapshot_at"], {AGE_OF_LEAD: created, AGE_OF_MODEL: trained}))


def measure_kpis_by_rules(run: RunContext) -> KpiResult:
    """Write kpis.json without a model: outcomes of the leads of every list, in tiers by the hand-written rules.

    Rules are not learned from outcomes, so all matured lists count, not only the later period.

    Returns
    -------
    KpiResult
        Without predictions, and so no answer whether tiers are too generous.

    Raises
    ------
    DataError
        Where a stage that it reads from has not run.
    ParamsError
        Where there are no rules.
    """
    if not run.params.rules.names:
        raise ParamsError("`rules` in the params names no rule, so there are no tiers by rules; write some there")
    run.layout.revenue_by_owner.path.unlink(missing_ok=True)  # of a run with a model
    matrix, spec = read_matrix(run.layout)
    sampled = _sampled(run.layout)
    capacity = sampled_capacity(run.params.capacity.per_period, sampled)
    if (matrix["weight"] != 1).any():  # rows that stand for others make no lists
        matrix = tested_rows(matrix)
    points = matrix["rule_points"].to_numpy("float64")
    rows = matrix[["lead_id", "snapshot_at", "label"]].assign(points=points, score=score(points), probability=np.nan)
    inputs = KpiInputs.read(run)
    facts = tier_facts(rows, inputs.contract, spec, run.params.tiers)
    context = TierContext(run.params.tiers, capacity, facts=facts)

    def give(one: pd.DataFrame, previous: pd.Series[str] | None) -> pd.Series[str]:
        return rule_tiers(one, run.params.rules, context.of(one.index, previous))["tier"]

    listed = as_listed(rows.assign(tier=assign_in_order(rows, give)), run.params.kpis)
    mapped = {name: _stages(run.params.tiers).get(name, "") for name in tier_names(run.params)}
    coverage = list_coverage(inputs.contract, run.params, *_days(listed))
    tiering = Tiering("rules", rules_id(run.params.rules), sampled, [], [], coverage)
    result = _answered(_figures(listed, mapped, inputs, tiering), listed, inputs, run)
    return _write(result.model_copy(update={"missing": result.missing | {"predictions": NO_PREDICTIONS}}), run)


def _predicted(run: RunContext) -> tuple[ModelMetadata, EvaluationResult, pd.DataFrame, float]:
    """Return the metadata, metrics.json, the test rows with their predictions, and the share of leads sampled."""
    if not run.layout.predictions.path.is_file() or not run.layout.metrics.path.is_file():
        raise DataError(
            "predictions",
            "",
            found="no predictions of the later period",
            expected="what evaluate writes",
            fix="Run `leadscore stage evaluate` first; without a model, `leadscore stage kpis --by rules`.",
        )
    matrix, _ = read_matrix(run.layout)
    scorer = load_trained(run.layout, run.layout.tested_model, run.params.project.threads)
    evaluated = read_result(EvaluationResult, run.layout.metrics.path, "evaluate")
    made_from, bundle = Provenance(evaluated.model_id), str(run.layout.tested_model)
    made_from.require_same("predictions.parquet", Provenance(scorer.model_id), bundle, "`leadscore stage evaluate`")
    rows = tested_rows(matrix)
    predictions = pd.read_parquet(run.layout.predictions.path)
    if not rows[["lead_id", "snapshot_at"]].equals(predictions[["lead_id", "snapshot_at"]]):
        raise DataError(
            "predictions",
            "lead_id",
            found="other snapshots than the matrix has",
            expected="the test rows of the matrix",
            fix="Run `leadscore stage evaluate` again.",
        )
    probability = predictions["model"].to_numpy("float64")
    scored = rows.assign(
        probability=probability, score=score_of(probability, scorer.metadata.points), tier=predictions["tier"]
    )
    return scorer.metadata, evaluated, scored, _sampled(run.layout)


def _sampled(layout: Layout) -> float:
    return read_snapshot_counts(layout).tested_share


def _stages(tiers: TierParams) -> dict[str, str]:
    """Return the lifecycle stage of each tier, best first; excluded leads come last and have none."""
    outside = {EXCLUDED: ""} if any(one.tier == EXCLUDED for one in tiers.exclusions) else {}
    return {tier.name: tier.stage for tier in tiers.ladder} | outside


@dataclass(frozen=True)
class Tiering:
    """Who put the leads into tiers, the share sampled, what predictions were compared with, and wins on no list."""

    by: Literal["model", "rules"]
    model_id: str
    sampled: float
    comparisons: list[RateComparison]
    volumes: list[ListVolume]
    coverage: ListCoverage | None

    def lines(self, best: tuple[str, TierMetrics], params: Params) -> list[str]:
        """Say what the figures are."""
        horizon = f"within {params.snapshots.horizon_days} days of their first list"
        wins = caught(best[1].wins_caught_n, self.coverage)
        if self.by == "rules":
            unknown = "Whether tiers are too generous is unknown: hand-written rules predict no probability."
            return [unknown, *sent(best, horizon), *wins]
        return lines(self.comparisons, self.volumes, best, horizon, params.evaluate.confidence) + wins


def _figures(listed: pd.DataFrame, stages: dict[str, str], inputs: KpiInputs, tiering: Tiering) -> KpiResult:
    """Return every figure, of tiers (best first) that map to lifecycle stages."""
    params, dated = inputs.params, inputs.params.source.order == "dates"
    first, last = _days(listed)
    facts = _facts(first_lists(listed, ["tier", "period"]), stages, inputs)
    tiers = tier_metrics(listed, facts, list(stages), params.evaluate.confidence)
    return KpiResult(
        by=tiering.by,
        model_id=tiering.model_id,
        fingerprint=inputs.contract.profile.fingerprint,
        order=params.source.order,
        horizon_days=params.snapshots.horizon_days if dated else None,
        engagement_days=params.kpis.engagement_days,
        period=params.kpis.period,
        confidence=params.evaluate.confidence,
        sampled=tiering.sampled,
        lists=ListSpan(
            n=max(listed["snapshot_at"].nunique(), 1),
            rows=len(listed),
            leads=listed["lead_id"].nunique(),
            first=first,
            last=last,
        ),
        missing=inputs.missing,
        order_of_stages=params.kpis.stages,
        stages=stages,
        tiers=tiers,
        velocity=_velocity(listed, list(stages), inputs) if dated else None,
        response=None,
        coverage=tiering.coverage,
        intervals=intervals(inputs.contract, params),
        comparisons=tiering.comparisons,
        volumes=tiering.volumes,
        verdict=KpiVerdict(lines=tiering.lines((tiers[0].name, tiers[0].all), params)),
    )


def _answered(result: KpiResult, listed: pd.DataFrame, inputs: KpiInputs, run: RunContext) -> KpiResult:
    """Add how fast sales answers, in words too."""
    best, dated = result.tiers[0].name, run.params.source.order == "dates"
    found = response(listed, best, inputs.contract, run) if dated else UNDATED
    if isinstance(found, str):
        return result.model_copy(update={"missing": result.missing | {"response": found}})
    verdict = KpiVerdict(lines=[*result.verdict.lines, answered(found, best)])
    return result.model_copy(update={"response": found, "verdict": verdict})


def _days(listed: pd.DataFrame) -> tuple[str | None, str | None]:
    """Return the first and the last day of the lists; None without dates."""
    first, last = (
        None if pd.isna(day) else day.date().isoformat() for day in listed["snapshot_at"].agg(["min", "max"])
    )
    return first, last


def _facts(firsts: pd.DataFrame, stages: dict[str, str], inputs: KpiInputs) -> pd.DataFrame:
    """Add the outcomes of listed leads: engaged, accepted, fell_back, lost; missing where unknown."""
    unknown = pd.Series(np.nan, index=firsts.index)
    outcomes_of = firsts.assign(engaged=unknown, accepted=unknown, fell_back=unknown, lost=unknown)
    if inputs.params.source.order != "dates":
        return outcomes_of
    params, at, outcomes = inputs.params, firsts["snapshot_at"], inputs.contract.outcomes.set_index("lead_id")
    horizon, until = params.snapshots.horizon_days, inputs.contract.data_until
    if outcomes["lost_at"].notna().any():
        lost = within(at, of_leads(firsts["lead_id"], outcomes["lost_at"]), horizon)
        outcomes_of = outcomes_of.assign(lost=known(lost, at, horizon, inputs.closes_until))
    if "engagement" not in inputs.missing:
        engaged = known(_engaged(firsts, inputs), at, params.kpis.engagement_days, until)
        outcomes_of = outcomes_of.assign(engaged=engaged)
    if "stages" not in inputs.missing:
        reached = stage_facts(firsts, inputs.entries, stages, horizon, until, params.kpis)
        outcomes_of = outcomes_of.assign(accepted=reached["accepted"], fell_back=reached["fell_back"])
    return outcomes_of


def _engaged(firsts: pd.DataFrame, inputs: KpiInputs) -> np.ndarray:
    """Whether the lead itself did something in the days after its list, before it was won or lost, shape (n,)."""
    import ibis

    outcomes = inputs.contract.outcomes.set_index("lead_id")
    closed_at = of_leads(firsts["lead_id"], outcomes[["converted_at", "lost_at"]].min(axis=1))
    window = pd.Timedelta(days=inputs.params.kpis.engagement_days)
    ends = pd.DataFrame({"window": firsts["snapshot_at"] + window, "closed": closed_at})
    windows = firsts[["lead_id", "snapshot_at"]].assign(key=np.arange(len(firsts)), ends_at=ends.min(axis=1))
    events, begin = _known_events(inputs.contract), ibis.memtable(pa.Table.from_pandas(windows, preserve_index=False))
    both = events.filter(events.direction == "inbound").inner_join(begin, "lead_id")
    inside = both.filter(both.event_at >= both.snapshot_at, both.event_at < both.ends_at)
    keys = inside.select("key").distinct().to_pyarrow().column("key").to_numpy()
    return np.isin(windows["key"].to_numpy(), keys)


def _known_events(contract: Contract) -> Any:
    """Return the events that our systems knew of at the end of the data."""
    import ibis

    until = ibis.literal(contract.data_until.to_pydatetime())
    return contract.events.filter(contract.events.event_at <= until, contract.events.known_at <= until)


def _velocity(listed: pd.DataFrame, names: list[str], inputs: KpiInputs) -> Velocity:
    params, contract, until = inputs.params, inputs.contract, inputs.contract.data_until
    confidence, shares, outcomes = params.evaluate.confidence, params.kpis.shares, contract.outcomes
    created = contract.leads[["lead_id", "created_at"]].rename(columns={"created_at": "at"})
    entered = first_lists(listed, ["tier"]).rename(columns={"snapshot_at": "at"})
    entered = entered[entered["at"] > listed["snapshot_at"].min()]  # on the first list leads may have been in before
    staged = "stages" not in inputs.missing
    since = pd.Timestamp(contract.profile.data_from or "NaT")
    return Velocity(
        from_creation=time_to_conversion(created, outcomes, inputs.closes_until, shares, confidence),
        from_tier={
            name: time_to_conversion(
                entered[entered["tier"] == name], outcomes, inputs.closes_until, shares, confidence
            )
            for name in names
        },
        in_stage=times_in_stage(inputs.entries, outcomes, params.kpis, until, confidence) if staged else [],
        growth=qualified_growth(inputs.entries, params.kpis, since, until, confidence) if staged else [],
        sales_cycle=_cycles(listed, names, inputs) if "sales cycle" not in inputs.missing else None,
    )


def _cycles(listed: pd.DataFrame, names: list[str], inputs: KpiInputs) -> SalesCycles:
    """Return the sales cycle of all wins, by period, and by the tier that caught them."""
    kpis, confidence = inputs.params.kpis, inputs.params.evaluate.confidence
    cycles = cycle_days(inputs.touched_at, inputs.contract.outcomes, inputs.closes_until)
    caught = winners(listed, names)
    return SalesCycles(
        wins=len(cycles),
        all=sales_cycle(cycles["days"], confidence),
        periods=cycles_by(cycles, kpis, confidence),
        tiers={
            name: sales_cycle(
                cycles.loc[cycles["lead_id"].isin(caught.loc[caught["tier"] == name, "lead_id"]), "days"], confidence
            )
            for name in names
        },
    )


def _touches(contract: Contract, entries: pd.DataFrame, params: Params) -> pd.Series[pd.Timestamp]:
    """Return when sales first touched each lead: by an event of theirs, or by taking it over as a stage."""
    kpis, events = params.kpis, _known_events(contract)
    ours = events.event_type.isin(kpis.sales_events) if kpis.sales_events else events.direction == "outbound"
    by_event = events.filter(ours).group_by("lead_id").agg(at=events.event_at.min()).to_pyarrow().to_pandas()
    taken_over = entries[entries["stage_index"] >= kpis.stages.index(kpis.sales_stage)] if kpis.stages else entries
    by_stage = taken_over[["lead_id", "entered_at"]].rename(columns={"entered_at": "at"})
    return pd.concat([by_event, by_stage]).groupby("lead_id")["at"].min()


def _write(result: KpiResult, run: RunContext) -> KpiResult:
    write_result(result, run.layout.kpis.path)
    log.info("kpis: %s", result.verdict.lines[0])
    return result
