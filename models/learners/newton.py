"""The weights of a penalised logistic regression by Newton's method, which ends at the optimum itself.

scikit-learn's "newton-cholesky" finds the same ones; it starts at zero each time and multiplies whole matrices in
double precision, which took three to five times as long on 60,000 rows of 270 columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

BLOCK = 2048  # rows at once, so that their products stay in the processor's cache
STEPS, HALVINGS = 100, 30  # at most
MANY, THINNED = 10_000, 4  # rows, from which on every fourth tells where to start
ENOUGH = 1e-15  # nats that a step would save, where steps end: past the digits that are kept
SAME_CURVATURE = 1e-2  # nats that a step saved, from which on the curvature hardly changes and is not made anew
ROUNDING = 1e-12  # of a sum of losses, as a share


@dataclass(frozen=True)
class _Problem:
    """What is minimised: the weighted log-loss of rows, and a penalty on all weights but the intercept, the last."""

    matrix: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    penalty: np.ndarray

    def at(self, weights: np.ndarray, bent: bool) -> tuple[float, np.ndarray, np.ndarray | None]:
        """Return loss, gradient and, where asked for, the curvature; in single precision where the penalty allows."""
        loss, k = 0.0, len(weights) - 1
        pull, bend = np.zeros(k + 1), np.zeros((k + 1, k + 1))
        kind = "float32" if self.penalty[:-1].min(initial=1.0) > np.finfo("float32").eps * self.weight.sum() else "f8"
        for start in range(0, len(self.label), BLOCK):
            rows = slice(start, start + BLOCK)
            columns, label, weight = self.matrix[rows].astype("float64"), self.label[rows], self.weight[rows]
            raw = columns @ weights[:-1] + weights[-1]
            probability = scipy.special.expit(raw)
            loss += weight @ (np.logaddexp(0.0, raw) - label * raw)
            error = weight * (probability - label)
            pull += np.append(error @ columns, error.sum())
            if bent:
                spread = weight * probability * (1 - probability)
                root = np.sqrt(spread).astype(kind)[:, None] * self.matrix[rows].astype(kind, copy=False)
                bend[:-1, :-1] += root.T @ root
                bend[-1] += np.append(spread @ columns, spread.sum())
        bend[:, -1] = bend[-1]
        loss += float(self.penalty @ weights**2) / 2
        return loss, pull + self.penalty * weights, bend + np.diag(self.penalty) if bent else None


def fit_logistic(
    matrix: np.ndarray, label: np.ndarray, weight: np.ndarray, c: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Return the weight of each column and, last, the intercept, shape (k + 1,).

    Parameters
    ----------
    matrix
        float32, shape (n, k).
    label, weight
        0 or 1, both of them there, and how much each row counts, shape (n,).
    c
        Inverse strength of the L2 penalty, as scikit-learn's.
    start
        Weights to start at, such as those of another penalty.
    """
    if start is None:
        start = _near(matrix, label, weight, c)
    problem = _Problem(matrix, label, weight, np.append(np.full(matrix.shape[1], 1 / c), 0.0))
    weights, (loss, pull, bend) = start, problem.at(start, bent=True)
    for _ in range(STEPS):
        if bend is not None:
            factor = scipy.linalg.cho_factor(bend)
        step = scipy.linalg.cho_solve(factor, pull)
        saved = float(pull @ step)
        weights, (loss, pull, bend) = _moved(problem, weights, step, loss, saved > SAME_CURVATURE)
        if saved < ENOUGH:
            break
    return weights


def _near(matrix: np.ndarray, label: np.ndarray, weight: np.ndarray, c: float) -> np.ndarray:
    """Return the weights of a share of the rows where there are many, or else those of the base rate alone."""
    few = label[::THINNED]
    if len(label) > MANY and 0 < few.mean() < 1:
        return fit_logistic(matrix[::THINNED], few, THINNED * weight[::THINNED], c)
    return np.append(np.zeros(matrix.shape[1]), scipy.special.logit(np.average(label, weights=weight)))


def _moved(
    problem: _Problem, weights: np.ndarray, step: np.ndarray, loss: float, bent: bool
) -> tuple[np.ndarray, tuple[float, np.ndarray, np.ndarray | None]]:
    """Go the step, or half of it, and so on, until the loss is no higher."""
    for _ in range(HALVINGS):
        found = problem.at(weights - step, bent)
        if found[0] <= loss + ROUNDING * abs(loss):
            break
        step = step / 2
    return weights - step, found
