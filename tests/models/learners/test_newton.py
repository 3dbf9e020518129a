"""Newton's method ends at scikit-learn's weights, wherever it starts and however strong the penalty is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from models.learners.newton import MANY, fit_logistic

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows(n: int = MANY + 1000, k: int = 6) -> Rows:
    """Columns that resemble each other, one of them a sum of two, labels and weights."""
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(n, k)) + rng.normal(size=(n, 1))
    matrix[:, -1] = matrix[:, 0] + matrix[:, 1]
    label = (rng.random(n) < expit(matrix[:, 0] - 3)).astype("float64")
    return matrix.astype("float32"), label, rng.uniform(0.5, 4, n)


@pytest.mark.parametrize("c", [1e-3, 1.0, 1e6])
def test_the_weights_are_those_of_scikit_learn(c: float) -> None:
    matrix, label, weight = rows()
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10)
    model.fit(matrix.astype("float64"), label, weight)
    assert fit_logistic(matrix, label, weight, c) == pytest.approx([*model.coef_[0], *model.intercept_], abs=1e-6)


def test_where_it_starts_does_not_matter() -> None:
    matrix, label, weight = rows()
    near = fit_logistic(matrix, label, weight, 0.1)
    far = fit_logistic(matrix, label, weight, 0.1, start=np.full(matrix.shape[1] + 1, 3.0))
    other_penalty = fit_logistic(matrix, label, weight, 0.1, start=fit_logistic(matrix, label, weight, 1.0))
    assert far == pytest.approx(near, rel=1e-10)
    assert other_penalty == pytest.approx(near, rel=1e-10)


def test_rows_that_a_column_divides_have_finite_weights() -> None:
    matrix, label, weight = rows(500)
    matrix[:, 0] = 2 * label - 1
    weights = fit_logistic(matrix, label, weight, 1.0)
    assert np.isfinite(weights).all()
    assert weights[0] > 3


def test_without_columns_it_is_the_base_rate() -> None:
    matrix, label, weight = rows(500)
    assert expit(fit_logistic(matrix[:, :0], label, weight, 1.0)) == pytest.approx([np.average(label, weights=weight)])
