"""Checks of outcomes: are tiers calibrated on cohorts that have matured, and how do the young ones convert?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from models.checks import Check, CheckResult
from models.evaluation.metrics import EvaluateParams, Metrics, compute_metrics, evaluate
from models.evaluation.ranked import Ranked
from models.evaluation.rate_comparison import MISFITS, rates_text
from models.kpis.calibration_check import Lists, compare_rates
from models.kpis.results import RateComparison
from models.kpis.tier_kpis import KpiParams, within
from models.monitoring.drift import Row
from models.monitoring.input_checks import MonitorParams

CALIBRATION = Check("MN08", "Tiers are calibrated on matured lists")
LIFT = Check("MN09", "Lift at capacity on matured lists is not lost")
EARLY = Check("MN10", "Young lists convert as lists did")
ESTIMATE = Check("MN11", "Estimated performance of the newest list")
ASSUMPTION = (
    "An estimate, not a measurement: what the metrics would be if every probability held. It moves when the leads "
    "change; it cannot see a change of how leads decide, as a new price brings. Outcomes tell, once they have matured."
)


@dataclass(frozen=True)
class OutcomeSettings:
    """How outcomes are judged."""

    monitor: MonitorParams
    kpis: KpiParams
    evaluate: EvaluateParams
    capacity: int
    seed: int


def tier_comparisons(lists: Lists, settings: OutcomeSettings) -> list[RateComparison]:
    """Compare predicted and actual rate of all leads and of each tier, as the report does."""
    none = pd.DataFrame(index=lists.rows.index)
    return compare_rates(lists, none, 1 - settings.monitor.each, settings.kpis)


def tier_calibration(comparisons: Sequence[RateComparison], params: MonitorParams) -> CheckResult:
    """MN08: check that tiers are calibrated; `comparisons` as from `tier_comparisons` of the matured lists."""
    if not comparisons or comparisons[0].converted < params.min_positive:
        won = comparisons[0].converted if comparisons else 0
        return CALIBRATION.not_applicable(
            f"{won:,} leads of matured lists converted, of {params.min_positive:,} needed"
        )
    bad = [one for one in comparisons if one.answer in MISFITS]
    named = [f"{one.name} {one.answer}: {rates_text(one)}, {one.leads:,} leads" for one in bad or comparisons[:1]]
    rates = {"predicted_rate": comparisons[0].predicted_rate, "observed_rate": comparisons[0].observed_rate}
    return CALIBRATION.result(
        not bad, "; ".join(named), {name: rate for name, rate in rates.items() if rate is not None}
    )


def performance(rows: pd.DataFrame, settings: OutcomeSettings) -> Metrics | None:
    """Return the figures of matured rows with intervals over leads; None where too few leads converted."""
    matured = rows[rows["label"].notna()].reset_index(drop=True)
    won = matured.loc[matured["label"] == 1.0, "lead_id"].nunique()
    if won < settings.monitor.min_positive or won == matured["lead_id"].nunique():
        return None
    ranked = _ranked(matured, matured["probability"].to_numpy(), settings)
    metrics = evaluate(ranked, settings.evaluate, settings.seed).flat()
    lift = {f"lift_at_k{end}": metrics[f"precision_at_k{end}"] / metrics["base_rate"] for end in ("", "_low", "_high")}
    return metrics | lift


def lift(before: Metrics | None, now: Metrics | None, settings: OutcomeSettings) -> CheckResult:
    """MN09: check that the best leads are as far above the rest as in the reference; figures as of `performance`."""
    if before is None or now is None:
        where = "the reference" if before is None else "matured lists after the reference"
        least = settings.monitor.min_positive
        return LIFT.not_applicable(f"fewer than {least:,} leads of {where} converted")
    gap = before["lift_at_k"] - now["lift_at_k"]
    width = math.hypot(*(_error(one, "lift_at_k", settings.evaluate.confidence) for one in (before, now)))
    chance = float(scipy.stats.norm.sf(gap / width)) if width > 0 else 1.0
    lost = gap > settings.monitor.lift_loss * before["lift_at_k"]
    detail = (
        f"lift {now['lift_at_k']:.2f} ({now['lift_at_k_low']:.2f} to {now['lift_at_k_high']:.2f}), in the reference "
        f"{before['lift_at_k']:.2f} ({before['lift_at_k_low']:.2f} to {before['lift_at_k_high']:.2f}); AUC "
        f"{now['auc']:.3f}, it was {before['auc']:.3f}"
    )
    numbers = {"lift": now["lift_at_k"], "auc": now["auc"], "log_loss": now["log_loss"],
               "calibration_error": now["calibration_error"]}  # fmt: skip
    return LIFT.result(not (lost and chance <= settings.monitor.each), detail, numbers)


def _error(metrics: Metrics, name: str, confidence: float) -> float:
    return (metrics[f"{name}_high"] - metrics[f"{name}_low"]) / (2 * float(scipy.stats.norm.ppf((1 + confidence) / 2)))


def early_conversions(
    reference: pd.DataFrame, current: pd.DataFrame, watched: float, days: int, n_comparisons: int
) -> Row:
    """Compare conversions of the newest lists with those predicted, and that with the same of the reference's lists.

    Each list answers for the days until the next one alone, so that a lead's conversion is counted once, on one side,
    and counts are independent, however many lists a lead stands on. How fast conversions come within the horizon, and
    whether the model predicts a little too much, is the same on both sides and cancels out.

    Parameters
    ----------
    reference, current
        lead_id, snapshot_at, converted_at, probability; all rows of some lists, none of them in both.
    watched
        Days after each list in which its conversions are counted; at most those from one list to the next.
    days
        How many days the lists of `current` are of; repeated in the row.
    n_comparisons
        How many such comparisons share one check.

    Returns
    -------
    dict
        days, n (rows), predicted (within the whole horizon), observed, expected, ratio (observed to expected; missing
        where nothing is known of the reference), p_value (conditional on all conversions; Przyborowski and Wilenski
        1940, Biometrika 31, 313-323).
    """
    observed = [int(within(rows["snapshot_at"], rows["converted_at"], watched).sum()) for rows in (reference, current)]
    predicted = [float(rows["probability"].sum()) for rows in (reference, current)]
    row = {"days": days, "n": len(current), "predicted": predicted[1], "observed": observed[1]}
    if not observed[0] or not predicted[1]:
        return row | {"expected": float("nan"), "ratio": float("nan"), "p_value": 1.0}
    expected = predicted[1] * observed[0] / predicted[0]
    chance = scipy.stats.binomtest(observed[1], sum(observed), predicted[1] / sum(predicted)).pvalue
    return row | {"expected": expected, "ratio": observed[1] / expected, "p_value": min(1.0, chance * n_comparisons)}


def early(rows: Sequence[Row], params: MonitorParams) -> CheckResult:
    """MN10: check that the newest lists convert as fast as the reference did; `rows` as from `early_conversions`."""
    counted = [
        row
        for row in rows
        if np.isfinite(row["ratio"]) and max(row["observed"], row["expected"]) >= params.min_positive
    ]
    if not counted:
        few = f"fewer than {params.min_positive:,} conversions happened, or were expected, after the newest lists"
        return EARLY.not_applicable(few, early=True)
    low, high = 1 / params.rate_change, params.rate_change
    bad = [row for row in counted if not low <= row["ratio"] <= high and row["p_value"] <= params.each]
    detail = "; ".join(
        f"after the lists of {row['days']} days {row['observed']:,} converted, {row['expected']:.0f} expected"
        for row in bad or counted
    )
    numbers = {f"ratio {row['days']}d": row["ratio"] for row in counted}
    return EARLY.result(not bad, detail, numbers, early=True)


def estimate(rows: pd.DataFrame, settings: OutcomeSettings) -> Metrics:
    """Estimate figures from the probabilities alone: each row counts as the share of a win that its probability says.

    Returns
    -------
    dict
        auc, log_loss, precision_at_k and base_rate that would be seen if every probability held.

    Source: confidence-based performance estimation; Białek et al. 2024, "Estimating model performance under covariate
    shift without labels", arXiv 2401.08348.
    """
    chance = rows["probability"].to_numpy("float64")
    ranked = _ranked(rows.assign(label=chance), chance, settings)
    metrics = compute_metrics(ranked, np.ones(len(rows)), settings.evaluate)
    return {name: metrics[name] for name in ("auc", "log_loss", "precision_at_k", "base_rate")}


def estimated(current: Metrics, reference: Metrics, measured: Metrics | None) -> CheckResult:
    """MN11: state the estimate; it never fails, because it rests on what is to be checked."""
    seen = "" if measured is None else f" (measured there: AUC {measured['auc']:.3f})"
    detail = (
        f"estimated AUC {current['auc']:.3f}, {current['base_rate']:.2%} to convert; in the reference "
        f"{reference['auc']:.3f}{seen} and {reference['base_rate']:.2%}. {ASSUMPTION}"
    )
    return ESTIMATE.result(True, detail, {f"estimated {name}": value for name, value in current.items()})


def _ranked(rows: pd.DataFrame, probability: np.ndarray, settings: OutcomeSettings) -> Ranked:
    return Ranked.of(rows, probability, settings.capacity, settings.evaluate.calibration_bins)
