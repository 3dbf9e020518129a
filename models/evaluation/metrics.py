"""How good a ranked, probabilistic prediction is, each figure with a bootstrap interval by lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from features.schema.spec import Spec
from models.evaluation.estimate import Estimate, ModelMetrics
from models.evaluation.intervals import lead_weights, percentile_interval, resampled_leads
from models.evaluation.results import WinsGained

SPARE = 2  # times capacity: leads that were not drawn again make room for further ones
ROUNDING = 1e-6
LEAST_PROBABILITY = 1e-9
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


@dataclass(frozen=True)
class Ranked:
    """Predictions sorted from the best down, ties broken by lead and moment, with what every figure needs.

    Attributes
    ----------
    label, probability
        Shape (n,), sorted.
    lead
        Code of each row's lead, 0 to n_leads - 1; resampling draws leads, because their snapshots depend on each other.
        Codes go by lead_id, so that one seed draws the same leads for every prediction of the same rows.
    tie_end
        For each distinct probability, the index of its last row. Rows of one probability have no order, so every curve
        runs straight across them; a constant prediction has lift 1, whatever the ids of the winners.
    by_moment, moment_start
        The rows in the order of their moments, best first in each; and for each row of that order, the index where its
        moment begins.
    capacity
        How many rows of a moment are called.
    bins
        Number of calibration groups.
    weight
        How often each row counts, shape (n,), sorted.
    """

    label: np.ndarray
    probability: np.ndarray
    lead: np.ndarray
    n_leads: int
    tie_end: np.ndarray
    by_moment: np.ndarray
    moment_start: np.ndarray
    capacity: int
    bins: int
    weight: np.ndarray

    @classmethod
    def of(
        cls, rows: pd.DataFrame, probability: np.ndarray, capacity: int, bins: int, weight: np.ndarray | None = None
    ) -> Ranked:
        """Sort rows of lead_id, snapshot_at and label by a probability; without a weight, all (n,) rows count once."""
        frame = rows[["lead_id", "snapshot_at", "label"]].assign(probability=probability)
        frame["weight"] = 1.0 if weight is None else weight
        frame = frame.sort_values(["probability", "lead_id", "snapshot_at"], ascending=[False, True, True])
        ordered = frame["probability"].to_numpy("float64")
        lead, leads = pd.factorize(frame["lead_id"], sort=True)
        moment, _ = pd.factorize(frame["snapshot_at"])
        by_moment = np.argsort(moment, kind="stable")
        return cls(
            label=frame["label"].to_numpy("float64"),
            probability=ordered,
            lead=lead,
            n_leads=len(leads),
            tie_end=np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1),
            by_moment=by_moment,
            moment_start=np.searchsorted(moment[by_moment], moment[by_moment]),
            capacity=capacity,
            bins=bins,
            weight=frame["weight"].to_numpy("float64"),
        )

    @cached_property
    def losses(self) -> np.ndarray:
        """The log-loss of each row, shape (n,)."""
        return row_losses(self.label, self.probability)

    @cached_property
    def gap(self) -> np.ndarray:
        """By how much each probability is too high, shape (n,)."""
        return self.probability - self.label

    @cached_property
    def squares(self) -> np.ndarray:
        """The squared gap of each row, shape (n,)."""
        return self.gap**2

    @cached_property
    def first(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """The best rows of each moment, a few times its capacity; where each moment begins; whether those are all."""
        rank = np.arange(len(self.by_moment)) - self.moment_start
        kept = rank < SPARE * self.capacity
        rows = self.by_moment[kept]
        begin = np.maximum.accumulate(np.where(rank[kept] == 0, np.arange(len(rows)), 0))
        return rows, begin, bool(kept.all())

    def curve(self, values: np.ndarray) -> np.ndarray:
        """Cumulate values of each row at the ends of ties, beginning with 0."""
        return np.concatenate([[0.0], np.cumsum(values)[self.tie_end]])


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
        calls=float(_all_called(model).sum() / lists / sampled),
        wins=float(wins.sum()),
        wins_today=float(wins_today.sum()),
        gained=float(wins.sum() - wins_today.sum()),
        gained_low=low,
        gained_high=high,
    )


def _wins_by_lead(ranked: Ranked) -> np.ndarray:
    won = _all_called(ranked) * ranked.label[ranked.by_moment]
    return np.bincount(ranked.lead[ranked.by_moment], won, minlength=ranked.n_leads)


def _ranking_draws(ranked: Ranked, params: EvaluateParams, seed: int) -> np.ndarray:
    return np.array([_ranking(ranked, weight) for weight in _row_weights(ranked, params, seed)])


def _ranking(ranked: Ranked, weight: np.ndarray) -> np.ndarray:
    """Return AUC and lift at capacity."""
    positive, seen = ranked.curve(weight * ranked.label), ranked.curve(weight)
    rate = positive[-1] / seen[-1]
    lift = _precision_at_capacity(ranked, weight) / rate if rate > 0 else float("nan")
    return np.array([_auc(positive, seen), lift])


def row_losses(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the log-loss of each row, shape (n,)."""
    p = np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return -(scipy.special.xlogy(label, p) + scipy.special.xlog1py(1 - label, -p))


