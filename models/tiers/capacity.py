"""What capacity buys: the cut-off that fills it, the wins to expect, and those on held-out lists."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from models.evaluation.intervals import rate_interval
from models.evaluation.results import RealisedStep
from models.tiers.results import CapacityStep

CAPACITIES = (0.9, 1.0, 1.1)  # as it is, and a tenth less or more


def scaled_capacity(capacity: int, times: float) -> int:
    """Return a capacity scaled by a factor, in whole leads."""
    return math.floor(round(capacity * times, 6) + 0.5)


def sampled_capacity(capacity: int, sampled: float) -> int:
    """Return what of a capacity falls to a sample of the leads; `sampled` is the sample's share of them."""
    return max(1, round(capacity * sampled))


def wins_distribution(probability: np.ndarray) -> np.ndarray:
    """Return the chance of 0, 1, ... n wins among n independent leads, shape (n + 1,).

    Source: the Poisson-binomial distribution by convolution of its parts, exact; Hong 2013, Computational Statistics
    & Data Analysis 59.
    """
    parts = [np.array([1 - chance, chance]) for chance in probability] or [np.ones(1)]
    while len(parts) > 1:
        pairs = [np.convolve(one, other) for one, other in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[len(pairs) * 2 :]
    return parts[0]


def wins_interval(probability: np.ndarray, confidence: float) -> tuple[int, int]:
    """Return the central interval of the number of wins, where the probabilities are right and leads independent."""
    cumulated = np.cumsum(wins_distribution(probability))
    low, high = np.searchsorted(cumulated, [(1 - confidence) / 2, (1 + confidence) / 2])
    return int(low), int(min(high, len(probability)))


def expected_wins(
    scored: pd.DataFrame, rank_in_list: pd.Series[float], capacity: int, confidence: float
) -> list[CapacityStep]:
    """Say what capacity, and a tenth less or more, buys on one list: one step for each of CAPACITIES.

    Parameters
    ----------
    scored
        probability, score; one row a lead; rank_value where another figure ranks, so that no score is the cut-off.
    rank_in_list
        See `assignment.working_rank`.
    """
    capacities = _capacities(capacity)
    ordered = scored.loc[rank_in_list[np.isfinite(rank_in_list)].nsmallest(max(capacities)).index]
    return [_expected_of(ordered.head(size), size, confidence) for size in capacities]


def _expected_of(called: pd.DataFrame, capacity: int, confidence: float) -> CapacityStep:
    chance = called["probability"].to_numpy("float64")
    low, high = wins_interval(chance, confidence)
    return CapacityStep(
        capacity=capacity,
        leads=len(called),
        cut_off=int(called["score"].iloc[-1]) if len(called) and "rank_value" not in called else None,
        wins=float(chance.sum()),
        wins_low=low,
        wins_high=high,
    )


def observed_wins(
    rows: pd.DataFrame, rank_in_list: pd.Series[float], capacity: int, confidence: float
) -> list[RealisedStep]:
    """Say what capacity, and a tenth less or more, bought a list on held-out lists.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label; a win is a lead that converts within the horizon of its list, on every such list.
    rank_in_list
        Within the row's list; see `assignment.working_rank`.

    Returns
    -------
    list
        For each of CAPACITIES: capacity, lists, leads and wins (both a list, on average), rate, and the wins' and the
        rate's `_low` and `_high`. The interval is that of the rate among the leads called (`intervals.rate_interval`):
        how many are called is decided beforehand, so that wins never lie above it.
    """
    lists = max(rows["snapshot_at"].nunique(), 1)
    return [
        _observed_of(rows[(rank_in_list < size).to_numpy()], size, lists, confidence) for size in _capacities(capacity)
    ]


def _observed_of(called: pd.DataFrame, capacity: int, lists: int, confidence: float) -> RealisedStep:
    leads, label = len(called) / lists, called["label"].to_numpy("float64")
    rate = float(label.mean()) if len(called) else 0.0
    low, high = rate_interval(label, called["lead_id"].to_numpy(), confidence)
    return RealisedStep(
        capacity=capacity,
        lists=lists,
        leads=leads,
        wins=rate * leads,
        wins_low=low * leads,
        wins_high=high * leads,
        rate=rate,
        rate_low=low,
        rate_high=high,
    )


def _capacities(capacity: int) -> list[int]:
    return [scaled_capacity(capacity, times) for times in CAPACITIES]
