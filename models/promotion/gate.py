"""The promotion gate: may a challenger replace the champion?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from features.schema.spec import Spec
from models.checks import Check, CheckResult, enumerate_names
from models.evaluation.metrics import EvaluateParams, Metrics, compare, compare_ranking
from models.evaluation.ranked import Ranked, row_losses
from models.evaluation.rate_comparison import MISFITS, RateLimits, compare_rate, first_share, rates_text
from models.evaluation.verdict import NAMES
from models.leakage.findings import columns_read, concerning
from models.scoring.scorer import ModelMetadata, Scorer

COMPLETE = Check("PG01", "The model is complete")
NO_LEAK = Check("PG02", "Nothing that the model reads looks like leakage")
LATER_ROWS = Check("PG03", "There are later rows to judge on")
LOG_LOSS = Check("PG04", "Log-loss is not worse than the champion's")
RATCHET = Check("PG05", "No ratchet of small losses since the reference champion")
BASELINES = Check("PG06", "Log-loss is not worse than a baseline's")
LIFT = Check("PG07", "Lift at capacity is not surely worse than the champion's")
CALIBRATION = Check("PG08", "Probabilities are calibrated")
TIER_CHANGES = Check("PG09", "Few leads change tier with the model")
SEGMENTS = Check("PG10", "No segment is surely much worse than with the champion")
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
    calibration_tolerance: float = Field(
        default=0.2,
        ge=0,
        description=(
            "Share by which its predicted rate may surely lie above or below the actual one, on all later rows and in "
            "its best tier; smaller where probabilities are used as such, as by tiers of value."
        ),
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
        default=[],
        description=(
            "Findings of the audit that you have looked into and hold for harmless: codes, such as LK10, or a column "
            "of one, such as LK03 duration."
        ),
    )


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


def artifacts(fault: str) -> CheckResult:
    """PG01: check the challenger's files; `fault` says what is wrong with them, "" where nothing is."""
    complete = "the bundle is text and JSON only, every hash is that of its manifest, and it loads without pickle"
    return COMPLETE.result(not fault, fault or complete)


def no_leak(checks: Sequence[CheckResult], scorer: Scorer, params: GateParams) -> CheckResult:
    """PG02: check that no check of the audit fails on what the model reads.

    Parameters
    ----------
    checks
        Of audit.json. A lead in both training and test counts whatever the model reads, because it invalidates what
        the other checks rest on.
    """
    read = columns_read(scorer)
    looked_into = [check.without(params.accepted) for check in checks]
    failed = concerning(looked_into, read)
    bad = [
        f"{check.code} {check.title}: "
        f"{enumerate_names([column for column in check.columns if column in read] or list(check.columns))[:200]}"
        for check in failed
    ]
    accepted = [check.code for check in looked_into if check.status == "accepted"]
    passed = len(checks) - len(failed) - len(accepted)
    detail = "; ".join(bad) or f"{passed} leakage checks passed, or do not concern what the model reads"
    if accepted:
        detail += f"; accepted in promotion.accepted: {', '.join(accepted)}"
    return NO_LEAK.result(not bad, detail)


def judge(cohort: Cohort, gate: Gate) -> list[CheckResult]:
    """Run every check of a cohort; where it is too small, only PG03.

    Returns
    -------
    list
        A challenger is promoted where none has failed.
    """
    enough = _enough(cohort, gate.params)
    if enough.failed:
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
    """Whether the challenger may become the reference champion: its log-loss is surely below that of the old one."""
    reference = cohort.champion if cohort.reference is None else cohort.reference
    return reference is None or _gap(cohort.rows, cohort.challenger, reference, gate)["gap_high"] < 0


def _enough(cohort: Cohort, params: GateParams) -> CheckResult:
    """PG03: count the rows of either outcome."""
    rows = cohort.rows
    won, lost = int(rows["label"].sum()), int((rows["label"] == 0).sum())
    seen = f"{len(rows):,} matured rows, {won:,} of them converted, of {rows['lead_id'].nunique():,} leads"
    good = min(won, lost) >= params.min_positive
    wanted = f"at least {params.min_positive:,} that converted and as many that did not are needed"
    detail = f"{seen}, are later than what the models learned from" + ("" if good else f"; {wanted}")
    return LATER_ROWS.result(good, detail, {"n": float(len(rows)), "won": float(won)})


