"""The promotion gate: may a challenger take the champion's place? Every check says what it saw, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from features.schema.spec import Spec
from models.evaluation.metrics import (
    EvaluateParams,
    Metrics,
    Ranked,
    compare,
    compare_ranking,
    compute_metrics,
    row_losses,
)
from models.evaluation.verdict import NAMES
from models.leakage.rows import subjects_of
from models.leakage.timing_checks import OVERLAP
from models.scoring.scorer import ModelMetadata, Scorer

Outcome = Literal["passed", "failed", "not applicable"]
NO_CHAMPION = "there is no champion yet"


class GateParams(Spec):
    """What a challenger must not exceed to be promoted."""

    tolerance: float = Field(
        default=0.03,
        ge=0,
        description=(
            "Even the upper end of the interval of its log-loss gap may not lie further above theirs than"
            " this share of it, and above the champion's not at all as measured; the same against the "
            "reference champion, so that small losses do not add up. With few conversions intervals are "
            "wide, and a smaller share refuses nearly all."
        ),
    )
    min_positive: int = Field(
        default=50,
        ge=1,
        description=(
            "Later rows that converted, and that did not; with fewer nobody can be judged, and the champion stays."
        ),
    )
    calibration_error: float = Field(
        default=0.5,
        gt=0,
        description="Times the conversion rate; smaller where probabilities are used as such, as by tiers of value.",
    )
    tier_changes: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description=(
            "Share of leads on the lists that may be in another tier than with the champion; smaller for calm."
        ),
    )
    segment_tolerance: float = Field(
        default=0.1,
        ge=0,
        description="No segment's log-loss may surely lie further above the champion's than this share of it.",
    )
    accepted: list[str] = Field(
        default=[], description="Codes of the audit, such as LK10, that you have looked into and hold for harmless."
    )


@dataclass(frozen=True)
class GateCheck:
    """One question of the gate and its answer.

    Attributes
    ----------
    detail
        What was seen, in words with figures.
    figures
        The same as numbers; those that do not exist are left out.
    """

    code: str
    title: str
    outcome: Outcome
    detail: str
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class Cohort:
    """The rows that every model is judged on, and what each says of them; all of n rows in one order.

    Attributes
    ----------
    rows
        lead_id, snapshot_at and label (matured), later than what every model of the comparison learned from.
    challenger, champion, reference
        Probabilities, shape (n,); None where there is no such model, or the reference is the champion itself.
    baselines
        Name to probability, shape (n,).
    tiers, champion_tiers
        The tier that each of the two models gives to each row.
    segments
        One column of levels for each segment attribute.
    capacity
        How many rows of a moment are called.
    """

    rows: pd.DataFrame
    challenger: np.ndarray
    champion: np.ndarray | None
    reference: np.ndarray | None
    baselines: Mapping[str, np.ndarray]
    tiers: pd.Series[str]
    champion_tiers: pd.Series[str] | None
    segments: pd.DataFrame
    capacity: int


@dataclass(frozen=True)
class Gate:
    """How a cohort is judged."""

    params: GateParams
    evaluate: EvaluateParams
    seed: int


def unseen(rows: pd.DataFrame, models_metadata: Sequence[ModelMetadata], fingerprint: str) -> pd.DataFrame:
    """Keep the held-out rows that none of the models has learned from.

    Parameters
    ----------
    rows
        Matured rows of the test part, with snapshot_at.
    models_metadata
        Of the models. A model with dates has learned nothing from `trained_until` on; one without dates has learned
        nothing from the test part of the data that it was trained on, and may have from any other data.
    fingerprint
        Of the data that the rows are from.
    """
    keep = pd.Series(True, index=rows.index)
    for metadata in models_metadata:
        if metadata.trained_until is None:
            keep &= metadata.fingerprint == fingerprint
        else:
            keep &= rows["snapshot_at"] >= pd.Timestamp(metadata.trained_until)
    return rows[keep].reset_index(drop=True)


def artifacts(fault: str) -> GateCheck:
    """Check what was found wrong with the challenger's files; "" where nothing was."""
    whole = "the bundle is text and JSON only, every hash is that of its manifest, and it loads without pickle"
    return _check("PG01", "The model is whole", not fault, fault or whole)


def no_leak(checks: Sequence[Mapping[str, Any]], scorer: Scorer, params: GateParams) -> GateCheck:
    """Check that no check of the audit fires on what the model reads.

    Parameters
    ----------
    checks
        Of audit.json. A lead that teaches and tests at once counts whatever the model reads, because it takes away
        what the other checks stand on.
    """
    read, fired = columns_read(scorer), [check for check in checks if check["answer"] == "fires"]
    found = {
        check["code"]: (check["title"], sorted(read.intersection(check["columns"])) or sorted(check["columns"]))
        for check in fired
        if check["code"] == OVERLAP.code or read.intersection(check["columns"])
    }
    bad = [f"{code} {title}: {_some(names)}" for code, (title, names) in found.items() if code not in params.accepted]
    accepted = [code for code in found if code in params.accepted]
    detail = "; ".join(bad) or f"none of {len(checks)} checks of the audit fires on what the model reads"
    if accepted:
        detail += f"; accepted in promotion.accepted: {', '.join(accepted)}"
    return _check("PG02", "Nothing that the model reads looks like leakage", not bad, detail)


