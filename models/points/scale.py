"""The scale of the score: points are log-odds on an anchored scale that stays the same across retrainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field
from scipy.special import logit

from features.schema.spec import Spec


class PointsParams(Spec):
    """The anchor of the scale and how many points double the odds."""

    anchor_score: float = Field(
        default=50.0, ge=0, le=100, description="The score of a lead with the anchor probability."
    )
    anchor_probability: float = Field(
        default=0.05, gt=0, lt=1, description="About the usual conversion rate within the horizon."
    )
    double_odds: float = Field(default=12.0, gt=0, description="So many points more double the odds.")

    @property
    def factor(self) -> float:
        """Points a unit of log-odds is worth."""
        return self.double_odds / math.log(2)

    @property
    def offset(self) -> float:
        """Points of log-odds 0."""
        logit = math.log(self.anchor_probability / (1 - self.anchor_probability))
        return self.anchor_score - self.factor * logit

    def points(self, log_odds: np.ndarray) -> np.ndarray:
        """Return the score before it is clipped and rounded.

        Source: Siddiqi 2006, Credit Risk Scorecards, "points to double the odds".
        """
        return self.offset + self.factor * log_odds

    @property
    def text(self) -> str:
        """The scale in words."""
        return (
            f"{self.anchor_score:g} points at {self.anchor_probability:.3g}, {self.double_odds:g} more double the odds"
        )


def scale_change(before: PointsParams, after: PointsParams) -> str:
    """Describe what a change of the scale does to a score."""
    odds = np.exp((before.anchor_score - after.offset) / after.factor)
    return (
        f"the scale of the score changes from {before.text} to {after.text}: {before.anchor_score:g} points meant a "
        f"probability of {before.anchor_probability:.3g} and now mean {odds / (1 + odds):.3g}, so scores before and "
        "after do not compare; put `points` back to keep the scale"
    )


def score(points: np.ndarray) -> np.ndarray:
    """Clip to 0-100 and round to whole points."""
    return np.rint(np.clip(points, 0, 100)).astype("int64")


def score_of(probability: np.ndarray, params: PointsParams) -> np.ndarray:
    """Return the score, 0-100, of each probability."""
    return score(params.points(logit(probability)))


def add_columns(points: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Sum some columns of points (n, k), one after another, so that a row's bits depend on no other row: shape (n,)."""
    total = np.zeros(len(points))
    for column in columns:
        total += points[:, column]
    return total
