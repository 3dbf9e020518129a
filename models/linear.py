"""Logistic regression on the feature matrix, as plain numbers: a rival of the boosters that is saved as JSON."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from models.booster import Sample

CLIP = 5.0  # standard deviations; an extreme count in a later period must not decide alone


@dataclass(frozen=True)
class Design:
    """How features become columns: a number, its logarithm and a missing flag; a category one column a level.

    Counts, ages and amounts often act by their ratios: the second visit says more than the twentieth.

    Attributes
    ----------
    mean, scale
        In training, of each feature (first row) and of its logarithm (second), shape (2, k); scale is 1 where a feature
        is constant.
    levels
        Number of levels of each categorical feature, by its place.
    """

    mean: np.ndarray
    scale: np.ndarray
    levels: dict[int, int]

    @classmethod
    def learn(cls, features: np.ndarray, levels: dict[int, int]) -> Self:
        known = np.isfinite(features)
        n = np.maximum(known.sum(axis=0), 1)
        forms = [np.where(known, form, 0) for form in (features, _logarithm(features))]
        mean = np.array([form.sum(axis=0, dtype="float64") / n for form in forms])
        squares = [np.where(known, (form - m) ** 2, 0) for form, m in zip(forms, mean, strict=True)]
        spread = np.sqrt([square.sum(axis=0, dtype="float64") / n for square in squares])
        return cls(mean, np.where(spread > 0, spread, 1.0), levels)

    def columns(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the design matrix (n, c), and which feature each column belongs to (c,)."""
        parts, owner = [], []
        for place in range(features.shape[1]):
            part = self._of_feature(features[:, place].astype("float64"), place).astype("float32")
            parts.append(part)
            owner += [place] * part.shape[1]
        return np.column_stack(parts), np.asarray(owner)

    def _of_feature(self, value: np.ndarray, place: int) -> np.ndarray:
        missing = np.isnan(value)
        if place in self.levels:
            return np.column_stack([*(value == code for code in range(self.levels[place])), missing])
        forms = np.array([value, _logarithm(value)])
        standard = np.clip((forms - self.mean[:, [place]]) / self.scale[:, [place]], -CLIP, CLIP)
        return np.column_stack([*np.where(missing, 0.0, standard), missing])


def _logarithm(values: np.ndarray) -> np.ndarray:
    """Shrink large values of either sign; values near 0 stay as they are."""
    return np.sign(values) * np.log1p(np.abs(values))


@dataclass(frozen=True)
class Linear:
    """A logistic regression whose log-odds are a sum over features.

    Attributes
    ----------
    weight
        Of each design column, shape (c,).
    center
        Mean of each design column in training, shape (c,): what a contribution is measured from.
    """

    design: Design
    weight: np.ndarray
    center: np.ndarray
    intercept: float

    @classmethod
    def train(cls, sample: Sample, levels: dict[int, int], c: float) -> Self:
        """Fit with an L2 penalty of inverse strength `c`."""
        return next(cls.path(sample, levels, [c]))

    @classmethod
    def path(cls, sample: Sample, levels: dict[int, int], penalties: Iterable[float]) -> Iterator[Self]:
        """Fit with one inverse strength after the other, each from where the one before ended.

        On one thread, because more of them add in another order, and the order decides the last bits. A fit that
        reaches the limit of iterations is a little more shrunk than `c` says, which is no reason to warn: the penalty
        is chosen by the loss of the fit as it is.
        """
        design = Design.learn(sample.features, levels)
        matrix, _ = design.columns(sample.features)
        center = matrix.mean(axis=0, dtype="float64")
        model = LogisticRegression(max_iter=1000, tol=0.0001, warm_start=True)
        for c in penalties:
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=c).fit(matrix, sample.label, sample.weight)
            yield cls(design, model.coef_[0].astype("float64"), center, float(model.intercept_[0]))

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Return the log-odds, shape (n,); a row's bits depend on no other row, as they would in a matrix product."""
        matrix, _ = self.design.columns(features)
        total = np.full(len(features), self.intercept)
        for weight, column in zip(self.weight, matrix.T, strict=True):
            total += weight * column
        return total

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Return each feature's part of the log-odds, shape (n, k + 1); the last column is the base, of a mean lead."""
        matrix, owner = self.design.columns(features)
        parts = np.zeros((len(features), features.shape[1] + 1))
        for column, feature in enumerate(owner):
            parts[:, feature] += self.weight[column] * (matrix[:, column] - self.center[column])
        parts[:, -1] = self.intercept + self.weight @ self.center
        return parts

    @property
    def weighs(self) -> np.ndarray:
        """How many columns of each feature have a weight, shape (k,)."""
        _, owner = self.design.columns(np.zeros((0, self.design.mean.shape[1]), dtype="float32"))
        return np.bincount(owner, self.weight != 0, minlength=self.design.mean.shape[1])

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": self.design.mean.tolist(),
            "scale": self.design.scale.tolist(),
            "levels": {str(index): n for index, n in self.design.levels.items()},
            "weight": self.weight.tolist(),
            "center": self.center.tolist(),
            "intercept": self.intercept,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Self:
        levels = {int(index): int(n) for index, n in tree["levels"].items()}
        design = Design(np.asarray(tree["mean"]), np.asarray(tree["scale"]), levels)
        return cls(design, np.asarray(tree["weight"]), np.asarray(tree["center"]), float(tree["intercept"]))
