"""One sigmoid on the blended log-odds: it never changes the ranking, and contributions stay additive.

Its slope is fitted within periods, its intercept to recent outcomes: how leads of one week compare with each other
holds longer than how many of them buy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit

LEAST_SLOPE, GREATEST_SLOPE = 0.05, 5.0  # a model without skill is flattened, never turned upside down
GREATEST_SHIFT = 50.0  # log-odds; past it a probability is 0 or 1 in floating point
NEWTON_STEPS, LONGEST_STEP = 60, 2.0


class Sigmoid(BaseModel):
    """probability = 1 / (1 + exp(-(intercept + slope * log_odds))).

    Source: Platt 1999, Advances in Large Margin Classifiers; here on log-odds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    intercept: float
    slope: float = Field(gt=0)

    def log_odds(self, raw: np.ndarray) -> np.ndarray:
        return self.intercept + self.slope * raw


def blend(boosters: np.ndarray, linear: np.ndarray, linear_share: float) -> np.ndarray:
    """Mix two models on the log-odds scale; works alike on their log-odds and on their contributions."""
    return (1 - linear_share) * boosters + linear_share * linear


def losses(log_odds: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the log-loss of each row, shape (n,)."""
    return np.logaddexp(0.0, log_odds) - label * log_odds


def losses_within(log_odds: np.ndarray, label: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Return the log-loss of each row once each period's intercept has been fitted to the period itself, shape (n,).

    What remains is how well rows of one period are separated. A period with one outcome alone has a loss of 0.

    Parameters
    ----------
    log_odds, label
        Shape (n,).
    period
        Code of each row's period, shape (n,).
    """
    n, won = np.bincount(period), np.bincount(period, label)
    mixed = (won > 0) & (won < n)
    shift = np.zeros(len(n))
    for _ in range(NEWTON_STEPS):
        p = expit(log_odds + shift[period])
        gap, slope = won - np.bincount(period, p), np.bincount(period, p * (1 - p))
        step = np.clip(gap / np.maximum(slope, 1e-12), -LONGEST_STEP, LONGEST_STEP)
        shift = np.where(mixed, shift + step, 0.0)
        if np.abs(step[mixed]).max(initial=0.0) < 1e-10:
            break
    return np.where(mixed[period], losses(log_odds + shift[period], label), 0.0)


def fit_slope(raw: Sequence[np.ndarray], label: Sequence[np.ndarray], period: Sequence[np.ndarray]) -> float:
    """Find the slope with the lowest loss within periods, over several sets of rows no model was trained on.

    Parameters
    ----------
    raw, label, period
        Of each set, shapes (n,): the model's log-odds, 0 or 1, and the code of the period.
    """

    def loss(slope: float) -> float:
        return float(sum(losses_within(slope * r, y, p).sum() for r, y, p in zip(raw, label, period, strict=True)))

    optimum = minimize_scalar(loss, bounds=(LEAST_SLOPE, GREATEST_SLOPE), method="bounded", options={"xatol": 1e-6})
    return round(float(optimum.x), 6)


def fit_intercept(log_odds: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    """Find the intercept at which the weighted predicted rate equals the weighted actual rate.

    As if one more row of either outcome had been seen at every score, after Platt: where only one outcome was seen, the
    intercept stays finite.
    """
    won = weight @ label
    target = (won + 0.5) / (weight.sum() + 1)

    def gap(shift: float) -> float:
        return float(weight @ expit(log_odds + shift) / weight.sum() - target)

    return round(float(brentq(gap, -GREATEST_SHIFT, GREATEST_SHIFT, xtol=1e-10)), 9)


def recency(at: np.ndarray, half_life: float) -> np.ndarray:
    """Return weights of rows that halve with age, shape (n,).

    Parameters
    ----------
    at
        Time of each row, shape (n,).
    half_life
        As a share of the time from the first row to the last; 0: all rows weigh 1.
    """
    span = float(np.ptp(at)) if len(at) else 0.0
    if half_life == 0 or span == 0:
        return np.ones(len(at))
    return np.asarray(0.5 ** ((at.max() - at) / (half_life * span)))
