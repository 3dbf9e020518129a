"""How well one column alone predicts the outcome: out of fold, within periods, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

BINS, FOLDS = 20, 5
PRIOR_ROWS = 20  # rows of no effect mixed into a level's mean, so that rare levels count little
LEAST = 0.001  # probability: a level that was pure in the other folds does not predict more


@dataclass(frozen=True)
class UnivariateStrength:
    """How predictive one column is.

    Attributes
    ----------
    auc
        Area under the ROC curve, pairs formed within periods only; 0.5 is chance.
    error
        Its standard error.
    uncertainty_coefficient
        Share of the outcome's entropy within periods that the column removes; 0 or less: none, 1: all.
    uncertainty_coefficient_error
        Its standard error.
    n, n_positive
        Rows it was measured on, and how many of them converted.
    """

    auc: float
    error: float
    uncertainty_coefficient: float
    uncertainty_coefficient_error: float
    n: int
    n_positive: int


def level_of(values: np.ndarray, is_category: bool) -> np.ndarray:
    """Cut a column into levels: 0 where it is empty, else its value, or its bin where a number has many values.

    Parameters
    ----------
    values
        Codes or numbers, shape (n,), NaN where empty.

    Returns
    -------
    ndarray
        Integers from 0, shape (n,).
    """
    known = ~np.isnan(values)
    distinct, code = np.unique(values[known], return_inverse=True)
    if not is_category and len(distinct) > BINS:
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)))
        code = np.searchsorted(edges, values[known], side="left")
    level = np.zeros(len(values), dtype=np.int64)
    level[known] = code + 1
    return level


def folds_of(label: np.ndarray) -> np.ndarray:
    """Deal the rows of each outcome into folds in turn, shape (n,)."""
    fold = np.empty(len(label), dtype=np.int64)
    for outcome in (False, True):
        fold[label == outcome] = np.arange((label == outcome).sum()) % FOLDS
    return fold


def rate_out_of_fold(level: np.ndarray, label: np.ndarray, period: np.ndarray) -> np.ndarray:
    """The mean of the outcome in a row's level less that of its period, learned on the other folds; shape (n,)."""
    fold, rate = folds_of(label), np.empty(len(label))
    for number in range(FOLDS):
        rest = fold != number
        rate[~rest] = level_effects(level[rest], label[rest], period[rest], level.max() + 1)[level[~rest]]
    return rate


def level_effects(level: np.ndarray, label: np.ndarray, period: np.ndarray, n_levels: int) -> np.ndarray:
    """Mean outcome of each level less what its periods would give, shrunk to 0; shape (n_levels,)."""
    surplus = label - mean_by(period, label)[period]
    rows = np.bincount(level, minlength=n_levels)
    return np.bincount(level, surplus, n_levels) / (rows + PRIOR_ROWS)


def mean_by(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of the values in each group, 0 for an empty one."""
    return np.bincount(group, values) / np.maximum(np.bincount(group), 1)


def univariate_strength(level: np.ndarray, label: np.ndarray, period: np.ndarray) -> UnivariateStrength:
    """How well the levels of one column predict the outcome of rows of the same period, out of fold.

    Parameters
    ----------
    level
        From `level_of`, shape (n,).
    label
        1.0 or 0.0, shape (n,), both present.
    period
        Stretch of time of each row, from 0; all 0 where there is no time. A column that only reflects the time is
        not predictive here, whatever the drift of the base rate.
    """
    rate = rate_out_of_fold(level, label, period)
    auc, error = auc_within(rate, label, period)
    coefficient, coefficient_error = _uncertainty_coefficient(rate, label, mean_by(period, label)[period])
    return UnivariateStrength(auc, error, coefficient, coefficient_error, len(label), int(label.sum()))


def auc_within(score: np.ndarray, label: np.ndarray, period: np.ndarray) -> tuple[float, float]:
    """AUC over the pairs within periods and its standard error.

    Each period's AUC has the variance of DeLong et al. (1988) and weighs by its number of pairs. A period with fewer
    than two rows of either outcome forms no pairs; where none does, the AUC is 0.5 and its error infinite.
    """
    parts = [
        (*_delong(score[rows], label[rows] > 0), float(label[rows].sum() * (1 - label[rows]).sum()))
        for rows in rows_by(period)
        if min(label[rows].sum(), (1 - label[rows]).sum()) >= 2
    ]
    if not parts:
        return 0.5, float("inf")
    auc, variance, pairs = np.array(parts).T
    weight = pairs / pairs.sum()
    return float(weight @ auc), float(np.sqrt(weight**2 @ variance))


def rows_by(group: np.ndarray) -> list[np.ndarray]:
    """The rows of each group, in the order of the groups."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []


def _delong(score: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    rank, negative = scipy.stats.rankdata, ~positive
    ranks = rank(score)
    above = (ranks[positive] - rank(score[positive])) / negative.sum()  # share of negatives a positive beats
    below = 1 - (ranks[negative] - rank(score[negative])) / positive.sum()
    variance = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    return float(above.mean()), float(variance)


def _uncertainty_coefficient(rate: np.ndarray, label: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    before, after = _losses(base, label), _losses(base + rate, label)
    saved = (before - after) / before.mean()
    return float(saved.mean()), float(saved.std() / np.sqrt(len(saved)))


def _losses(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    sure = np.clip(probability, LEAST, 1 - LEAST)
    losses: np.ndarray = -np.log(np.where(label > 0, sure, 1 - sure))
    return losses
