"""How good a ranked, probabilistic prediction is, each figure with a bootstrap interval by lead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import xlog1py, xlogy

LEAST_PROBABILITY = 1e-9
Figures = dict[str, float]


class EvaluateParams(BaseModel):
    """Which figures are computed, and how their intervals are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resamples: int = Field(ge=10)
    confidence: float = Field(gt=0, lt=1)
    top_shares: list[float] = Field(min_length=1)
    calibration_bins: int = Field(ge=2)
    segments: list[str]
    min_segment_rows: int = Field(ge=1)


@dataclass(frozen=True)
class Ranked:
    """Predictions sorted from the best down, ties broken by lead and moment, with what every figure needs.

    Attributes
    ----------
    label, probability
        Shape (n,), sorted.
    lead
        Code of each row's lead, 0 to n_leads - 1; resampling draws leads, because their snapshots depend on each other.
    tie_end
        For each distinct probability, the index of its last row; AUC and average precision step there.
    bin
        Calibration group of each row, groups of equal size.
    called
        Whether the row is among the first `capacity` of its moment.
    """

    label: np.ndarray
    probability: np.ndarray
    lead: np.ndarray
    n_leads: int
    tie_end: np.ndarray
    bin: np.ndarray
    called: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame, probability: np.ndarray, capacity: int, bins: int) -> Ranked:
        """Sort rows of lead_id, snapshot_at and label by a probability of shape (n,)."""
        frame = rows[["lead_id", "snapshot_at", "label"]].assign(probability=probability)
        frame = frame.sort_values(["probability", "lead_id", "snapshot_at"], ascending=[False, True, True])
        ordered = frame["probability"].to_numpy("float64")
        lead, leads = pd.factorize(frame["lead_id"])
        place = frame.groupby("snapshot_at", dropna=False).cumcount().to_numpy()
        return cls(
            label=frame["label"].to_numpy("float64"),
            probability=ordered,
            lead=lead,
            n_leads=len(leads),
            tie_end=np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1),
            bin=np.arange(len(ordered)) * bins // max(len(ordered), 1),
            called=place < capacity,
        )


def evaluate(ranked: Ranked, params: EvaluateParams, seed: int) -> Figures:
    """Compute every figure with `_low` and `_high` beside it.

    Returns
    -------
    dict
        auc, average_precision, log_loss, brier, calibration_error, lift_at_N and gain_at_N (N in percent),
        precision_at_k, base_rate, mean_probability, each with `_low` and `_high` (percentiles over resampled
        leads), and n, n_leads, n_positive.
    """
    point = figures(ranked, np.ones(len(ranked.label)), params)
    rng = np.random.default_rng(seed)
    draws = [figures(ranked, _row_weights(ranked, rng), params) for _ in range(params.resamples)]
    tail = (1 - params.confidence) / 2
    result: Figures = {}
    for name, value in point.items():
        sample = np.array([draw[name] for draw in draws])
        low, high = np.nanquantile(sample, [tail, 1 - tail]) if np.isfinite(sample).any() else (np.nan, np.nan)
        result |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    counts = {"n": len(ranked.label), "n_leads": ranked.n_leads, "n_positive": int(ranked.label.sum())}
    return result | {name: float(value) for name, value in counts.items()}


