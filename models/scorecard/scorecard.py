"""The learned scorecard: an additive card of a few lines with whole points, that a marketer can type into a CRM."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, TypeAdapter
from threadpoolctl import threadpool_limits

from features.matrix.catalogue import Catalogue
from features.schema.errors import ModelError
from models.learners.gradient_boosting import TrainingSample
from models.scorecard.fitting import (
    Criteria,
    FittedConditions,
    ScorecardCondition,
    ScorecardParams,
    base_log_odds,
    search,
)

DECIMALS = 9  # of base and slope: the last bits are those of a processor
MOST_POINTS = 1_000_000  # of a stored line; sums stay whole numbers


@dataclass(frozen=True)
class Line:
    """One criterion of the card.

    Attributes
    ----------
    points
        What a lead earns that fulfils it; lines add up.
    n, rate
        Training rows that fulfil it, and the share of them that converted.
    """

    condition: ScorecardCondition
    points: Annotated[int, Field(ge=-MOST_POINTS, le=MOST_POINTS)]
    n: NonNegativeInt
    rate: FiniteFloat

    @property
    def feature(self) -> int:
        return self.condition.feature


@dataclass(frozen=True)
class Scorecard:
    """Lines whose points add up, and what the sum means in log-odds.

    Attributes
    ----------
    k, rows
        Features of the matrix, and rows of the training.
    base, slope
        Log-odds of a lead without points, and of each point; `slope` is positive where there are lines.

    Raises
    ------
    ModelError
        Where a point more would mean fewer conversions.
    """

    lines: list[Line]
    k: PositiveInt
    rows: PositiveInt
    base: FiniteFloat
    slope: FiniteFloat

    def __post_init__(self) -> None:
        if self.lines and not self.slope > 0:
            raise ModelError(
                f"a scorecard on which more points mean fewer conversions (slope {self.slope}); train again"
            )

    @classmethod
    def train(cls, sample: TrainingSample, entries: Catalogue, params: ScorecardParams, l2: float) -> Self:
        """Learn the lines and round their weights to whole points.

        Nothing is random, and everything runs on one thread, so the same rows give the same bytes. The strongest line
        gets `max_points`; lines that round to 0 points are left out. What a point is worth is fitted after rounding.

        Parameters
        ----------
        sample
            Features in the catalogue's order.
        l2
            Penalty on the weights, one of `params.l2`.

        Raises
        ------
        ModelError
            Where more points do not mean more conversions among the rows it learned from.
        """
        return cls.choose(Criteria.of(sample, entries, params), entries, params, l2)

    @classmethod
    def choose(cls, criteria: Criteria, entries: Catalogue, params: ScorecardParams, l2: float) -> Self:
        """Learn as `train` does, from criteria that hold for any penalty."""
        sample = criteria.sample
        with threadpool_limits(1):
            card = cls._rounded(search(criteria, entries, params, l2), sample, params.max_points, l2)
        card.check_orientation(sample)
        return card

    @classmethod
    def _rounded(cls, fitted: FittedConditions, sample: TrainingSample, max_points: int, l2: float) -> Self:
        k, n = sample.features.shape[1], round(sample.weights.sum())
        strongest = np.abs(fitted.weights).max(initial=0.0)
        if strongest == 0:
            return cls([], k, n, base_log_odds(sample.weights @ sample.label, n), 0.0)
        points = np.rint(fitted.weights * (max_points / strongest)).astype(int)
        total = fitted.patterns.holds @ points
        base, weight = fitted.patterns.fit((total * (strongest / max_points))[:, None], [0], l2)
        lines = [_line(one, int(worth), sample) for one, worth in zip(fitted.conditions, points, strict=True) if worth]
        return cls(lines, k, n, round(base, DECIMALS), round(float(weight[0] * strongest / max_points), DECIMALS))

    def points(self, features: np.ndarray) -> np.ndarray:
        """Return the whole points of each row, shape (n,), int64."""
        total = np.zeros(len(features), dtype="int64")
        for line in self.lines:
            total += line.points * line.condition.holds(features)
        return total

    def check_orientation(self, sample: TrainingSample) -> None:
        """Raise ModelError where more points do not mean more conversions among these rows."""
        from sklearn.metrics import roc_auc_score

        if not self.lines or len(set(sample.label.tolist())) < 2:
            return
        auc = roc_auc_score(sample.label, self.points(sample.features), sample_weight=sample.weights)
        if not auc > 0.5:
            raise ModelError(
                f"a scorecard whose points rank the rows it learned from no better than chance (AUC {auc:.3f}); raise "
                "scorecard.min_gain or scorecard.min_rows and train again"
            )

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Return the log-odds, shape (n,)."""
        return self.base + self.slope * self.points(features)

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Return each feature's part of the log-odds, shape (n, k + 1); the last column is the base, of a mean lead."""
        parts = np.zeros((len(features), self.k + 1))
        parts[:, -1] = self.base
        for line in self.lines:
            worth, usual = self.slope * line.points, line.n / self.rows
            parts[:, line.feature] += worth * (line.condition.holds(features) - usual)
            parts[:, -1] += worth * usual
        return parts

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, tree: dict[str, Any], n_features: int) -> Self:
        """Rebuild from `to_json`; raises ValueError where it is of other features, or none."""
        card = TypeAdapter(cls).validate_python(tree)
        if card.k != n_features or any(line.feature >= n_features for line in card.lines):
            raise ValueError(f"it is not a scorecard of {n_features} features")
        return card


def _line(condition: ScorecardCondition, points: int, sample: TrainingSample) -> Line:
    weight = sample.weights * condition.holds(sample.features)
    return Line(condition, points, round(weight.sum()), float(weight @ sample.label / weight.sum()))
