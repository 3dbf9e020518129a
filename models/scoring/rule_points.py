"""The hand-written scorecard: points of each lead, their name, and the log that they always equal."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy
from pydantic import BaseModel, ConfigDict, Field

from features.rules.declarations import START, EventRule, PatternRule, RulesParams
from features.rules.point_log import MILLI

DAY = pd.Timedelta(days=1)


class RuleCurve(BaseModel):
    """probability = 1 / (1 + exp(-(intercept + slope * points))): more points never make a conversion less likely."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    slope: float = Field(ge=0)

    def probability(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.special.expit(self.intercept + self.slope * points))


def fit_curve(points: np.ndarray, label: np.ndarray, weight: np.ndarray) -> RuleCurve:
    """Fit the curve; where points tell nothing, or tell the wrong way round, it is flat at the base rate.

    Parameters
    ----------
    points, label, weight
        Of the training part, and how many rows each stands for, shape (n,); both outcomes occur.
    """
    from sklearn.linear_model import LogisticRegression

    mean, spread = float(np.average(points, weights=weight)), float(points.std())
    if spread > 0:
        standard = ((points - mean) / spread)[:, None]
        fitted = LogisticRegression(C=np.inf).fit(standard, label, weight)
        slope = round(float(fitted.coef_[0, 0]) / spread, 9)
        if slope > 0:
            return RuleCurve(intercept=round(float(fitted.intercept_[0]) - slope * mean, 9), slope=slope)
    return RuleCurve(intercept=round(float(scipy.special.logit(np.average(label, weights=weight))), 9), slope=0.0)


def contributions(entries: pd.DataFrame, n: int, rules: RulesParams) -> np.ndarray:
    """Return the points of each rule.

    Parameters
    ----------
    entries
        `row`, `rule` and `milli`: the log, or its sums by row and rule, of attributes and events together.
    n
        How many snapshots there are.

    Returns
    -------
    ndarray
        Points, shape (n, rules + 1), in the order of `rules.names`; the last column is `start`.
    """
    width = len(rules.names) + 1
    column = entries["rule"].map({name: number for number, name in enumerate(rules.names)})
    cell = entries["row"].to_numpy("int64") * width + column.to_numpy("int64")
    milli = np.bincount(cell, entries["milli"].to_numpy("float64"), minlength=n * width).reshape(n, width)
    milli[:, -1] = rules.start * MILLI
    return milli / MILLI


def points(entries: pd.DataFrame, n: int, rules: RulesParams) -> np.ndarray:
    """Return each snapshot's points, shape (n,); see `contributions`. Whole thousandths, so no order changes a bit."""
    milli = np.bincount(entries["row"].to_numpy("int64"), entries["milli"].to_numpy("float64"), minlength=n)
    return (milli + rules.start * MILLI) / MILLI


def explain(entries: pd.DataFrame, snapshot_at: pd.Timestamp, rules: RulesParams) -> pd.DataFrame:
    """Show each point that one lead earned and when it decays.

    Parameters
    ----------
    entries
        The log of one snapshot: rule, earned_at, counts_from, milli.
    snapshot_at
        The moment of the snapshot.

    Returns
    -------
    DataFrame
        rule, earned_at, points, decays_at (missing where time alone takes nothing) and decays (in words); the start
        first, then by earned_at, what has no time before the rest. The points sum to the lead's points.
    """
    ordered = entries.sort_values(["earned_at", "rule"], na_position="first", kind="stable", ignore_index=True)
    timed: list[EventRule | PatternRule] = [*rules.events, *rules.patterns]
    by_name = {rule.name: rule for rule in timed}
    fates = [
        _fate(by_name.get(name), counts_from, snapshot_at)
        for name, counts_from in zip(ordered["rule"], ordered["counts_from"], strict=True)
    ]
    log = pd.DataFrame(
        {
            "rule": [START, *ordered["rule"]],
            "earned_at": [pd.NaT, *ordered["earned_at"]],
            "points": [float(rules.start), *(ordered["milli"] / MILLI)],
            "decays_at": [pd.NaT, *(at for at, _ in fates)],
            "decays": ["stays", *(text for _, text in fates)],
        }
    )
    return log.astype({"earned_at": "datetime64[us]", "decays_at": "datetime64[us]"})


def _fate(
    rule: EventRule | PatternRule | None, counts_from: pd.Timestamp, snapshot_at: pd.Timestamp
) -> tuple[pd.Timestamp, str]:
    """Say when an entry loses points next, and how."""
    if isinstance(rule, PatternRule):
        back = f"until one of: {', '.join(rule.answers)}" if rule.answers else "stays"
        if rule.days is None:
            return pd.NaT, back  # type: ignore[return-value]  # pandas types NaT apart from Timestamp
        return counts_from + rule.days * DAY, f"lapses unless it goes on; {back}" if rule.answers else "lapses"
    if rule is None or rule.decay is None:
        return pd.NaT, "stays"  # type: ignore[return-value]  # as above
    span = rule.decay.days * DAY
    match rule.decay.kind:
        case "half_life":
            halvings = math.floor((snapshot_at - counts_from) / span) + 1
            return counts_from + halvings * span, f"halves every {rule.decay.days} days"
        case "linear":
            return counts_from + span, f"falls evenly to nothing in {rule.decay.days} days"
        case "expiry":
            return counts_from + span, f"all gone after {rule.decay.days} days"
