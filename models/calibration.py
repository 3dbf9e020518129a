"""One sigmoid on the blended log-odds: it never changes the ranking, and contributions stay additive."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize
from scipy.special import expit

LEAST_SLOPE = 0.05  # a model without skill on the later period is flattened, never turned upside down


class Sigmoid(BaseModel):
    """probability = 1 / (1 + exp(-(intercept + slope * log_odds))).

    Source: Platt 1999, Advances in Large Margin Classifiers; here on log-odds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    slope: float = Field(gt=0)

    def log_odds(self, raw: np.ndarray) -> np.ndarray:
        return self.intercept + self.slope * raw

    def loss(self, raw: np.ndarray, label: np.ndarray) -> float:
        """Return the mean log-loss."""
        return float(self.losses(raw, label).mean())

    def losses(self, raw: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the log-loss of each row, shape (n,)."""
        log_odds = self.log_odds(raw)
        return np.logaddexp(0.0, log_odds) - label * log_odds


def blend(boosters: np.ndarray, linear: np.ndarray, linear_share: float) -> np.ndarray:
    """Mix two models on the log-odds scale; works alike on their log-odds and on their contributions."""
    return (1 - linear_share) * boosters + linear_share * linear


def fit_sigmoid(raw: np.ndarray, label: np.ndarray) -> Sigmoid:
    """Fit by maximum likelihood on rows that the model was not trained on.

    The targets are Platt's: as if one more row of either outcome had been seen at every score. With many rows that is
    next to nothing; where the scores part the outcomes entirely it keeps the slope finite.

    Parameters
    ----------
    raw
        The model's log-odds, shape (n,).
    label
        0 or 1, shape (n,).
    """

    positive = label.sum()
    target = np.where(label > 0, (positive + 1) / (positive + 2), 1 / (len(label) - positive + 2))

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = theta[0] + theta[1] * raw
        residual = expit(log_odds) - target
        value = np.mean(np.logaddexp(0.0, log_odds) - target * log_odds)
        return float(value), np.array([residual.mean(), (residual * raw).mean()])

    found = minimize(
        loss,
        np.array([0.0, 1.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None), (LEAST_SLOPE, None)],
        options={"ftol": 0.0, "gtol": 1e-9},
    )
    return Sigmoid(intercept=round(float(found.x[0]), 9), slope=round(float(found.x[1]), 9))