def _not_worse(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG04: compare log-loss pairwise: not above the champion's, and the gap's upper end within the tolerance.

    In doubt the champion stays: a challenger that came out worse, by however little, brings nothing for the
    change, and on many rows a loss well within the tolerance is a sure one.
    """
    if cohort.champion is None:
        return LOG_LOSS.not_applicable(NO_CHAMPION)
    gap = _gap(cohort.rows, cohort.challenger, cohort.champion, gate)
    good = gap["gap"] <= 0 and _within(gap, gate)
    return LOG_LOSS.result(good, f"{_words(gap, 'the champion')}, tolerated 0 and {_tolerated(gap, gate)}", gap)


def _no_ratchet(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG05: compare with the reference champion, so that small losses do not add up."""
    if cohort.reference is None:
        own = "the champion is itself the reference champion"
        return RATCHET.not_applicable(NO_CHAMPION if cohort.champion is None else own)
    gap = _gap(cohort.rows, cohort.challenger, cohort.reference, gate)
    detail = f"{_words(gap, 'the reference champion')}, tolerated {_tolerated(gap, gate)}"
    return RATCHET.result(_within(gap, gate), detail, gap)


def _baselines(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG06: compare with each baseline as with the reference champion; the detail names the hardest one."""
    gaps = {name: _gap(cohort.rows, cohort.challenger, rival, gate) for name, rival in cohort.baselines.items()}
    worst = max(gaps, key=lambda name: gaps[name]["gap_high"] / gaps[name]["rival"])
    gap = gaps[worst]
    good = _within(gap, gate)
    detail = f"of {len(gaps)} the nearest: {_words(gap, NAMES.get(worst, worst))}, tolerated {_tolerated(gap, gate)}"
    return BASELINES.result(good, detail, gap)


def _lift(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG07: compare the lift at capacity with the champion's."""
    if cohort.champion is None:
        return LIFT.not_applicable(NO_CHAMPION)
    own, rival = (_rank(cohort, probability, gate) for probability in (cohort.challenger, cohort.champion))
    gap = compare_ranking(own, rival, gate.evaluate, gate.seed).capacity_lift
    detail = f"lift is {gap.text('+.2f')} compared with the champion's"
    return LIFT.result(not gap.high < 0, detail, gap.flat("lift_gap"))


def _calibration(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG08: compare predicted and actual rate, over all rows and in the best tier, as the report and MN08 do."""
    rows = cohort.rows.assign(probability=cohort.challenger)
    chances = rows["probability"].groupby(cohort.tiers).mean()
    best = str(chances.idxmax())
    confidence, limits = first_share(gate.evaluate.confidence), RateLimits(gate.params.calibration_tolerance)
    parts = {"all rows": rows, best: rows[cohort.tiers == best]}
    compared = {name: compare_rate(part, confidence, limits) for name, part in parts.items()}
    bad = [name for name, one in compared.items() if one.answer in MISFITS]
    words = [f"{name} {compared[name].answer}: {rates_text(compared[name])}" for name in bad or ["all rows"]]
    detail = f"{'; '.join(words)}; tolerated {gate.params.calibration_tolerance:.0%}"
    rates = {name: compared["all rows"].model_dump()[name] for name in ("predicted_rate", "observed_rate", "ratio")}
    return CALIBRATION.result(not bad, detail, {name: rate for name, rate in rates.items() if rate is not None})


def _tier_changes(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG09: compare the tiers with those by the champion."""
    if cohort.champion_tiers is None:
        return TIER_CHANGES.not_applicable(NO_CHAMPION)
    share = float((cohort.tiers.to_numpy() != cohort.champion_tiers.to_numpy()).mean())
    detail = f"{share:.1%} of the leads on these lists are in another tier, tolerated {gate.params.tier_changes:.1%}"
    return TIER_CHANGES.result(share <= gate.params.tier_changes, detail, {"share": share})


def _segments(cohort: Cohort, gate: Gate) -> CheckResult:
    """PG10: find the segment that surely loses most: by the gap's lower end as a share of the champion's loss."""
    if cohort.champion is None:
        return SEGMENTS.not_applicable(NO_CHAMPION)
    gaps = _segment_gaps(cohort, cohort.champion, gate)
    if not gaps:
        return SEGMENTS.not_applicable("no segment has enough rows")
    worst = max(gaps, key=lambda name: gaps[name]["gap_low"] / gaps[name]["rival"])
    gap = gaps[worst]
    floor = gate.params.segment_tolerance * gap["rival"]
    words = f"{_words(gap, 'the champion')}, tolerated {floor:.4f} at the lower end"
    detail = f"of {len(gaps)} the worst is {worst[:80]}: {words}"
    return SEGMENTS.result(gap["gap_low"] <= floor, detail, gap)


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


def _words(gap: Metrics, name: str) -> str:
    word = "worse" if gap["gap"] > 0 else "better"
    return (
        f"log-loss {abs(gap['gap']):.4f} {word} than {name}'s {gap['rival']:.4f} "
        f"({gap['gap_low']:+.4f} to {gap['gap_high']:+.4f}, above 0 is worse)"
    )


def _tolerated(gap: Metrics, gate: Gate) -> str:
    return f"{gate.params.tolerance * gap['rival']:.4f} at the upper end"
