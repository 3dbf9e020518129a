"""How good a ranked, probabilistic prediction is, each figure with a bootstrap interval by lead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from features.matrix.catalogue import Catalogue
from features.schema.spec import Spec
from models.evaluation.estimate import Estimate, ModelMetrics
from models.evaluation.intervals import lead_weights, percentile_interval, resampled_leads
from models.evaluation.ranked import Curve, Ranked, called, from_zero, precision_at_capacity, row_losses
from models.evaluation.rate_comparison import RateLimits, compare_rate, first_share
from models.evaluation.results import MomentMetrics, WinsGained

REST = "other"  # segments with few rows
Metrics = dict[str, float]


class EvaluateParams(Spec):
    """Which figures are computed, and how their intervals are."""

    resamples: int = Field(
        default=200, ge=10, le=100_000, description="Bootstrap resamples of leads behind every interval."
    )
    confidence: float = Field(default=0.9, gt=0, lt=1, description="Confidence of the intervals.")
    top_shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default=[0.01, 0.05, 0.1, 0.2],
        min_length=1,
        description="Lift and gain are shown for calling this share of the rows, the best.",
    )
    calibration_bins: int = Field(
        default=10, ge=2, le=1000, description="Groups of equal size for the calibration error and its plot."
    )
    segments: list[str] = Field(
        default=[],
        description=(
            "Attributes by whose values the metrics are computed separately; names that are no category of the "
            "data are passed over."
        ),
    )
    min_segment_rows: int = Field(default=200, ge=1, description='Smaller segments are shown together as "other".')


def evaluate(ranked: Ranked, params: EvaluateParams, seed: int) -> ModelMetrics:
    """Compute every figure with its interval: percentiles over resampled leads."""
    point = compute_metrics(ranked, ranked.weight, params)
    draws = [compute_metrics(ranked, weight, params) for weight in _row_weights(ranked, params, seed)]
    n = len(ranked.label)
    flat = {"n": float(n), "n_leads": float(ranked.n_leads), "n_positive": float(int(ranked.label.sum()))}
    for name, value in point.items():
        flat |= _estimate(value, np.array([draw[name] for draw in draws]), params.confidence, n).flat(name)
    return ModelMetrics.model_validate(flat)


def compare(rows: pd.DataFrame, model: np.ndarray, rival: np.ndarray, params: EvaluateParams, seed: int) -> Estimate:
    """Compute by how much a rival's log-loss lies above the model's, on the same rows and the same resamples.

    Parameters
    ----------
    rows
        lead_id and label.
    model, rival
        Probabilities, shape (n,).

    Returns
    -------
    Estimate
        The gap; above 0 the model is better.
    """
    label, lead = rows["label"].to_numpy("float64"), pd.factorize(rows["lead_id"])[0]
    gap = row_losses(label, rival) - row_losses(label, model)
    by_lead, n = np.bincount(lead, gap), np.bincount(lead).astype("float64")
    drawn = resampled_leads(len(n), params.resamples, seed)
    draws = np.array([by_lead[leads].sum() / n[leads].sum() for leads in drawn])
    return _estimate(float(gap.mean()), draws, params.confidence, len(rows))


class RankingGaps(NamedTuple):
    """AUC and lift at capacity (precision_at_k over base_rate) of a model less a rival's; above 0 it is better."""

    auc: Estimate
    capacity_lift: Estimate


def compare_ranking(model: Ranked, rival: Ranked, params: EvaluateParams, seed: int) -> RankingGaps:
    """Compute how much better than a rival the model ranks the same rows, on the same resamples."""
    point = _ranking(model, model.weight) - _ranking(rival, rival.weight)
    gaps = _ranking_draws(model, params, seed) - _ranking_draws(rival, params, seed)
    n = len(model.label)
    return RankingGaps(*(_estimate(float(point[k]), gaps[:, k], params.confidence, n) for k in range(2)))


def compare_wins(
    model: Ranked, today: Ranked, name: str, sampled: float, params: EvaluateParams, seed: int
) -> WinsGained:
    """Count how many more wins a list the model's calls bring than today's, on the same rows and the same resamples.

    Who is called stays as it is in the resamples: a list is made once, and chance decides who of it converts.

    Parameters
    ----------
    name
        Of the baseline that stands for today.
    sampled
        Share of all leads that the rows are; counts are for all of them.
    """
    lists = len(np.unique(model.moment_start))
    wins, wins_today = (_wins_by_lead(one) / lists / sampled for one in (model, today))
    draws = np.array([weight @ (wins - wins_today) for weight in lead_weights(model.n_leads, params.resamples, seed)])
    low, high = percentile_interval(draws, params.confidence)
    return WinsGained(
        incumbent=name,
        lists=lists,
        calls=float(called(model).sum() / lists / sampled),
        wins=float(wins.sum()),
        wins_today=float(wins_today.sum()),
        gained=float(wins.sum() - wins_today.sum()),
        gained_low=low,
        gained_high=high,
    )