def columns_read(scorer: Scorer) -> set[str]:
    """Return the user's columns and event types that can move the model's figures; a group of events holds all."""
    read, subjects = set(scorer.features_read), subjects_of(scorer.metadata.matrix)
    owned = {entry.name for subject in subjects for entry in subject.features}
    in_groups = any(entry.group == "engagement" and entry.name in read - owned for entry in scorer.catalogue)
    return {
        subject.column
        for subject in subjects
        if read.intersection(entry.name for entry in subject.features) or (in_groups and subject.known == "dated")
    }


def judge(cohort: Cohort, gate: Gate) -> list[GateCheck]:
    """Put every question that a cohort answers; where it is too small, only that is said.

    Returns
    -------
    list of GateCheck
        A challenger is promoted where none has failed.
    """
    enough = _enough(cohort, gate.params)
    if enough.outcome == "failed":
        return [enough]
    return [
        enough,
        _not_worse(cohort, gate),
        _no_ratchet(cohort, gate),
        _baselines(cohort, gate),
        _lift(cohort, gate),
        _calibration(cohort, gate),
        _tier_changes(cohort, gate),
        _segments(cohort, gate),
    ]


def surely_better(cohort: Cohort, gate: Gate) -> bool:
    """Whether the challenger may become the champion of record: its log-loss is surely below that of the old one."""
    record = cohort.champion if cohort.reference is None else cohort.reference
    return record is None or _gap(cohort.rows, cohort.challenger, record, gate)["gap_high"] < 0


def _enough(cohort: Cohort, params: GateParams) -> GateCheck:
    rows = cohort.rows
    won, lost = int(rows["label"].sum()), int((rows["label"] == 0).sum())
    seen = f"{len(rows):,} matured rows of {rows['lead_id'].nunique():,} leads, {won:,} of them converted"
    good = min(won, lost) >= params.min_positive
    wanted = f"at least {params.min_positive:,} that converted and as many that did not are needed"
    detail = f"{seen}, are later than what the models learned from" + ("" if good else f"; {wanted}")
    return _check("PG03", "There are later rows to judge on", good, detail, {"n": float(len(rows)), "won": float(won)})


def _not_worse(cohort: Cohort, gate: Gate) -> GateCheck:
    """Compare log-loss pairwise: not above the champion's, and at the upper end of the gap's interval only so far.

    In doubt the champion keeps its place: a challenger that came out worse, by however little, brings nothing for the
    change, and on many rows a loss well within the tolerance is a sure one.
    """
    title = "Log-loss is not worse than the champion's"
    if cohort.champion is None:
        return GateCheck("PG04", title, "not applicable", NO_CHAMPION)
    gap = _gap(cohort.rows, cohort.challenger, cohort.champion, gate)
    good = gap["gap"] <= 0 and _within(gap, gate)
    return _check("PG04", title, good, f"{_words(gap, 'the champion')}, tolerated 0 and {_tolerated(gap, gate)}", gap)


def _no_ratchet(cohort: Cohort, gate: Gate) -> GateCheck:
    title = "No ratchet of small losses since the champion of record"
    if cohort.reference is None:
        own = "the champion is itself the champion of record"
        return GateCheck("PG05", title, "not applicable", NO_CHAMPION if cohort.champion is None else own)
    gap = _gap(cohort.rows, cohort.challenger, cohort.reference, gate)
    detail = f"{_words(gap, 'the champion of record')}, tolerated {_tolerated(gap, gate)}"
    return _check("PG05", title, _within(gap, gate), detail, gap)


def _baselines(cohort: Cohort, gate: Gate) -> GateCheck:
    """Compare with each baseline as with the champion of record; the one that it may lose most to is told."""
    gaps = {name: _gap(cohort.rows, cohort.challenger, rival, gate) for name, rival in cohort.baselines.items()}
    worst = max(gaps, key=lambda name: gaps[name]["gap_high"] / gaps[name]["rival"])
    gap = gaps[worst]
    good = _within(gap, gate)
    detail = f"of {len(gaps)} the nearest: {_words(gap, NAMES.get(worst, worst))}, tolerated {_tolerated(gap, gate)}"
    return _check("PG06", "Log-loss is not worse than a baseline's", good, detail, gap)


