"""How good the model is between lists: at ages since creation, and right after inbound events."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from models.evaluation.metrics import EvaluateParams, Ranked, evaluate
from models.evaluation.rate_comparison import RateLimits, compare_rate, first_share
from models.evaluation.results import MomentMetrics


def moment_metrics(
    rows: pd.DataFrame, moments: Sequence[str], params: EvaluateParams, limits: RateLimits, seed: int
) -> list[MomentMetrics]:
    """Compute the figures of each kind of moment that has rows.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label, moment, probability of the test.
    moments
        The kinds, in the order of the result.
    """
    by_kind = {kind: rows[rows["moment"] == kind].reset_index(drop=True) for kind in moments}
    return [_metrics(kind, of_kind, params, limits, seed) for kind, of_kind in by_kind.items() if len(of_kind)]


def _metrics(
    kind: str, rows: pd.DataFrame, params: EvaluateParams, limits: RateLimits, seed: int
) -> MomentMetrics:  # fmt: skip
    ranked = Ranked.of(rows, rows["probability"].to_numpy("float64"), capacity=1, bins=params.calibration_bins)
    figures = evaluate(ranked, params, seed)
    return MomentMetrics(
        moment=kind,
        n=figures.n,
        n_leads=figures.n_leads,
        n_positive=figures.n_positive,
        **figures.auc.flat("auc"),
        **figures.log_loss.flat("log_loss"),
        rates=compare_rate(rows, first_share(params.confidence), limits),
    )
