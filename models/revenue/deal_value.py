"""What a deal brings if it is won: learned from the deals won so far, on the log scale, by what the lead is.

Where attributes do not tell deals apart on later deals, surely, every deal is worth the average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

LEAST_DEALS = 20  # fewer say nothing of the next one
LEAST_OF_LEVEL = 3  # deals; rarer values of a category count as others
FOLDS = 4  # each learns from all earlier deals
PENALTY = 1.0  # of the ridge: a value of a category is drawn to the mean as by one deal more
SURE = 1.645  # standard errors by which attributes must beat the constant


@dataclass(frozen=True)
class Encoder:
    """Numbers out of features: logs of numbers as standard scores, a column for each common value of a category.

    Attributes
    ----------
    numbers
        Mean and scale of each number's log.
    levels
        The codes of each category that have a column.
    """

    numbers: Mapping[str, tuple[float, float]]
    levels: Mapping[str, Sequence[float]]

    @classmethod
    def fit(cls, features: pd.DataFrame, categories: Sequence[str]) -> Encoder:
        """Learn from the features of deals; columns in `categories` hold codes."""
        logs = {name: _log(features[name]) for name in features if name not in categories}
        numbers = {
            str(name): (float(np.nanmean(log)), float(np.nanstd(log)) or 1.0)
            for name, log in logs.items()
            if np.isfinite(log).any()
        }
        counts = {name: features[name].value_counts() for name in categories}
        levels = {name: sorted(n.index[n >= LEAST_OF_LEVEL].astype("float64")) for name, n in counts.items()}
        return cls(numbers, {name: codes for name, codes in levels.items() if codes})

    def apply(self, features: pd.DataFrame) -> np.ndarray:
        """Return the columns of a regression, the first all ones, shape (n, k)."""
        columns = [np.ones(len(features))]
        for name, (mean, scale) in self.numbers.items():
            score = (_log(features[name]) - mean) / scale
            columns += [np.nan_to_num(score), np.isnan(score).astype("float64")]
        for name, codes in self.levels.items():
            given = features[name].to_numpy("float64")
            columns += [(given == code).astype("float64") for code in codes]
        return np.column_stack(columns)


@dataclass(frozen=True)
class DealValueModel:
    """What a won deal is worth, by what the lead is.

    Attributes
    ----------
    weights
        Of the columns of the encoder; of the constant, the mean log alone.
    residuals
        How far deals were off, in logs, as far as deals are off that were not learned from.
    n
        Deals it learned from.
    gain
        Share of the squared error of later deals (in logs) that attributes take away; 0 or less: they add nothing.
    center, root
        Mean of the encoder's columns, shape (k,), and how the error of the weights moves a mean log, shape (k, k); see
        `spread`. Of the constant there is none.
    """

    encoder: Encoder | None
    weights: np.ndarray
    residuals: np.ndarray
    n: int
    gain: float
    center: np.ndarray = field(default_factory=lambda: np.zeros(1))
    root: np.ndarray = field(default_factory=lambda: np.zeros((1, 0)))

    @property
    def constant(self) -> bool:
        """Whether every deal is worth the same."""
        return self.encoder is None

    def log_value(self, features: pd.DataFrame) -> np.ndarray:
        """Return the mean log of each deal, shape (n,)."""
        if self.encoder is None:
            return np.full(len(features), self.weights[0])
        return self.encoder.apply(features) @ self.weights

    def spread(self, features: pd.DataFrame) -> np.ndarray:
        """Return what independent normals move each mean log by, beside the error of the average, shape (n, k).

        Leads that are alike are off together, those that are not are off apart: in a sum over many most of it cancels.
        """
        columns = np.ones((len(features), 1)) if self.encoder is None else self.encoder.apply(features)
        return (columns - self.center) @ self.root

    def expected(self, features: pd.DataFrame) -> np.ndarray:
        """Return the mean value of each deal: the log's mean by the mean of what deals were off (Duan's smearing).

        Source: Duan 1983, Smearing estimate: a nonparametric retransformation method, JASA 78, 605-610.
        """
        return np.exp(self.log_value(features)) * float(np.exp(self.residuals).mean())

    def interval(self, features: pd.DataFrame, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Return between what values most won deals like each lie, by what later deals were off; two of shape (n,)."""
        low, high = np.quantile(self.residuals, [(1 - confidence) / 2, (1 + confidence) / 2])
        log = self.log_value(features)
        return np.exp(log + low), np.exp(log + high)


def fit_deal_values(
    features: pd.DataFrame, value: np.ndarray, won_at: np.ndarray, categories: Sequence[str]
) -> DealValueModel | None:
    """Learn what deals are worth.

    Parameters
    ----------
    features
        Of the lead of each deal, as known when it was on a list; columns in `categories` hold codes.
    value
        What it brought; deals of 0 or less, or without a value, are no example.
    won_at
        By which deals are ordered.

    Returns
    -------
    DealValueModel or None
        None where there are fewer than LEAST_DEALS.
    """
    usable = np.isfinite(value) & (value > 0)
    order = np.flatnonzero(usable)[np.argsort(won_at[usable], kind="stable")]
    if len(order) < LEAST_DEALS:
        return None
    rows, log = features.iloc[order].reset_index(drop=True), np.log(value[order])
    known = [name for name in categories if name in rows]
    off, constant = _forward(rows, log, known)
    gap = constant**2 - off**2
    better = float(gap.mean()) > SURE * float(gap.std(ddof=1)) / np.sqrt(len(gap))
    gain = float(gap.mean() / max(float((constant**2).mean()), 1e-12))
    if not better:
        return DealValueModel(None, np.array([log.mean()]), np.sort(log - log.mean()), len(log), gain)
    encoder = Encoder.fit(rows, known)
    columns = encoder.apply(rows)
    weights = _ridge(columns, log)
    varying = int((columns.std(axis=0) > 0).sum())
    spare = max(len(log) - 1 - varying, len(log) / 4)  # what was fitted is not off as far as the next deal
    off = np.sort(log - columns @ weights) * np.sqrt(len(log) / spare)
    root = off.std() * np.linalg.cholesky(np.linalg.inv(_penalised(columns)))
    return DealValueModel(encoder, weights, off, len(log), gain, columns.mean(axis=0), root)


def _forward(rows: pd.DataFrame, log: np.ndarray, categories: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much later deals are off, by attributes and by the mean of the earlier ones alone."""
    cuts = np.linspace(0, len(log), FOLDS + 2).astype("int64")[1:]
    off, constant = [], []
    for start, end in pairwise(cuts):
        encoder = Encoder.fit(rows.iloc[:start], categories)
        weights = _ridge(encoder.apply(rows.iloc[:start]), log[:start])
        off.append(log[start:end] - encoder.apply(rows.iloc[start:end]) @ weights)
        constant.append(log[start:end] - log[:start].mean())
    return np.concatenate(off), np.concatenate(constant)


def _ridge(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the weights of a ridge regression, whose first column, the intercept, is not drawn to zero."""
    weights: np.ndarray = np.linalg.solve(_penalised(columns), columns.T @ target)
    return weights


def _penalised(columns: np.ndarray) -> np.ndarray:
    penalty = np.full(columns.shape[1], PENALTY)
    penalty[0] = 0.0
    products: np.ndarray = columns.T @ columns + np.diag(penalty)
    return products


def _log(column: pd.Series[float]) -> np.ndarray:
    values = column.to_numpy("float64")
    return np.sign(values) * np.log1p(np.abs(values))