def _lift(cohort: Cohort, gate: Gate) -> GateCheck:
    title = "Lift at capacity is not surely worse than the champion's"
    if cohort.champion is None:
        return GateCheck("PG07", title, "not applicable", NO_CHAMPION)
    own, rival = (_rank(cohort, said, gate) for said in (cohort.challenger, cohort.champion))
    gap = compare_ranking(own, rival, gate.evaluate, gate.seed).capacity_lift
    detail = f"lift is {gap.text('+.2f')} beside the champion's"
    return _check("PG07", title, not gap.high < 0, detail, gap.flat("lift_gap"))


def _calibration(cohort: Cohort, gate: Gate) -> GateCheck:
    ranked = _rank(cohort, cohort.challenger, gate)
    found = compute_metrics(ranked, ranked.weight, gate.evaluate)
    error, rate, cap = found["calibration_error"], found["base_rate"], gate.params.calibration_error
    detail = (
        f"promised {found['mean_probability']:.2%} on average, came {rate:.2%}; calibration error {error:.4f}, "
        f"tolerated {cap * rate:.4f}"
    )
    numbers = {"calibration_error": error, "base_rate": rate}
    return _check("PG08", "Probabilities are calibrated", error <= cap * rate, detail, numbers)


def _tier_changes(cohort: Cohort, gate: Gate) -> GateCheck:
    title = "Few leads change tier with the model"
    if cohort.champion_tiers is None:
        return GateCheck("PG09", title, "not applicable", NO_CHAMPION)
    share = float((cohort.tiers.to_numpy() != cohort.champion_tiers.to_numpy()).mean())
    detail = f"{share:.1%} of the leads on these lists are in another tier, tolerated {gate.params.tier_changes:.1%}"
    return _check("PG09", title, share <= gate.params.tier_changes, detail, {"share": share})


def _segments(cohort: Cohort, gate: Gate) -> GateCheck:
    """Look for the segment that surely loses most, by the lower end of its gap as a share of the champion's loss."""
    title = "No segment is surely much worse than with the champion"
    if cohort.champion is None:
        return GateCheck("PG10", title, "not applicable", NO_CHAMPION)
    gaps = _segment_gaps(cohort, cohort.champion, gate)
    if not gaps:
        return GateCheck("PG10", title, "not applicable", "no segment has enough rows")
    worst = max(gaps, key=lambda name: gaps[name]["gap_low"] / gaps[name]["rival"])
    gap = gaps[worst]
    floor = gate.params.segment_tolerance * gap["rival"]
    words = f"{_words(gap, 'the champion')}, tolerated {floor:.4f} at the lower end"
    detail = f"of {len(gaps)} the worst is {worst[:80]}: {words}"
    return _check("PG10", title, gap["gap_low"] <= floor, detail, gap)


def _segment_gaps(cohort: Cohort, champion: np.ndarray, gate: Gate) -> dict[str, Metrics]:
    gaps = {}
    for column in cohort.segments:
        levels = cohort.segments[column].to_numpy()
        for level in sorted(set(levels)):
            inside = levels == level
            if inside.sum() >= gate.evaluate.min_segment_rows:
                rows = cohort.rows[inside].reset_index(drop=True)
                gaps[f"{column} {level}"] = _gap(rows, cohort.challenger[inside], champion[inside], gate)
    return gaps


def _gap(rows: pd.DataFrame, challenger: np.ndarray, rival: np.ndarray, gate: Gate) -> Metrics:
    """Return gap, gap_low, gap_high (above 0 the challenger is worse) and rival, the rival's log-loss."""
    better_by = compare(rows, challenger, rival, gate.evaluate, gate.seed)
    return {
        "gap": -better_by.value,
        "gap_low": -better_by.high,
        "gap_high": -better_by.low,
        "rival": float(row_losses(rows["label"].to_numpy("float64"), rival).mean()),
    }


def _within(gap: Metrics, gate: Gate) -> bool:
    """Whether not even the upper end of the gap's interval lies above the tolerance."""
    return gap["gap_high"] <= gate.params.tolerance * gap["rival"]


def _rank(cohort: Cohort, probability: np.ndarray, gate: Gate) -> Ranked:
    return Ranked.of(cohort.rows, probability, cohort.capacity, gate.evaluate.calibration_bins)


def _check(code: str, title: str, good: bool, detail: str, numbers: Metrics | None = None) -> GateCheck:
    known = {name: float(value) for name, value in (numbers or {}).items() if np.isfinite(value)}
    return GateCheck(code, title, "passed" if good else "failed", detail, known)


def _words(gap: Metrics, name: str) -> str:
    word = "worse" if gap["gap"] > 0 else "better"
    return (
        f"log-loss {abs(gap['gap']):.4f} {word} than {name}'s {gap['rival']:.4f} "
        f"({gap['gap_low']:+.4f} to {gap['gap_high']:+.4f}, above 0 is worse)"
    )


def _tolerated(gap: Metrics, gate: Gate) -> str:
    return f"{gate.params.tolerance * gap['rival']:.4f} at the upper end"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5])[:200] + (", …" if len(names) > 5 else "")
