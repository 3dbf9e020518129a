"""One sigmoid on the log-odds: ranking never changes and contributions stay additive."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize
from scipy.special import expit

LEAST_SLOPE = 0.05  # a model without skill on the later period is flattened, never turned upside down


class Sigmoid(BaseModel):
    """probability = 1 / (1 + exp(-(intercept + slope * log_odds))).

    Source: Platt 1999, Advances in Large Margin Classifiers; here on log-odds and without smoothed targets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    slope: float = Field(gt=0)

    def log_odds(self, raw: np.ndarray) -> np.ndarray:
        return self.intercept + self.slope * raw


def fit_sigmoid(raw: np.ndarray, label: np.ndarray) -> Sigmoid:
    """Fit by maximum likelihood on rows that the model was not trained on.

    Parameters
    ----------
    raw
        The model's log-odds, shape (n,).
    label
        0 or 1, shape (n,).
    """

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = theta[0] + theta[1] * raw
        residual = expit(log_odds) - label
        value = np.mean(np.logaddexp(0.0, log_odds) - label * log_odds)
        return float(value), np.array([residual.mean(), (residual * raw).mean()])

    found = minimize(
        loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B", bounds=[(None, None), (LEAST_SLOPE, None)]
    )
    return Sigmoid(intercept=round(float(found.x[0]), 9), slope=round(float(found.x[1]), 9))
