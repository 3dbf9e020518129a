"""What capacity buys: the cut-off that fills it, the wins to expect, and those on held-out lists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from models.evaluation.intervals import lead_weights, percentile_interval
from models.evaluation.metrics import EvaluateParams
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
        probability, score; one row a lead.
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
        cut_off=int(called["score"].iloc[-1]) if len(called) else None,
        wins=float(chance.sum()),
        wins_low=low,
        wins_high=high,
    )


def observed_wins(
    rows: pd.DataFrame, rank_in_list: pd.Series[float], capacity: int, params: EvaluateParams, seed: int
) -> list[dict[str, Any]]:
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
        rate's `_low` and `_high` over resampled leads, the lists and who is called kept as they are.
    """
    lists = max(rows["snapshot_at"].nunique(), 1)
    lead, leads = pd.factorize(rows["lead_id"])
    weights = list(lead_weights(len(leads), params.resamples, seed))
    rows_by_capacity = []
    for size in _capacities(capacity):
        called = (rank_in_list < size).to_numpy()
        wins = np.bincount(lead[called], rows["label"].to_numpy("float64")[called], minlength=len(leads))
        calls = np.bincount(lead[called], minlength=len(leads))
        drawn = np.array([(weight @ wins, weight @ calls) for weight in weights]).T
        rates = np.divide(drawn[0], drawn[1], out=np.zeros(len(weights)), where=drawn[1] > 0)
        wins_low, wins_high = percentile_interval(drawn[0] / lists, params.confidence)
        rate_low, rate_high = percentile_interval(rates, params.confidence)
        rows_by_capacity.append(
            {
                "capacity": size,
                "lists": lists,
                "leads": float(calls.sum() / lists),
                "wins": float(wins.sum() / lists),
                "wins_low": wins_low,
                "wins_high": wins_high,
                "rate": float(wins.sum() / max(calls.sum(), 1)),
                "rate_low": rate_low,
                "rate_high": rate_high,
            }
        )
    return rows_by_capacity


def _capacities(capacity: int) -> list[int]:
    return [scaled_capacity(capacity, times) for times in CAPACITIES]