def _wins_by_lead(ranked: Ranked) -> np.ndarray:
    won = called(ranked) * ranked.label[ranked.by_moment]
    return np.bincount(ranked.lead[ranked.by_moment], won, minlength=ranked.n_leads)


def _ranking_draws(ranked: Ranked, params: EvaluateParams, seed: int) -> np.ndarray:
    return np.array([_ranking(ranked, weight) for weight in _row_weights(ranked, params, seed)])


def _ranking(ranked: Ranked, weight: np.ndarray) -> np.ndarray:
    """Return AUC and lift at capacity."""
    curve = Curve.of(ranked, weight)
    lift = precision_at_capacity(ranked, weight) / (curve.won / curve.total) if curve.won > 0 else float("nan")
    return np.array([curve.auc(), lift])


def compute_metrics(ranked: Ranked, weight: np.ndarray, params: EvaluateParams) -> Metrics:
    """Compute every figure once, rows weighted by `weight` of shape (n,): a weight of 2 is the row twice."""
    curve = Curve.of(ranked, weight)
    gap = _by_bin(ranked, curve.seen, weight * ranked.gap)
    top, rate = precision_at_capacity(ranked, weight), curve.won / curve.total
    result = {
        "auc": curve.auc(),
        "average_precision": curve.average_precision(),
        "log_loss": curve.mean(ranked.losses),
        "brier": curve.mean(ranked.squares),
        "calibration_error": float(np.abs(gap).sum() / curve.total),
        "precision_at_k": top,
        "capacity_lift": top / rate if rate > 0 else float("nan"),
        "base_rate": rate,
        "mean_probability": curve.mean(ranked.probability),
    }
    for share, gain in zip(params.top_shares, curve.gain(np.array(params.top_shares)), strict=True):
        name = f"{share * 100:g}"
        result |= {f"gain_at_{name}": float(gain), f"lift_at_{name}": float(gain / share)}
    return result


def gain_curve(ranked: Ranked, points: int = 101) -> pd.DataFrame:
    """Return share_called, gain and lift at evenly spaced shares of the rows."""
    share = np.linspace(0, 1, points)
    gain = Curve.of(ranked, ranked.weight).gain(share)
    lift = np.divide(gain, share, out=np.full(points, np.nan), where=share > 0)
    return pd.DataFrame({"share_called": share, "gain": gain, "lift": lift})


def calibration_curve(ranked: Ranked, params: EvaluateParams, seed: int) -> pd.DataFrame:
    """Return, for each group of equal size, n (rounded), mean probability, observed rate and its interval by lead."""
    once = np.ones(len(ranked.label))
    seen = from_zero(ranked.weight)
    n, predicted, won = (
        _by_bin(ranked, seen, ranked.weight * part) for part in (once, ranked.probability, ranked.label)
    )
    draws = np.array([_rate_by_bin(ranked, weight) for weight in _row_weights(ranked, params, seed)])
    low, high = zip(*(percentile_interval(draw, params.confidence) for draw in draws.T), strict=True)
    rounded = np.rint(n).astype("int64")
    return pd.DataFrame(
        {"n": rounded, "probability": predicted / n, "rate": won / n, "rate_low": low, "rate_high": high}
    )


def _by_bin(ranked: Ranked, seen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum values of each row over calibration groups of equal size, best first; a row may be shared by two.

    `seen` cumulates the weights of the rows, from 0 on. A tie is shared as if its rows were all alike.

    Source: Naeini et al. 2015, AAAI, "expected calibration error", with groups of equal size.
    """
    edges = np.linspace(0, seen[-1], ranked.bins + 1)[1:]
    row = np.minimum(np.searchsorted(seen, edges), len(values)) - 1
    tie = np.searchsorted(ranked.tie_end, row)
    first, last = ranked.tie_start[tie], ranked.tie_end[tie] + 1
    share = (edges - seen[first]) / (seen[last] - seen[first])
    sums = from_zero(values)
    return np.diff(sums[first] + share * (sums[last] - sums[first]), prepend=0.0)


def _rate_by_bin(ranked: Ranked, weight: np.ndarray) -> np.ndarray:
    return _by_bin(ranked, from_zero(weight), weight * ranked.label) / (weight.sum() / ranked.bins)


def _row_weights(ranked: Ranked, params: EvaluateParams, seed: int) -> Iterator[np.ndarray]:
    """Weigh the rows by how often their leads are resampled, once for each resample."""
    return (drawn[ranked.lead] * ranked.weight for drawn in lead_weights(ranked.n_leads, params.resamples, seed))


def _estimate(value: float, draws: np.ndarray, confidence: float, n: int) -> Estimate:
    return Estimate(value, *percentile_interval(draws, confidence), n=n)


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
