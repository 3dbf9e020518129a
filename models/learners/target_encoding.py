"""Categories as numbers: how much more often than the average the leads of a level have converted so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from features.schema.stored import stored_array
from models.learners.gradient_boosting import TrainingSample

HALF = 0.5  # of a row of either outcome, added before log-odds are taken, which then exist


@dataclass(frozen=True)
class TargetEncoding:
    """The value of each level of each category: its log-odds less those of all rows, shrunk towards 0.

    Attributes
    ----------
    values
        By the feature's index: one number a level, in the order of the codes.
    """

    values: dict[int, np.ndarray]

    @classmethod
    def learn(cls, sample: TrainingSample, levels: dict[int, int], strength: float) -> Self:
        """Learn from all rows; `strength` average rows are added to each level."""
        weight = sample.weights
        everyone = float(weight.sum()), float(weight @ sample.label)
        values = {}
        for index, n_levels in levels.items():
            n, won = _count(sample.features[:, index], sample.label, weight, n_levels)
            values[index] = _level_value(n, won, *everyone, strength)
        return cls(values)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Return the features with codes replaced by the values of their levels; missing stays missing."""
        encoded = features.copy(order="K")  # same memory order: transposing a large matrix costs more than the rest
        for index, values in self.values.items():
            encoded[:, index] = _look_up(features[:, index], values)
        return encoded

    def to_json(self) -> dict[str, Any]:
        return {str(index): values.tolist() for index, values in self.values.items()}

    @classmethod
    def from_json(cls, tree: dict[str, Any], levels: Mapping[int, int]) -> Self:
        """Rebuild from `to_json`, where `levels` are how many each category has; raises as `Linear.from_json` does."""
        return cls({int(index): stored_array(values, (levels[int(index)],)) for index, values in tree.items()})


def encode_in_time_order(
    sample: TrainingSample, known: np.ndarray, at: np.ndarray, levels: dict[int, int], strength: float
) -> np.ndarray:
    """Encode each row by the rows whose outcome was known at its time, never by its own or a later one.

    Source: ordered target statistics, Prokhorenkova et al. 2018, NeurIPS, with time instead of a random order.

    Parameters
    ----------
    known, at
        When each row's outcome was known, and the time of the row, shapes (n,).

    Returns
    -------
    ndarray
        The features, shape (n, k), codes replaced.
    """
    encoded = sample.features.copy()
    order, weight = np.argsort(known, kind="stable"), sample.weights
    earlier = np.searchsorted(known[order], at, side="left")
    converted = weight * sample.label
    n_all, won_all = _before(weight[order], earlier), _before(converted[order], earlier)
    for index, n_levels in levels.items():
        column = sample.features[:, index]
        for level in range(n_levels):
            rows, known_rows = np.flatnonzero(column == level), order[column[order] == level]
            earlier = np.searchsorted(known[known_rows], at[rows], side="left")
            n, won = _before(weight[known_rows], earlier), _before(converted[known_rows], earlier)
            encoded[rows, index] = _level_value(n, won, n_all[rows], won_all[rows], strength)
    return encoded


def encode_out_of_fold(sample: TrainingSample, fold: np.ndarray, levels: dict[int, int], strength: float) -> np.ndarray:
    """Encode each row by the rows of the other folds, where there is no order; `fold` is each row's, shape (n,)."""
    encoded = sample.features.copy()
    for number in np.unique(fold):
        inside = fold == number
        others = TrainingSample(sample.features[~inside], sample.label[~inside], sample.weights[~inside])
        encoded[inside] = TargetEncoding.learn(others, levels, strength).apply(sample.features[inside])
    return encoded


def _count(codes: np.ndarray, label: np.ndarray, weight: np.ndarray, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(codes)
    level = codes[known].astype("int64")
    n = np.bincount(level, weight[known], minlength=n_levels)
    return n, np.bincount(level, (weight * label)[known], minlength=n_levels)


def _level_value(
    n: np.ndarray, won: np.ndarray, n_all: np.ndarray | float, won_all: np.ndarray | float, strength: float
) -> np.ndarray:
    average = (won_all + HALF) / (np.asarray(n_all) + 2 * HALF)
    rate = (won + strength * average) / (n + strength)
    return np.asarray(np.log(rate / (1 - rate)) - np.log(average / (1 - average)))


def _look_up(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the value of each code, NaN where it is missing or no level of training."""
    known = (codes >= 0) & (codes < len(values))
    looked_up = np.full(len(codes), np.nan)
    looked_up[known] = values[codes[known].astype("int64")]
    return looked_up


def _before(values: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Sum the first n values, for each n."""
    return np.concatenate([[0.0], np.cumsum(values)])[n]
