"""The figures that a page or a comparison shows, in their order and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.evaluation.results import JudgedMetrics


@dataclass(frozen=True)
class Measure:
    """One figure of merit: its key in metrics.json, its name, which way is better, how it is written, what it means."""

    name: str
    label: str
    better: Literal["higher", "lower"]
    form: Literal["share", "times", "number"]
    meaning: str
    needs_order: bool = False


FIRST_MEASURES = (
    Measure("auc", "AUC", "higher", "number", "how often a lead that converts ranks above one that does not"),
    Measure("average_precision", "Average precision", "higher", "number", "precision averaged over all cut-offs"),
    Measure("log_loss", "Log-loss", "lower", "number", "how far the probabilities are from the outcomes, in nats"),
    Measure("brier", "Brier score", "lower", "number", "mean squared error of the probabilities"),
    Measure(
        "calibration_error", "Calibration error", "lower", "number", "mean gap of predicted and actual rate by group"
    ),
)


def measures(metrics: JudgedMetrics) -> list[Measure]:
    """List the figures to compare: the fixed ones, lift at each share that was computed, precision at capacity."""
    shares = sorted(float(share) for share in metrics.test.lift_at)
    lifts = [
        Measure(
            f"lift_at_{share:g}", f"Lift at {share:g}%", "higher", "times", f"the best {share:g}%, in averages", True
        )
        for share in shares
    ]
    period = " a period" if metrics.snapshots.order == "dates" else ""
    called = f"conversion of the best {metrics.capacity:,}{period}"
    return [
        *FIRST_MEASURES,
        *lifts,
        Measure("precision_at_k", "Precision at capacity", "higher", "share", called, True),
    ]
