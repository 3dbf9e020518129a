"""Revenue of many leads: what it may come to, and what lists brought more than others did."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from models.evaluation.estimate import Estimate
from models.evaluation.intervals import percentile_interval

DRAWS = 1000
LEAST_DEALS = 5  # of fewer no interval says anything
LEAST = 1e-12  # so that a resample without any cost divides by no zero


def total_revenue(
    probability: np.ndarray, log_value: np.ndarray, residuals: np.ndarray, error: float, confidence: float, seed: int
) -> Estimate:
    """Return what leads are expected to bring in all, and the interval in which it will lie.

    Drawn: who is won, by the probabilities, independently; and what a won deal brings, by how far deals were off.
    The residuals are resampled in each draw, so that few deals make a wide interval.

    Parameters
    ----------
    probability, log_value
        Of each lead, shape (n,).
    residuals, error
        Of `DealValueModel`.
    """
    rng, n = np.random.default_rng(seed), len(residuals)
    mean = float((probability * np.exp(log_value)).sum() * np.exp(residuals).mean())
    draws = np.empty(DRAWS)
    for number in range(DRAWS):
        won = log_value[rng.random(len(probability)) < probability]
        known = residuals[rng.integers(0, n, n)]
        draws[number] = np.exp(rng.normal(0, error) + won + known[rng.integers(0, n, len(won))]).sum()
    return Estimate(mean, *percentile_interval(draws, confidence), len(probability))


def gain(first: np.ndarray, second: np.ndarray, lists: int, confidence: float, seed: int) -> Estimate:
    """Return what the first of two rankings brought more than the second, a list, paired by lead.

    Parameters
    ----------
    first, second
        What each lead brought on the lists of either, shape (leads,). Of revenue: at the mean value of such deals,
        because with their own values a few large deals decide, and no interval of them is right.
    """
    return _studentised(first - second, np.zeros(len(first)), float(lists), confidence, seed)


def return_on_cost(revenue: np.ndarray, cost: np.ndarray, confidence: float, seed: int) -> Estimate:
    """Return revenue over cost, with its interval over leads; each of shape (leads,)."""
    found = _studentised(revenue, cost, 0.0, confidence, seed)
    return replace(found, low=max(found.low, 0.0) if found.low == found.low else found.low)


def _studentised(over: np.ndarray, under: np.ndarray, fixed: float, confidence: float, seed: int) -> Estimate:
    """Return the sum of `over` over `fixed` and the sum of `under`, with its interval over leads.

    By the studentised bootstrap, in which each lead is drawn as often as a Poisson variable of mean 1 says: percentiles
    of resamples fall short where a few deals are most of the revenue; a resample without these has a small spread too,
    and the studentised interval allows for it. The cost of leads that brought nothing is drawn as a sum.

    Of fewer than LEAST_DEALS the interval is not a number.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, 12.5.
    """
    brought, n, rng = over != 0, len(over), np.random.default_rng(seed)
    idle, idle_squared = float(under[~brought].sum()), float((under[~brought] ** 2).sum())
    over, under = over[brought], under[brought]
    if fixed + idle + float(under.sum()) <= 0:
        return Estimate(math.nan, math.nan, math.nan, n)

    def ratios(times: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ratio and its standard error, where each lead counts so often; shape (draws,)."""
        total = np.maximum(fixed + rest + times @ under, LEAST)
        ratio = times @ over / total
        squares = times @ over**2 - 2 * ratio * (times @ (over * under)) + ratio**2 * (times @ under**2 + idle_squared)
        return ratio, np.sqrt(np.maximum(squares, 0)) / total

    if len(over) < LEAST_DEALS:
        return Estimate(float(over.sum() / max(fixed + idle + float(under.sum()), LEAST)), math.nan, math.nan, n)

    (value,), (error,) = ratios(np.ones((1, len(over))), np.array([idle]))
    rest = np.maximum(rng.normal(idle, math.sqrt(idle_squared), DRAWS), idle / 10)
    drawn, errors = ratios(rng.poisson(1.0, (DRAWS, len(over))).astype("float64"), rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = percentile_interval((drawn - value) / errors, confidence)
    return Estimate(float(value), float(value - high * error), float(value - low * error), n)
