"""One lead explained: what is known of it, its points, what would move it most, and how leads like it fared."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from features.attributes.as_of import attributes_as_of
from features.cohort.moments import came_back
from features.cohort.snapshots import revivals_of
from features.events.definitions import event_features
from features.matrix.counterfactual import EVENTS, next_events, with_one_more
from features.matrix.matrix import MatrixSpec, feature_matrix
from features.schema.declarations import SnapshotParams
from models.evaluation.results import EvaluationResult
from models.explanation.lead_explanation import (
    EventEffect,
    LeadScore,
    NextStep,
    Row,
    SimilarLeads,
    attributes_known,
    event_effects,
    next_steps,
    similar_in_reasons,
    similar_in_score,
    standing,
    theme_points,
    timeline,
)
from models.scoring.scorer import Scorer
from models.splitting.holdout import sample_test
from pipelines.nurture.nurture_list import nurture_line
from pipelines.scoring.fresh_list import stand_fresh
from pipelines.scoring.population import one_lead
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, Display, read_matrix
from pipelines.storage.layout import Layout
from pipelines.storage.results import existing, read_evaluation
from pipelines.storage.run_context import RunContext

DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class LeadExplanation:
    """All that is known of one lead at one moment.

    Attributes
    ----------
    at
        The moment; NaT for tables without dates.
    order
        `source.order`: dates, rows or none.
    cautions
        What a reader must know before believing the figures.
    listed
        The lead on the last published list: tier, stage, tier_reason, grade, score, rank, n, as_of and `same` (as this
        moment and model); None where it is not on it.
    nurture
        When to look at it again and what usually comes next, by nurture.csv of that list; "" where it is not on it.
    display
        What people are shown of it, by label, as the files say it today.
    left_out
        Labels of the attributes that are never used, because they are written with the outcome.
    events
        The newest events that count at the moment; `n_events` says how many there are, None where the data has none.
    not_counted
        Events of this lead that are later than the moment, or became known later.
    event_effects
        None where the data has no events.
    next_steps
        By `how` of the similar leads, what they did within the horizon; empty without dates or events.
    """

    lead_id: str
    at: pd.Timestamp
    order: str
    cautions: list[str]
    standing: LeadScore
    listed: Row | None
    nurture: str
    display: dict[str, str]
    attributes: list[Row]
    left_out: list[str]
    events: list[Row]
    n_events: int | None
    not_counted: int
    event_effects: list[EventEffect] | None
    similar: list[SimilarLeads]
    next_steps: dict[str, list[NextStep]]
    horizon_days: int | None
    confidence: float
    model_id: str
    fingerprint: str


def explain_lead(lead_id: str, run: RunContext) -> LeadExplanation:
    """Explain one lead at the scoring day, whether it is open or not. Writes nothing.

    Raises
    ------
    ParamsError
        Where no lead has this id, or it was not there yet on that day.
    DataError, ModelError
        Where a stage that it reads from has not run, or its figures come from another model.
    """
    contract = Contract.open(run.layout, run.params.project)
    moment = one_lead(lead_id, contract, run)
    model = load_bundle(run.layout.bundle, run.params.project.threads)
    scorer = stand_fresh(model, contract, moment["snapshot_at"].iloc[0], run.params)
    metrics = read_evaluation(run.layout, scorer.tested_id)
    existing(run.layout.predictions.path, "evaluate")
    at, spec = moment["snapshot_at"].iloc[0], scorer.metadata.matrix
    row = pd.concat(contract.matrix(moment, spec), ignore_index=True)
    now = standing(scorer, row)
    events = contract.events.filter(contract.events.lead_id == lead_id).to_pyarrow().select(EVENTS.names).cast(EVENTS)
    has_events = bool(event_features(spec.params, spec.vocabulary))
    counted = timeline(events.to_pandas(), at, spec.vocabulary, spec.event_labels)
    frame = attributes_as_of(moment, contract.leads, contract.history, spec.attributes)
    similar = _similar(lead_id, row, now, scorer, run)
    horizon = scorer.metadata.snapshots.horizon_days if scorer.metadata.snapshots else None
    return LeadExplanation(
        lead_id=lead_id,
        at=at,
        order=run.params.source.order,
        cautions=_cautions(lead_id, at, scorer, contract, metrics, run.layout),
        standing=now,
        listed=_listed(lead_id, at, scorer, run.layout),
        nurture=nurture_line(lead_id, run),
        display=Display.read_mapped(run.layout, run.params.source.leads).of(lead_id),
        attributes=attributes_known(frame, spec.attributes, spec.vocabulary),
        left_out=[one.label or one.column for one in spec.attributes.values() if one.known == "outcome"],
        events=counted[: run.params.explain.timeline],
        n_events=len(counted) if has_events else None,
        not_counted=len(events) - len(counted),
        event_effects=_moves(lead_id, row, scorer, contract, events) if has_events else None,
        similar=similar,
        next_steps={one.how: _next(one, horizon, contract, spec) for one in similar} if has_events and horizon else {},
        horizon_days=horizon,
        confidence=run.params.evaluate.confidence,
        model_id=scorer.model_id,
        fingerprint=contract.profile.fingerprint,
    )


def _cautions(
    lead_id: str, at: pd.Timestamp, scorer: Scorer, contract: Contract, metrics: EvaluationResult, layout: Layout
) -> list[str]:
    cautions = [] if metrics.verdict.state == "better" else [f"The verdict of this run: {metrics.verdict.lines[0]}"]
    if scorer.metadata.snapshots is None:
        matrix, _ = read_matrix(layout, same_data=False)
        learned = matrix.loc[(matrix["lead_id"] == lead_id) & (matrix["part"] == "train")]
        hindsight = "The model learned from this lead's own outcome, so its figures flatter here."
        return cautions if learned.empty else [*cautions, hindsight]
    known_until = scorer.metadata.trained_until
    if known_until is not None and pd.Timestamp(known_until) > at:
        cautions.append(
            f"The model knows outcomes up to {pd.Timestamp(known_until):%Y-%m-%d}: it looks back on this day."
        )
    return cautions + _not_open(lead_id, at, contract, scorer.metadata.snapshots)


def _not_open(lead_id: str, at: pd.Timestamp, contract: Contract, population: SnapshotParams) -> list[str]:
    """Say why the model was not made for this lead on this day, if so."""
    outcome = contract.outcomes[contract.outcomes["lead_id"] == lead_id]
    cautions = [
        f"It {word} on {when:%Y-%m-%d}, before this day, so there is nothing left to predict."
        for column, word in (("converted_at", "converted"), ("lost_at", "was lost"))
        for when in outcome[column].dropna()
        if when < at
    ]
    age = (at - contract.leads.loc[contract.leads["lead_id"] == lead_id, "created_at"].iloc[0]) / DAY
    low, high = population.min_age_days, population.max_age_days
    here = pd.DataFrame({"lead_id": [lead_id], "snapshot_at": pd.Series([at], dtype="datetime64[us]")})
    revivals = revivals_of(contract.events, contract.leads, population)
    again = age > high and revivals is not None and bool(came_back(here, revivals, population)[0])
    if not low <= age <= high and not again:
        cautions.append(f"It is {age:,.0f} days old; the model was made for leads of {low} to {high} days.")
    return cautions


def _listed(lead_id: str, at: pd.Timestamp, scorer: Scorer, layout: Layout) -> Row | None:
    if not layout.scores.path.is_file():
        return None
    scores = pd.read_parquet(layout.scores.path)
    matches = scores[scores["lead_id"] == lead_id]
    if matches.empty:
        return None
    lead = matches.iloc[0]
    same_day = bool(pd.isna(lead["as_of"]) and pd.isna(at)) or bool(lead["as_of"] == at)
    return {
        "tier": lead["tier"],
        "stage": lead["stage"],
        "tier_reason": lead["tier_reason"],
        "grade": lead["grade"],
        "score": int(lead["score"]),
        "rank": int(matches.index[0]) + 1,
        "n": len(scores),
        "as_of": lead["as_of"],
        "same": same_day and lead["model_id"] == scorer.model_id,
    }


def _moves(lead_id: str, row: pd.DataFrame, scorer: Scorer, contract: Contract, events: pa.Table) -> list[EventEffect]:
    import ibis

    at, spec = row["snapshot_at"].iloc[0], scorer.metadata.matrix
    more = next_events(contract.events, ibis.literal(at.to_pydatetime()), spec.vocabulary)
    if not more:
        return []
    lead = contract.leads[contract.leads["lead_id"] == lead_id]
    history = contract.history[contract.history["lead_id"] == lead_id]
    matrix = feature_matrix(with_one_more(lead, history, events, at, more), spec)
    return event_effects(scorer, row, matrix, more, spec.event_labels)


def _next(one: SimilarLeads, horizon_days: int, contract: Contract, spec: MatrixSpec) -> list[NextStep]:
    near = one.snapshots.merge(contract.outcomes[["lead_id", "converted_at"]], "left", "lead_id")
    of_them = contract.events.filter(contract.events.lead_id.isin(near["lead_id"].tolist()))
    events = of_them.select("lead_id", "event_at", "event_type", "direction").to_pyarrow().to_pandas()
    known = events[events["event_type"].isin(spec.vocabulary.event_types)]
    return next_steps(near, known, horizon_days, spec.event_labels)


def _similar(lead_id: str, row: pd.DataFrame, now: LeadScore, scorer: Scorer, run: RunContext) -> list[SimilarLeads]:
    """Compare the lead with other leads of the later period, which the model did not learn from."""
    k, confidence = run.params.explain.similar_leads, run.params.evaluate.confidence
    predictions = pd.read_parquet(run.layout.predictions.path).rename(columns={"model": "probability"})
    matrix, _ = read_matrix(run.layout, same_data=False)
    others_rows = matrix[matrix["lead_id"] != lead_id]
    sample = sample_test(others_rows, run.params.project.seed, run.params.explain.sample_rows)
    rows = sample[["lead_id", "snapshot_at", "label"]].assign(probability=scorer.probability(sample))
    others = predictions[predictions["lead_id"] != lead_id]
    similar = [
        similar_in_score(others, now.probability, k, confidence),
        similar_in_reasons(rows, theme_points(scorer, sample), theme_points(scorer, row), k, confidence),
    ]
    return [one for one in similar if one is not None]
