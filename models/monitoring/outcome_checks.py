"""What a monitor asks of outcomes: are promises kept on cohorts that have matured, and what do the young ones say?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from models.evaluation.metrics import EvaluateParams, Figures, Ranked, evaluate, figures
from models.kpis.calibration_check import Lists, looks
from models.kpis.tier_kpis import KpiParams, Row, within
from models.monitoring.input_checks import Check, MonitorParams, answer, nothing

ASSUMPTION = (
    "An estimate, not a measurement: what the figures would be if every probability held. It moves when the leads "
    "change; it cannot see a change of how leads decide, as a new price brings. Outcomes tell, once they have matured."
)


@dataclass(frozen=True)
class Judging:
    """How outcomes are judged."""

    monitor: MonitorParams
    kpis: KpiParams
    evaluate: EvaluateParams
    capacity: int
    seed: int


def tier_looks(lists: Lists, judging: Judging) -> list[Row]:
    """Return promise and outcome of all leads and of each tier, each lead at its first list; see `generosity.looks`."""
    none = pd.DataFrame(index=lists.rows.index)
    return looks(lists, none, 1 - judging.monitor.each, judging.kpis)


def promises(found: Sequence[Row], params: MonitorParams) -> Check:
    """Check that what tiers promised came; `found` as from `tier_looks` of the matured lists."""
    title = "Tiers keep their promises on matured lists"
    if not found or found[0]["converted"] < params.min_positive:
        won = found[0]["converted"] if found else 0
        return nothing("MN08", title, f"{won:,} leads of matured lists converted, of {params.min_positive:,} needed")
    bad = [one for one in found if one["answer"] in ("too generous", "too strict")]
    said = [
        f"{one['name']} {one['answer']}: promised {one['promised']:.1%}, came {one['came']:.1%} "
        f"({one['came_low']:.1%} to {one['came_high']:.1%}, {one['leads']:,} leads)"
        for one in bad or found[:1]
    ]
    return answer(
        "MN08", title, bool(bad), "; ".join(said), {"promised": found[0]["promised"], "came": found[0]["came"]}
    )


def performance(rows: pd.DataFrame, judging: Judging) -> Figures | None:
    """Return the figures of matured rows with intervals over leads; None where too few leads converted."""
    matured = rows[rows["label"].notna()].reset_index(drop=True)
    won = matured.loc[matured["label"] == 1.0, "lead_id"].nunique()
    if won < judging.monitor.min_positive or won == matured["lead_id"].nunique():
        return None
    found = evaluate(_ranked(matured, matured["probability"].to_numpy(), judging), judging.evaluate, judging.seed)
    lift = {f"lift_at_k{end}": found[f"precision_at_k{end}"] / found["base_rate"] for end in ("", "_low", "_high")}
    return found | lift


def lift(before: Figures | None, now: Figures | None, judging: Judging) -> Check:
    """Check that the best leads are as far above the rest as in the reference; figures as of `performance`."""
    title = "Lift at capacity on matured lists is not lost"
    if before is None or now is None:
        where = "the reference" if before is None else "matured lists after the reference"
        least = judging.monitor.min_positive
        return nothing("MN09", title, f"fewer than {least:,} leads of {where} converted")
    gap = before["lift_at_k"] - now["lift_at_k"]
    width = math.hypot(*(_error(one, "lift_at_k", judging.evaluate.confidence) for one in (before, now)))
    chance = float(norm.sf(gap / width)) if width > 0 else 1.0
    lost = gap > judging.monitor.lift_loss * before["lift_at_k"]
    detail = (
        f"lift {now['lift_at_k']:.2f} ({now['lift_at_k_low']:.2f} to {now['lift_at_k_high']:.2f}), in the reference "
        f"{before['lift_at_k']:.2f} ({before['lift_at_k_low']:.2f} to {before['lift_at_k_high']:.2f}); AUC "
        f"{now['auc']:.3f}, it was {before['auc']:.3f}"
    )
    numbers = {"lift": now["lift_at_k"], "auc": now["auc"], "log_loss": now["log_loss"],
               "calibration_error": now["calibration_error"]}  # fmt: skip
    return answer("MN09", title, lost and chance <= judging.monitor.each, detail, numbers)


def _error(found: Figures, name: str, confidence: float) -> float:
    return (found[f"{name}_high"] - found[f"{name}_low"]) / (2 * float(norm.ppf((1 + confidence) / 2)))


def early_row(reference: pd.DataFrame, current: pd.DataFrame, watched: float, days: int, looks_taken: int) -> Row:
    """Compare the conversions of the newest lists with their promise, and that with the same of the reference's lists.

    Each list answers for the days until the next one alone, so that a lead's conversion is counted once, on one side,
    and counts are independent, however many lists a lead stands on. How fast conversions come within the horizon, and
    whether the model promises a little too much, is in both sides alike and falls out.

    Parameters
    ----------
    reference, current
        lead_id, snapshot_at, converted_at, probability; all rows of some lists, none of them in both.
    watched
        Days after each list in which its conversions are counted; at most those from one list to the next.
    days
        How many days the lists of `current` are of; told in the row.
    looks_taken
        How many such questions share one check.

    Returns
    -------
    dict
        days, n (rows), promised (within the whole horizon), came, expected, ratio (came to expected; missing where
        nothing is known of the reference), chance (p-value, conditional on all conversions; Przyborowski and Wilenski
        1940, Biometrika 31, 313-323).
    """
    came = [int(within(rows["snapshot_at"], rows["converted_at"], watched).sum()) for rows in (reference, current)]
    promised = [float(rows["probability"].sum()) for rows in (reference, current)]
    found = {"days": days, "n": len(current), "promised": promised[1], "came": came[1]}
    if not came[0] or not promised[1]:
        return found | {"expected": float("nan"), "ratio": float("nan"), "chance": 1.0}
    expected = promised[1] * came[0] / promised[0]
    chance = binomtest(came[1], sum(came), promised[1] / sum(promised)).pvalue
    return found | {"expected": expected, "ratio": came[1] / expected, "chance": min(1.0, chance * looks_taken)}


def early(found: Sequence[Row], params: MonitorParams) -> Check:
    """Check that the newest lists convert as fast as lists of the reference did; `found` as from `early_row`."""
    title = "Young lists convert as lists did"
    told = [
        row for row in found if np.isfinite(row["ratio"]) and max(row["came"], row["expected"]) >= params.min_positive
    ]
    if not told:
        few = f"fewer than {params.min_positive:,} conversions came, or were expected, after the newest lists"
        return Check("MN10", title, "not applicable", few, {}, True)
    low, high = 1 / params.rate_change, params.rate_change
    bad = [row for row in told if not low <= row["ratio"] <= high and row["chance"] <= params.each]
    said = "; ".join(
        f"after the lists of {row['days']} days {row['came']:,} came of {row['expected']:.0f} expected"
        for row in bad or told
    )
    numbers = {f"ratio {row['days']}d": row["ratio"] for row in told}
    return Check("MN10", title, "alert" if bad else "quiet", said, numbers, True)


def estimate(rows: pd.DataFrame, judging: Judging) -> Figures:
    """Estimate figures from the probabilities alone: each row is taken for so much of a win as its probability says.

    Returns
    -------
    dict
        auc, log_loss, precision_at_k and base_rate that would be seen if every probability held.

    Source: confidence-based performance estimation; Białek et al. 2024, "Estimating model performance under covariate
    shift without labels", arXiv 2401.08348.
    """
    chance = rows["probability"].to_numpy("float64")
    ranked = _ranked(rows.assign(label=chance), chance, judging)
    found = figures(ranked, np.ones(len(rows)), judging.evaluate)
    return {name: found[name] for name in ("auc", "log_loss", "precision_at_k", "base_rate")}


def estimated(current: Figures, reference: Figures, measured: Figures | None) -> Check:
    """Say what the estimate is; it never alerts, because it rests on what should be found out."""
    seen = "" if measured is None else f" (measured there: AUC {measured['auc']:.3f})"
    detail = (
        f"estimated AUC {current['auc']:.3f}, {current['base_rate']:.2%} to convert; in the reference "
        f"{reference['auc']:.3f}{seen} and {reference['base_rate']:.2%}. {ASSUMPTION}"
    )
    return answer("MN11", "Estimated performance of the newest list", False, detail, _plain(current))


def _plain(found: Mapping[str, float]) -> dict[str, float]:
    return {f"estimated {name}": value for name, value in found.items()}


def _ranked(rows: pd.DataFrame, probability: np.ndarray, judging: Judging) -> Ranked:
    return Ranked.of(rows, probability, judging.capacity, judging.evaluate.calibration_bins)
