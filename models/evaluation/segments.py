"""The parts of the rows whose figures are computed apart: segments, and moments between lists."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from features.matrix.catalogue import Catalogue
from models.evaluation.metrics import EvaluateParams, Ranked, evaluate
from models.evaluation.rate_comparison import RateLimits, compare_rate, first_share
from models.evaluation.results import MomentMetrics

REST = "other"


def segment_levels(rows: pd.DataFrame, catalogue: Catalogue, params: EvaluateParams) -> pd.DataFrame:
    """Name the segment of each row.

    Parameters
    ----------
    rows
        The feature matrix, with the codes of its categories.

    Returns
    -------
    DataFrame
        One column for each of `evaluate.segments` that is a category of the matrix, by the index of `rows`; levels with
        fewer than `min_segment_rows` rows are grouped as "other".
    """
    levels = {entry.name: entry.levels for entry in catalogue if entry.levels is not None}
    named = {name: _named(rows[name], levels[name], params) for name in params.segments if name in levels}
    return pd.DataFrame(named, index=rows.index)


def _named(codes: pd.Series[float], levels: list[str], params: EvaluateParams) -> pd.Series[str]:
    name = codes.map({float(code): level for code, level in enumerate(levels)}).astype(object).fillna("not known")
    counts = name.value_counts()
    return name.where(name.map(counts) >= params.min_segment_rows, REST).astype("str")


def moment_metrics(
    rows: pd.DataFrame, moments: Sequence[str], params: EvaluateParams, limits: RateLimits, seed: int
) -> list[MomentMetrics]:
    """Compute the figures of each kind of moment that has rows: ages since creation, and right after inbound events.

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