def compute_metrics(ranked: Ranked, weight: np.ndarray, params: EvaluateParams) -> Metrics:
    """Compute every figure once, rows weighted by `weight` of shape (n,): a weight of 2 is the row twice."""
    label = ranked.label
    positive, seen = ranked.curve(weight * label), ranked.curve(weight)
    total = seen[-1]
    gap = _by_bin(ranked, seen, weight * ranked.gap)
    called, rate = _precision_at_capacity(ranked, weight), float(positive[-1] / total)
    result = {
        "auc": _auc(positive, seen),
        "average_precision": _average_precision(positive, seen),
        "log_loss": float(weight @ ranked.losses / total),
        "brier": float(weight @ ranked.squares / total),
        "calibration_error": float(np.abs(gap).sum() / total),
        "precision_at_k": called,
        "capacity_lift": called / rate if rate > 0 else float("nan"),
        "base_rate": rate,
        "mean_probability": float(weight @ ranked.probability / total),
    }
    for share in params.top_shares:
        gain = float(np.interp(share * total, seen, positive) / positive[-1]) if positive[-1] > 0 else float("nan")
        name = f"{share * 100:g}"
        result |= {f"gain_at_{name}": gain, f"lift_at_{name}": gain / share}
    return result


def gain_curve(ranked: Ranked, points: int = 101) -> pd.DataFrame:
    """Return share_called, gain and lift at evenly spaced shares of the rows."""
    share = np.linspace(0, 1, points)
    caught, seen = ranked.curve(ranked.weight * ranked.label), ranked.curve(ranked.weight)
    gain = np.interp(share * seen[-1], seen, caught) / max(caught[-1], 1)
    lift = np.divide(gain, share, out=np.full(points, np.nan), where=share > 0)
    return pd.DataFrame({"share_called": share, "gain": gain, "lift": lift})


def calibration_curve(ranked: Ranked, params: EvaluateParams, seed: int) -> pd.DataFrame:
    """Return, for each group of equal size, n (rounded), mean probability, observed rate and its interval by lead."""
    once = np.ones(len(ranked.label))
    seen = ranked.curve(ranked.weight)
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

    `seen` cumulates the weights of the rows.

    Source: Naeini et al. 2015, AAAI, "expected calibration error", with groups of equal size.
    """
    edges = np.linspace(0, seen[-1], ranked.bins + 1)
    return np.asarray(np.diff(np.interp(edges, seen, ranked.curve(values))))


def _rate_by_bin(ranked: Ranked, weight: np.ndarray) -> np.ndarray:
    return _by_bin(ranked, ranked.curve(weight), weight * ranked.label) / (weight.sum() / ranked.bins)


def _row_weights(ranked: Ranked, params: EvaluateParams, seed: int) -> Iterator[np.ndarray]:
    """Weigh the rows by how often their leads are resampled, once for each resample."""
    return (drawn[ranked.lead] * ranked.weight for drawn in lead_weights(ranked.n_leads, params.resamples, seed))


def _estimate(value: float, draws: np.ndarray, confidence: float, n: int) -> Estimate:
    return Estimate(value, *percentile_interval(draws, confidence), n=n)


def _auc(positive: np.ndarray, seen: np.ndarray) -> float:
    """Area under the ROC curve from weights cumulated at the ends of ties."""
    negative = seen - positive
    if positive[-1] <= 0 or negative[-1] <= 0:
        return float("nan")
    return float(np.trapezoid(positive, negative) / (positive[-1] * negative[-1]))


def _average_precision(positive: np.ndarray, seen: np.ndarray) -> float:
    if positive[-1] <= 0:
        return float("nan")
    precision = np.divide(positive, seen, out=np.zeros_like(seen), where=seen > 0)
    return float(np.diff(positive) @ precision[1:] / positive[-1])


def _precision_at_capacity(ranked: Ranked, weight: np.ndarray) -> float:
    """Return the share of winners among the best `capacity` of each moment, ties broken by lead."""
    rows, begin, all_rows = ranked.first
    called = _called(weight[rows], begin, ranked.capacity)
    if not all_rows and _some_moment_short(called, begin, ranked.capacity):
        rows = ranked.by_moment
        called = _called(weight[rows], ranked.moment_start, ranked.capacity)
    return float(called @ ranked.label[rows] / called.sum())


def _called(weight: np.ndarray, begin: np.ndarray, capacity: int) -> np.ndarray:
    """Return how much of each row is called, best first within moments that begin at `begin`, shape (n,)."""
    before = np.cumsum(weight) - weight
    return np.clip(capacity - (before - before[begin]), 0, weight)


def _all_called(ranked: Ranked) -> np.ndarray:
    return _called(ranked.weight[ranked.by_moment], ranked.moment_start, ranked.capacity)


def _some_moment_short(called: np.ndarray, begin: np.ndarray, capacity: int) -> bool:
    starts = np.unique(begin)
    return bool((np.add.reduceat(called, starts) < capacity - ROUNDING).any())