def figures(ranked: Ranked, weight: np.ndarray, params: EvaluateParams) -> Figures:
    """Compute every figure once, rows weighted by `weight` of shape (n,)."""
    label, probability = ranked.label, np.clip(ranked.probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    total = weight.sum()
    positive, seen = np.cumsum(weight * label), np.cumsum(weight)
    rate = positive[-1] / total
    loss = -(xlogy(label, probability) + xlog1py(1 - label, -probability))
    result = {
        "auc": _auc(positive[ranked.tie_end], seen[ranked.tie_end]),
        "average_precision": _average_precision(positive[ranked.tie_end], seen[ranked.tie_end]),
        "log_loss": float(weight @ loss / total),
        "brier": float(weight @ (probability - label) ** 2 / total),
        "calibration_error": _calibration_error(ranked, weight),
        "precision_at_k": _share(weight * ranked.called, label),
        "base_rate": float(rate),
        "mean_probability": float(weight @ ranked.probability / total),
    }
    for share in params.top_shares:
        caught = np.interp(share * total, np.concatenate([[0], seen]), np.concatenate([[0], positive]))
        gain = caught / positive[-1] if positive[-1] > 0 else np.nan
        name = f"{share * 100:g}"
        result |= {f"gain_at_{name}": float(gain), f"lift_at_{name}": float(gain / share)}
    return result


def gain_curve(ranked: Ranked, points: int = 101) -> pd.DataFrame:
    """Return share_called, gain and lift at evenly spaced shares of the rows."""
    share = np.linspace(0, 1, points)
    caught = np.concatenate([[0], np.cumsum(ranked.label)])
    gain = np.interp(share * len(ranked.label), np.arange(len(caught)), caught) / max(caught[-1], 1)
    lift = np.divide(gain, share, out=np.full(points, np.nan), where=share > 0)
    return pd.DataFrame({"share_called": share, "gain": gain, "lift": lift})


def calibration_curve(ranked: Ranked, params: EvaluateParams, seed: int) -> pd.DataFrame:
    """Return, for each group of equal size, n, mean probability, observed rate and its interval by lead."""
    bins = int(ranked.bin.max()) + 1
    n = np.bincount(ranked.bin, minlength=bins)
    rng = np.random.default_rng(seed)
    draws = np.array([_rate_by_bin(ranked, _row_weights(ranked, rng), bins) for _ in range(params.resamples)])
    tail = (1 - params.confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    promised = np.bincount(ranked.bin, ranked.probability, minlength=bins) / n
    observed = np.bincount(ranked.bin, ranked.label, minlength=bins) / n
    return pd.DataFrame({"n": n, "probability": promised, "rate": observed, "rate_low": low, "rate_high": high})


def _row_weights(ranked: Ranked, rng: np.random.Generator) -> np.ndarray:
    drawn = np.bincount(rng.integers(0, ranked.n_leads, ranked.n_leads), minlength=ranked.n_leads)
    return drawn[ranked.lead].astype("float64")


def _auc(positive: np.ndarray, seen: np.ndarray) -> float:
    """Area under the ROC curve from cumulative weights at the ends of ties."""
    negative = seen - positive
    if positive[-1] <= 0 or negative[-1] <= 0:
        return float("nan")
    area = np.trapezoid(np.concatenate([[0], positive]), np.concatenate([[0], negative]))
    return float(area / (positive[-1] * negative[-1]))


def _average_precision(positive: np.ndarray, seen: np.ndarray) -> float:
    if positive[-1] <= 0:
        return float("nan")
    precision = np.divide(positive, seen, out=np.zeros_like(seen), where=seen > 0)
    return float(np.sum(np.diff(np.concatenate([[0], positive])) * precision) / positive[-1])


def _calibration_error(ranked: Ranked, weight: np.ndarray) -> float:
    """Return the mean absolute gap of promised and observed rate over groups of equal size.

    Source: Naeini et al. 2015, AAAI, "expected calibration error", with equal-mass bins.
    """
    gap = np.bincount(ranked.bin, weight * (ranked.probability - ranked.label))
    return float(np.abs(gap).sum() / weight.sum())


def _rate_by_bin(ranked: Ranked, weight: np.ndarray, bins: int) -> np.ndarray:
    total = np.bincount(ranked.bin, weight, minlength=bins)
    won = np.bincount(ranked.bin, weight * ranked.label, minlength=bins)
    return np.divide(won, total, out=np.full(bins, np.nan), where=total > 0)


def _share(weight: np.ndarray, label: np.ndarray) -> float:
    return float(weight @ label / weight.sum()) if weight.sum() > 0 else float("nan")
