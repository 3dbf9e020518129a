"""Logistic regression on the feature matrix, as plain numbers: a rival of the boosters that is saved as JSON."""

from __future__ import annotations

import warnings
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
    """How features become columns: numbers standardised with a missing flag, categories one column a level.

    Attributes
    ----------
    mean, scale
        Of each feature in training, shape (k,); scale is 1 where a feature is constant.
    levels
        Number of levels of each categorical feature, by its index.
    """

    mean: np.ndarray
    scale: np.ndarray
    levels: dict[int, int]

    @classmethod
    def learn(cls, features: np.ndarray, levels: dict[int, int]) -> Self:
        known = np.isfinite(features)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, features, 0).sum(axis=0, dtype="float64") / n
        spread = np.sqrt(np.where(known, (features - mean) ** 2, 0).sum(axis=0, dtype="float64") / n)
        return cls(mean, np.where(spread > 0, spread, 1.0), levels)

    def columns(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the design matrix (n, c), and which feature each column belongs to (c,)."""
        parts, owner = [], []
        for index in range(features.shape[1]):
            value = features[:, index].astype("float64")
            missing = np.isnan(value)
            if index in self.levels:
                part = np.column_stack([*(value == code for code in range(self.levels[index])), missing])
            else:
                standard = np.clip((value - self.mean[index]) / self.scale[index], -CLIP, CLIP)
                part = np.column_stack([np.where(missing, 0.0, standard), missing])
            parts.append(part.astype("float32"))
            owner += [index] * part.shape[1]
        return np.column_stack(parts), np.asarray(owner)


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
        """Fit with an L2 penalty of inverse strength `c`.

        On one thread, because more of them add in another order, and the order decides the last bits. A fit that
        reaches the limit of iterations is a little more shrunk than `c` says, which is no reason to warn: the penalty
        is chosen by the loss of the fit as it is.
        """
        design = Design.learn(sample.features, levels)
        matrix, _ = design.columns(sample.features)
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=c, max_iter=1000, tol=0.0001).fit(matrix, sample.label)
        center = matrix.mean(axis=0, dtype="float64")
        return cls(design, model.coef_[0].astype("float64"), center, float(model.intercept_[0]))

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
