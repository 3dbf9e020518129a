"""Revenue of many leads: what it may come to, and what lists brought more than others did."""

from __future__ import annotations

import math

import numpy as np

from models.evaluation.estimate import Estimate
from models.evaluation.intervals import percentile_interval

DRAWS = 1000
LEAST_DEALS = 5  # of fewer no interval says anything
LEAST = 1e-12  # so that a resample without any cost divides by no zero


def total_revenue(
    probability: np.ndarray,
    log_value: np.ndarray,
    spread: np.ndarray,
    residuals: np.ndarray,
    confidence: float,
    seed: int,
) -> Estimate:
    """Return what leads are expected to bring in all, and the interval in which it will lie.

    Drawn: who is won, by the probabilities, independently; and what a won deal brings, by how far deals were off.
    The residuals are resampled in each draw, so that few deals make a wide interval.

    Parameters
    ----------
    probability, log_value
        Of each lead, shape (n,).
    spread, residuals
        Of `DealValueModel`; the spread of each lead, shape (n, k).
    """
    rng, n = np.random.default_rng(seed), len(residuals)
    mean = float((probability * np.exp(log_value)).sum() * np.exp(residuals).mean())
    draws = np.empty(DRAWS)
    for number in range(DRAWS):
        won = rng.random(len(probability)) < probability
        log = log_value[won] + spread[won] @ rng.normal(size=spread.shape[1])
        known = residuals[rng.integers(0, n, n)]
        draws[number] = np.exp(log + known[rng.integers(0, n, len(log))]).sum()
    return Estimate(mean, *percentile_interval(draws, confidence), len(probability))


def return_on_cost(
    revenue: np.ndarray, cost: np.ndarray, log_value: np.ndarray, residuals: np.ndarray, confidence: float, seed: int
) -> Estimate:
    """Return revenue over cost, with its interval over leads; not a number of fewer than LEAST_DEALS.

    Studentised as `gain`, but each resample draws what its deals brought anew, by how far earlier deals and these were
    off: of a few dozen deals most samples hold none of the dear ones that are much of the mean, and no resample of such
    a sample can know of them.

    Parameters
    ----------
    revenue, cost, log_value
        Of each lead, shape (n,); the mean log of its deal as of `DealValueModel`.
    residuals
        Of `DealValueModel`.
    """
    deals, rng, n = revenue > 0, np.random.default_rng(seed), len(revenue)
    if cost.sum() <= 0:
        return Estimate(math.nan, math.nan, math.nan, n)
    value, error = _ratio(revenue, cost, 0.0, 0.0)
    if deals.sum() < LEAST_DEALS:
        return Estimate(value, math.nan, math.nan, n)
    log, spent = log_value[deals], cost[deals]
    off = np.concatenate([residuals, np.log(revenue[deals]) - log])
    mean = float(np.exp(log).sum() * np.exp(off).mean() / cost.sum())
    idle, squared = float(cost[~deals].sum()), float((cost[~deals] ** 2).sum())  # the cost of the others, as a sum
    rest = np.maximum(rng.normal(idle, math.sqrt(squared), DRAWS), idle / 10)
    away = np.empty(DRAWS)
    for number, count in enumerate(rng.poisson(deals.sum(), DRAWS)):
        who = rng.integers(0, len(log), count)
        brought = np.exp(log[who] + off[rng.integers(0, len(off), count)])
        drawn, spread = _ratio(brought, spent[who], float(rest[number]), squared)
        away[number] = (drawn - mean) / spread if spread > 0 else math.nan
    low, high = percentile_interval(away, confidence)
    return Estimate(value, max(value - high * error, 0.0), value - low * error, n)


def _ratio(revenue: np.ndarray, cost: np.ndarray, rest: float, rest_squared: float) -> tuple[float, float]:
    """Return revenue over cost, and its standard error over leads; `rest` is the cost of leads without revenue."""
    total = max(float(cost.sum()) + rest, LEAST)
    ratio = float(revenue.sum()) / total
    squares = float(((revenue - ratio * cost) ** 2).sum()) + ratio**2 * rest_squared
    return ratio, math.sqrt(squares) / total


def gain(first: np.ndarray, second: np.ndarray, lists: int, confidence: float, seed: int) -> Estimate:
    """Return what the first of two rankings brought more than the second, a list, paired by lead.

    By the studentised bootstrap, in which each lead is drawn as often as a Poisson variable of mean 1 says: percentiles
    of resamples fall short where a few deals are most of the gain; a resample without these has a small spread too, and
    the studentised interval allows for it. Of fewer than LEAST_DEALS leads that differ it is not a number.

    Parameters
    ----------
    first, second
        What each lead brought on the lists of either, shape (leads,). Of revenue: at the mean value of such deals,
        because with their own values a few large deals decide, and no interval of them is right.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, 12.5.
    """
    more, n, rng = (first - second)[first != second], len(first), np.random.default_rng(seed)
    value, error = float(more.sum()) / lists, math.sqrt(float((more**2).sum())) / lists
    if len(more) < LEAST_DEALS:
        return Estimate(value, math.nan, math.nan, n)
    times = rng.poisson(1.0, (DRAWS, len(more))).astype("float64")
    with np.errstate(divide="ignore", invalid="ignore"):
        away = (times @ more / lists - value) / (np.sqrt(times @ more**2) / lists)
    low, high = percentile_interval(away, confidence)
    return Estimate(value, value - high * error, value - low * error, n)
