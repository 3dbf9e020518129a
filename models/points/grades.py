"""Grades: fit from A to D by engagement from 1 to 4, the matrix that marketing tools use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.schema.spec import Spec
from models.evaluation.intervals import rate_interval

FIT_GRADES, ENGAGEMENT_GRADES = "ABCD", "1234"
SAME_POINTS = 6  # decimals; points that agree so far are tied
ROUNDING = 1e-9  # of shares that are added
MOST = 0.99  # of the rows are in the first three grades


class GradeSteps(Spec):
    """What the first three grades of one group take; the fourth takes the rest."""

    by: Literal["share", "points"] = Field(
        default="share",
        description=(
            "share: of the training rows, and the cut-offs in points are learned; points: the cut-offs themselves."
        ),
    )
    steps: tuple[float, float, float] = Field(
        default=(0.1, 0.25, 0.35),
        description=(
            "What the first three grades take, best first: shares that leave some rows, or falling "
            "points. The fourth takes the rest."
        ),
    )

    @model_validator(mode="after")
    def _steps_fit(self) -> GradeSteps:
        if self.by == "share" and not (min(self.steps) > 0 and sum(self.steps) <= MOST):
            raise ValueError(f"by share, steps are above 0 and sum to {MOST} at most, found {self.steps}")
        if self.by == "points" and not self.steps[0] > self.steps[1] > self.steps[2]:
            raise ValueError(f"by points, steps fall from the best grade on, found {self.steps}")
        return self


class GradeParams(Spec):
    """How leads are graded, by group of points."""

    fit: GradeSteps = Field(default=GradeSteps(), description="Grades A to D, by points of fit.")
    engagement: GradeSteps = Field(
        default=GradeSteps(),
        description=(
            "Grades 1 to 4, by points of engagement; set by hand they are such as {by: points, steps: [20, 5, -5]}."
        ),
    )
    sample_rows: int = Field(
        default=20000,
        ge=100,
        description=(
            "Rows that cut-offs are learned from and that the matrix is measured on, complete leads; more take longer."
        ),
    )


class GradeCuts(BaseModel):
    """The least points of the first three grades, best first; they stay with the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: tuple[float, float, float]
    engagement: tuple[float, float, float]

    @field_validator("fit", "engagement")
    @classmethod
    def _fall(cls, cuts: tuple[float, float, float]) -> tuple[float, float, float]:
        if not cuts[0] >= cuts[1] >= cuts[2]:
            raise ValueError(f"the best grade takes the most points, found {cuts}")
        return cuts

    @classmethod
    def learn(cls, fit: np.ndarray, engagement: np.ndarray, weight: np.ndarray, params: GradeParams) -> GradeCuts:
        """Find the cut-offs.

        Parameters
        ----------
        fit, engagement
            Points of the training rows, shape (n,); ignored where the cut-offs are set by hand.
        weight
            How many rows each stands for, shape (n,).
        """
        return cls(fit=_cuts(fit, weight, params.fit), engagement=_cuts(engagement, weight, params.engagement))


def _cuts(points: np.ndarray, weight: np.ndarray, steps: GradeSteps) -> tuple[float, float, float]:
    if steps.by == "points":
        return steps.steps
    first, second, third = (_cut(points, weight, share) for share in np.cumsum(steps.steps))
    return first, second, third


def _cut(points: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Return the least points of the best `share` of rows, half way to the next ones; ties are never divided.

    At most that share of rows reaches it: where more are tied at the top, as all rows without any event, none does.
    """
    value, index_of = np.unique(np.round(points, SAME_POINTS), return_inverse=True)
    rows = np.bincount(index_of, weight, minlength=len(value))
    at_least = rows[::-1].cumsum()[::-1] / max(weight.sum(), 1)
    index = int(np.searchsorted(-at_least, -share - ROUNDING))  # the first value that at most `share` of the rows reach
    next_one = value[index] if index < len(value) else value[-1] + 2 * 10.0**-SAME_POINTS
    return float(value[index - 1] + next_one) / 2


def grade(fit: np.ndarray, engagement: np.ndarray, cuts: GradeCuts | None) -> np.ndarray:
    """Return the grade of each lead, such as "B2", shape (n,); empty texts without cut-offs.

    Parameters
    ----------
    fit, engagement
        Points, shape (n,).
    """
    if cuts is None:
        return np.full(len(fit), "")
    letters, digits = _step(fit, FIT_GRADES, cuts.fit), _step(engagement, ENGAGEMENT_GRADES, cuts.engagement)
    return np.char.add(letters, digits)


def _step(points: np.ndarray, names: str, cuts: Sequence[float]) -> np.ndarray:
    below = (points[:, None] < np.array(cuts)).sum(axis=1)
    return np.array(list(names))[below]


def grade_matrix(rows: pd.DataFrame, grades: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """Measure the conversion rate of each grade.

    Parameters
    ----------
    rows
        lead_id and label.
    grades
        Of each row, shape (n,).
    confidence
        Of the intervals.

    Returns
    -------
    list of dict
        All sixteen, from A1 to D4: grade, n (rows), n_leads, n_positive, rate with `rate_low` and `rate_high` (see
        `rate_interval`), and share of the rows; `rate` is missing where a grade has no rows.
    """
    label, lead = rows["label"].to_numpy("float64"), rows["lead_id"].to_numpy()
    return [
        _cell(letter + digit, grades == letter + digit, label, lead, confidence)
        for letter in FIT_GRADES
        for digit in ENGAGEMENT_GRADES
    ]


def _cell(name: str, inside: np.ndarray, label: np.ndarray, lead: np.ndarray, confidence: float) -> dict[str, Any]:
    n = int(inside.sum())
    low, high = rate_interval(label[inside], lead[inside], confidence)
    return {
        "grade": name,
        "n": n,
        "n_leads": len(set(lead[inside])),
        "n_positive": int(label[inside].sum()),
        "share": n / max(len(label), 1),
        "rate": float(label[inside].mean()) if n else None,
        "rate_low": low if n else None,
        "rate_high": high if n else None,
    }
