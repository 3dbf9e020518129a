"""Features that shift: their distribution moves from one part of training to the next."""

from __future__ import annotations

import numpy as np

from models.learners.gradient_boosting import TrainingSample


def drift(earlier: np.ndarray, later: np.ndarray, is_categorical: bool) -> float:
    """Measure how far a feature's distribution moved, from 0 (not at all) to 1 (no overlap).

    Parameters
    ----------
    earlier, later
        The feature's values, shapes (n,) and (m,); NaN counts as a value of its own.

    Returns
    -------
    float
        The total variation distance of a category; the Kolmogorov-Smirnov distance of a number, missing ranked lowest.
    """
    values = np.concatenate([np.nan_to_num(earlier, nan=-np.inf), np.nan_to_num(later, nan=-np.inf)])
    levels, code = np.unique(values, return_inverse=True)
    first = np.bincount(code[: len(earlier)], minlength=len(levels)) / max(len(earlier), 1)
    second = np.bincount(code[len(earlier) :], minlength=len(levels)) / max(len(later), 1)
    if is_categorical:
        return float(np.abs(first - second).sum() / 2)
    return float(np.abs(np.cumsum(first - second)).max())


def drifts(earlier: TrainingSample, later: TrainingSample, categorical: list[int]) -> np.ndarray:
    """Measure the drift of every feature, shape (k,)."""
    columns = range(earlier.features.shape[1])
    return np.array([drift(earlier.features[:, i], later.features[:, i], i in categorical) for i in columns])


def candidates(drift_of: np.ndarray, limits: list[float], always: frozenset[int] = frozenset()) -> list[frozenset[int]]:
    """List the sets of features to try without: those that drifted past each limit; none twice, never all.

    The first set holds no more than those that are `always` left out.
    """
    sets = [always.union(np.flatnonzero(drift_of > limit).tolist()) for limit in sorted(limits, reverse=True)]
    return [left_out for left_out in dict.fromkeys([always, *sets]) if len(left_out) < len(drift_of)]


def without(sample: TrainingSample, left_out: frozenset[int]) -> TrainingSample:
    """Return the sample with some features not known: no learner can then use them, and their contribution is 0."""
    features = sample.features.copy()
    features[:, sorted(left_out)] = np.nan
    return TrainingSample(features, sample.label, sample.weight)
