"""The scale of the score: points are log-odds on an anchored scale that stays the same across retrainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy
from pydantic import Field

from features.schema.spec import Spec
from models.evaluation.results import ClippedScores

HIGHEST = 100  # score
LEAST_ANCHOR = 0.001  # probability
LEAST_REACH = 1e-9  # points
MOST_CLIPPED = 0.02  # share of rows from which a warning says that the scale is too steep


class PointScale(Spec):
    """The scale of a model's scores, which stays with the model: the anchor, and how many points double the odds."""

    anchor_score: float
    anchor_probability: float
    double_odds: float

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


class PointsParams(Spec):
    """What a business sets of the scale; the rest is learned at the first training and stays."""

    anchor_score: float = Field(
        default=50.0, ge=0, le=100, description="The score of a lead with the anchor probability."
    )
    anchor_probability: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description=(
            "About the usual conversion rate within the horizon. null: that of the rows of the first training; "
            "`leadscore nightly retrain` keeps the champion's, so that a score means the same next month."
        ),
    )
    double_odds: float = Field(default=12.0, gt=0, description="This many points more double the odds.")

    def scale(self, base_rate: float) -> PointScale:
        """Return the scale of a model that learned from rows with this conversion rate."""
        learned = min(
            max(float(f"{base_rate:.2g}"), LEAST_ANCHOR), 1 - LEAST_ANCHOR
        )  # two digits, which people can keep
        anchor = learned if self.anchor_probability is None else self.anchor_probability
        return PointScale(anchor_score=self.anchor_score, anchor_probability=anchor, double_odds=self.double_odds)

    def kept(self, scale: PointScale) -> PointsParams:
        """Return what keeps the scale of an earlier model; without one's own anchor."""
        if self.anchor_probability is not None:
            return self
        return PointsParams.model_validate(scale.model_dump())


def clipped(points: np.ndarray, scale: PointScale) -> ClippedScores:
    """Measure how many rows lie beyond 0 or 100, and which scale would hold all but `MOST_CLIPPED` of them."""
    ends = np.quantile(points, [MOST_CLIPPED / 2, 1 - MOST_CLIPPED / 2])
    reach = np.array([scale.anchor_score, HIGHEST - scale.anchor_score]) / np.maximum(
        np.array([-1, 1]) * (ends - scale.anchor_score), LEAST_REACH
    )
    fitting = max(math.floor(scale.double_odds * min(1.0, float(reach.min()))), 1)
    low, high = float((points < 0).mean()), float((points > HIGHEST).mean())
    return ClippedScores(low=low, high=high, most=MOST_CLIPPED, double_odds=scale.double_odds, fitting=fitting)


def scale_change(before: PointScale, after: PointScale) -> str:
    """Describe what a change of the scale does to a score."""
    odds = np.exp((before.anchor_score - after.offset) / after.factor)
    return (
        f"the scale of the score changes from {before.text} to {after.text}: {before.anchor_score:g} points meant a "
        f"probability of {before.anchor_probability:.3g} and now mean {odds / (1 + odds):.3g}, so scores before and "
        f"after do not compare; to keep the scale set points: {{anchor_score: {before.anchor_score:g}, "
        f"anchor_probability: {before.anchor_probability:.3g}, double_odds: {before.double_odds:g}}}"
    )


def score(points: np.ndarray) -> np.ndarray:
    """Clip to 0-100 and round to whole points."""
    return np.rint(np.clip(points, 0, HIGHEST)).astype("int64")


def score_of(probability: np.ndarray, params: PointScale) -> np.ndarray:
    """Return the score, 0-100, of each probability."""
    return score(params.points(scipy.special.logit(probability)))


@dataclass(frozen=True)
class Sums:
    """Which columns of points are summed together, all sums at once.

    Attributes
    ----------
    names
        Of the sums.
    of_column
        The number of each column's sum, shape (k,); one past the last: of none.
    """

    names: list[str]
    of_column: np.ndarray

    @classmethod
    def by(cls, keys: Sequence[str], names: Sequence[str] | None = None) -> Self:
        """Sum what has the same key; in the order of `names`, which leave the other keys out, else of the columns."""
        listed = list(dict.fromkeys(keys) if names is None else names)
        number = {name: index for index, name in enumerate(listed)}
        return cls(listed, np.array([number.get(key, len(listed)) for key in keys], dtype="intp"))

    def of(self, points: np.ndarray) -> np.ndarray:
        """Sum the columns of points (n, k), one after another, so that a row's bits depend on no other: (n, sums)."""
        n = len(self.names)
        if len(points) == 1:
            return np.bincount(self.of_column, points[0], n + 1)[None, :n]  # the same additions in the same order
        total = np.zeros((n + 1, len(points)))
        for column, number in enumerate(self.of_column):
            total[number] += points[:, column]
        return np.ascontiguousarray(total[:n].T)


def add_columns(points: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Sum some columns of points (n, k), one after another, so that a row's bits depend on no other row: shape (n,)."""
    if len(points) == 1 and len(columns):
        return np.add.accumulate(points[:, columns], axis=1)[:, -1] + 0.0  # the same additions in the same order
    total = np.zeros(len(points))
    for column in columns:
        total += points[:, column]
    return total
