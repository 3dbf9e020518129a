"""One sigmoid on the blended log-odds: it never changes the ranking, and contributions stay additive.

Its slope is fitted within periods, its intercept to recent outcomes: how leads of one week compare with each other
holds longer than how many of them buy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from pydantic import BaseModel, ConfigDict, Field

STEP = 0.01  # of a slope, to take derivatives
LEAST_SLOPE, GREATEST_SLOPE = 0.05, 5.0  # a model without skill is flattened, never turned upside down
GREATEST_SHIFT = 50.0  # log-odds; past it a probability is 0 or 1 in floating point
NEWTON_STEPS, LONGEST_STEP = 60, 2.0


class Sigmoid(BaseModel):
    """probability = 1 / (1 + exp(-(intercept + slope * log_odds))).

    Source: Platt 1999, Advances in Large Margin Classifiers; here on log-odds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def losses_within(
    log_odds: np.ndarray, label: np.ndarray, period: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the log-loss of each row once each period's intercept has been fitted to the period itself, shape (n,).

    What remains is how well rows of one period are separated. A period with one outcome alone has a loss of 0.

    Parameters
    ----------
    log_odds, label
        Shape (n,).
    period
        Code of each row's period, shape (n,).
    weight
        How often each row counts, shape (n,); None: once.
    """
    weight = np.ones(len(label)) if weight is None else weight
    n, won = np.bincount(period, weight), np.bincount(period, weight * label)
    mixed = (won > 0) & (won < n)
    shift = np.zeros(len(n))
    for _ in range(NEWTON_STEPS):
        p = scipy.special.expit(log_odds + shift[period])
        gap, slope = won - np.bincount(period, weight * p), np.bincount(period, weight * p * (1 - p))
        step = np.clip(gap / np.maximum(slope, 1e-12), -LONGEST_STEP, LONGEST_STEP)
        shift = np.where(mixed, shift + step, 0.0)
        if np.abs(step[mixed]).max(initial=0.0) < 1e-10:
            break
    return np.where(mixed[period], losses(log_odds + shift[period], label), 0.0)


@dataclass(frozen=True)
class HeldOut:
    """Rows that no model of theirs was trained on.

    Attributes
    ----------
    raw, label, weight
        The model's log-odds, 0 or 1, and how often the row counts, shape (n,).
    period, lead
        Code of each row's period and lead, shape (n,).
    """

    raw: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    period: np.ndarray
    lead: np.ndarray


def fit_slope(rows: HeldOut) -> float:
    """Find the slope with the lowest loss within periods, shrunk towards 1 as far as it may be chance.

    The shrinkage is that of James and Stein with its positive part: a slope within its own standard error, over leads,
    of 1 is 1. Source: Efron and Morris 1973, Journal of the American Statistical Association 68, 117-130.
    """

    def loss(slope: float) -> float:
        return float(rows.weight @ losses_within(slope * rows.raw, rows.label, rows.period, rows.weight))

    bounds = (LEAST_SLOPE, GREATEST_SLOPE)
    slope = float(scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    off = slope - 1
    chance = (_slope_error(rows, slope) / off) ** 2 if off else 1.0
    return round(1 + off * max(0.0, 1 - chance), 6)


def _slope_error(rows: HeldOut, slope: float) -> float:
    """Return the standard error of a slope over leads: rows of one lead depend on each other."""

    def rises(at: float) -> np.ndarray:
        return rows.weight * losses_within(at * rows.raw, rows.label, rows.period, rows.weight)

    low, here, high = (rises(slope + step) for step in (-STEP, 0.0, STEP))
    bend = float((high - 2 * here + low).sum()) / STEP**2
    by_lead = np.bincount(rows.lead, (high - low) / (2 * STEP))
    return float(np.sqrt((by_lead**2).sum())) / bend if bend > 0 else float("inf")


def fit_intercept(log_odds: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    """Find the intercept at which the weighted predicted rate equals the weighted actual rate.

    As if one more row of either outcome had been seen at every score, after Platt: where only one outcome was seen, the
    intercept stays finite.
    """
    won = weight @ label
    target = (won + 0.5) / (weight.sum() + 1)

    def gap(shift: float) -> float:
        return float(weight @ scipy.special.expit(log_odds + shift) / weight.sum() - target)

    return round(float(scipy.optimize.brentq(gap, -GREATEST_SHIFT, GREATEST_SHIFT, xtol=1e-10)), 9)


@dataclass(frozen=True)
class MaturedRows:
    """Rows whose outcome is known at some time.

    Attributes
    ----------
    log_odds, label, weight
        Log-odds without an intercept, 0 or 1, and how often the row counts, shape (n,).
    at, known
        The time of the row and of its outcome, shape (n,).
    """

    log_odds: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    at: np.ndarray
    known: np.ndarray


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


def fresh_intercepts(history: MaturedRows, moments: np.ndarray, half_life: float) -> np.ndarray:
    """Return the intercept as of each moment, from the outcomes that were known by then.

    Parameters
    ----------
    history
        Rows whose outcome has matured, whenever that was.
    moments
        Shape (m,), in the unit of the history's times.
    half_life
        A row counts half when it is so much older than the newest that is known; 0: all rows alike.

    Returns
    -------
    ndarray
        Shape (m,); NaN where no outcome was known.
    """
    order = np.argsort(history.known, kind="stable")
    until = np.searchsorted(history.known[order], moments, side="right")
    fitted = {int(n): _intercept(history, order[:n], half_life) for n in np.unique(until)}
    return np.array([fitted[int(n)] for n in until])


def _intercept(history: MaturedRows, rows: np.ndarray, half_life: float) -> float:
    if not len(rows):
        return float("nan")
    at = history.at[rows]
    fades = 0.5 ** ((at.max() - at) / half_life) if half_life else np.ones(len(rows))
    return fit_intercept(history.log_odds[rows], history.label[rows], fades * history.weight[rows])
