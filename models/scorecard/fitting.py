"""The search for the few criteria of a scorecard: supervised cuts, forward selection, a refit after every step.

Every step adds the criterion that lowers the log-loss most by its second-order estimate, then fits the weights of all
chosen criteria anew. Rows that fulfil the same criteria count as one pattern, so a refit sees a few thousand patterns
instead of every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import scipy
from pydantic import Field, FiniteFloat, NonNegativeInt

from features.matrix.catalogue import Catalogue, Entry
from features.schema.spec import Spec
from models.learners.gradient_boosting import TrainingSample

DIGITS = 3  # of a cut; nobody would type more
WHOLE_DAYS = 2  # days; from here on a cut is an integer
LEAST_CURVATURE = 1e-9  # keeps the gain finite where hardly any loss is left

Kind = Literal["at_least", "below", "level", "missing"]


class ScorecardParams(Spec):
    """How a scorecard is learned."""

    max_lines: int = Field(default=25, ge=1, le=1000, description="Criteria at most: what people can still read.")
    max_points: int = Field(default=30, ge=1, le=10_000, description="Points of the strongest line.")
    bins: int = Field(
        default=32,
        ge=2,
        le=1000,
        description="Places where a number may be cut: edges of this many groups of equal size.",
    )
    max_levels: int = Field(default=8, ge=1, le=1000, description="Values of a category that one line may name.")
    min_rows: int = Field(default=50, ge=1, description="Training rows on either side of a line, at least.")
    min_gain: float = Field(
        default=3.0,
        ge=0,
        description="Log-loss, in nats over all rows, that a line saves at least; more for fewer lines.",
    )
    l2: list[float] = Field(
        default=[5.0, 20.0, 100.0],
        min_length=1,
        description="Penalties to choose from; more shrinks the points towards each other.",
    )
    left_out: list[str] = Field(
        default=["decayed", "trend", "frequency", "mean_gap"],
        description="Measures of the catalogue that a CRM cannot compute.",
    )


@dataclass(frozen=True)
class ScorecardCondition:
    """What a row must fulfil: a feature at least or below a threshold, at one of some levels, or not known."""

    feature: NonNegativeInt
    kind: Kind
    threshold: FiniteFloat = 0.0
    levels: tuple[NonNegativeInt, ...] = ()

    def holds(self, features: np.ndarray) -> np.ndarray:
        """Whether each row of (n, k) fulfils the condition, shape (n,); a missing value has no bound."""
        value = features[:, self.feature]
        if self.kind == "missing":
            return np.asarray(np.isnan(value))
        if self.kind == "level":
            return np.asarray(np.isin(value, np.asarray(self.levels, dtype="float32")))
        edge = np.float32(self.threshold)
        return np.asarray(value >= edge if self.kind == "at_least" else value < edge)


@dataclass(frozen=True)
class _Binned:
    """One feature as codes (n,): of its bin between cuts or of its level; the last code, `size`, is missing."""

    index: int
    code: np.ndarray
    size: int
    cuts: np.ndarray | None
    direction: int
    rows: np.ndarray

    @classmethod
    def learn(cls, index: int, entry: Entry, value: np.ndarray, bins: int) -> Self:
        missing = np.isnan(value)
        cuts, size = None, len(entry.levels or [])
        if entry.levels is None:
            cuts = _cuts(value[~missing], bins, entry.unit)
            size, code = len(cuts) + 1, np.searchsorted(cuts, value, side="right")
        else:
            code = np.where(missing, 0, value)
        code = np.where(missing, size, code).astype(np.intp)
        direction = {"up": 1, "down": -1, "none": 0}[entry.direction]
        return cls(index, code, size, cuts, direction, np.bincount(code, minlength=size + 1))

    def sums(self, weight: np.ndarray) -> np.ndarray:
        return np.bincount(self.code, weight, minlength=self.size + 1)


def _cuts(known: np.ndarray, bins: int, unit: str) -> np.ndarray:
    """Return the cuts of a number, ascending: between its few values, or at quantiles, to digits that can be typed."""
    if not len(known):
        return np.empty(0, dtype="float32")
    values = np.unique(known)
    if len(values) > bins:
        values = np.quantile(known, np.arange(bins) / bins, method="higher")
    return np.unique(np.array([_typed(float(value), unit) for value in values[1:]], dtype="float32"))


def _typed(value: float, unit: str) -> float:
    """Round as people would type it: whole days, and no more than three digits of anything else."""
    return float(round(value)) if unit == "days" and value >= WHOLE_DAYS else float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class _Patterns:
    """Rows grouped by the chosen conditions that they fulfil.

    Attributes
    ----------
    of_row
        The pattern of each row, shape (n,).
    holds
        Which conditions a pattern fulfils, shape (patterns, conditions).
    n, positive
        Rows, and rows that converted, of each pattern.
    """

    of_row: np.ndarray
    holds: np.ndarray
    n: np.ndarray
    positive: np.ndarray

    @classmethod
    def none_yet(cls, sample: TrainingSample) -> Self:
        totals = np.array([sample.weights.sum()]), np.array([sample.weights @ sample.label])
        return cls(np.zeros(len(sample.label), dtype=np.intp), np.zeros((1, 0)), *totals)

    def split(self, fulfilled: np.ndarray, sample: TrainingSample) -> _Patterns:
        """Return the patterns once one more condition splits them."""
        pattern, of_row = np.unique(2 * self.of_row + fulfilled, return_inverse=True)
        holds = np.column_stack([self.holds[pattern // 2], pattern % 2])
        weight = sample.weights
        return _Patterns(of_row, holds, np.bincount(of_row, weight), np.bincount(of_row, weight * sample.label))

    def fit(self, columns: np.ndarray, signs: list[int], l2: float) -> tuple[float, np.ndarray]:
        """Fit a logistic regression on columns (patterns, c); weights of a sign stay on their side of zero."""

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            raw = weights[0] + columns @ weights[1:]
            pull = self.n * scipy.special.expit(raw) - self.positive
            value = (self.n * np.logaddexp(0, raw) - self.positive * raw).sum() + l2 / 2 * (weights[1:] ** 2).sum()
            return value, np.concatenate([[pull.sum()], columns.T @ pull + l2 * weights[1:]])

        bounds = [(None, None), *((0 if sign > 0 else None, 0 if sign < 0 else None) for sign in signs)]
        start = np.concatenate([[base_log_odds(self.positive.sum(), self.n.sum())], np.zeros(len(signs))])
        solution = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        return float(solution[0]), solution[1:]


def base_log_odds(positive: float, n: float) -> float:
    """Return the log-odds of a share, finite where all or none converted."""
    return float(scipy.special.logit((positive + 0.5) / (n + 1)))


@dataclass(frozen=True)
class FittedConditions:
    """The conditions of a card, their weights in log-odds, and the patterns of the training rows."""

    conditions: list[ScorecardCondition]
    weights: np.ndarray
    patterns: _Patterns


def search(sample: TrainingSample, entries: Catalogue, params: ScorecardParams, l2: float) -> FittedConditions:
    """Choose conditions one after another until none saves enough, or the card is full."""
    binned = _bin(sample.features, entries, params)
    patterns, conditions, signs = _Patterns.none_yet(sample), list[ScorecardCondition](), list[int]()
    weight = sample.weights
    base, weights = base_log_odds(weight @ sample.label, weight.sum()), np.zeros(0)
    while len(conditions) < params.max_lines:
        probability = scipy.special.expit(base + patterns.holds @ weights)[patterns.of_row]
        gradient, curvature = weight * (sample.label - probability), weight * probability * (1 - probability)
        best = _best(binned, gradient, curvature, conditions, params, l2)
        if best is None:
            break
        conditions.append(best)
        signs.append(_sign(entries[best.feature], best))
        patterns = patterns.split(best.holds(sample.features), sample)
        base, weights = patterns.fit(patterns.holds, signs, l2)
    return FittedConditions(conditions, weights, patterns)


def _bin(features: np.ndarray, entries: Catalogue, params: ScorecardParams) -> list[_Binned]:
    kept = [index for index, entry in enumerate(entries) if entry.measure not in params.left_out]
    return [_Binned.learn(index, entries[index], features[:, index], params.bins) for index in kept]


def _sign(entry: Entry, condition: ScorecardCondition) -> int:
    """The side of zero that a weight must keep to, so that points never fall where the catalogue declares up."""
    bound = {"at_least": 1, "below": -1}.get(condition.kind, 0)
    return bound * {"up": 1, "down": -1, "none": 0}[entry.direction]


@dataclass(frozen=True)
class _Candidates:
    """Conditions of one kind on one feature, the sums over the rows that fulfil each, and the sign of its weight.

    Attributes
    ----------
    sums
        Of gradient, curvature and rows, shape (3, conditions).
    """

    conditions: list[ScorecardCondition]
    sums: np.ndarray
    sign: int


def _best(
    binned: list[_Binned],
    gradient: np.ndarray,
    curvature: np.ndarray,
    taken: list[ScorecardCondition],
    params: ScorecardParams,
    l2: float,
) -> ScorecardCondition | None:
    """Return the condition that saves most log-loss, or None where none saves `min_gain`."""
    best, most = None, params.min_gain
    n, total = len(gradient), curvature.sum()
    for feature in binned:
        sums = np.stack([feature.sums(gradient), feature.sums(curvature), feature.rows])
        used = [one for one in taken if one.feature == feature.index]
        for candidates in _candidates(feature, sums, used, params.max_levels, l2):
            pull, bend, rows = candidates.sums
            remaining = np.maximum(bend * (1 - bend / total), LEAST_CURVATURE)  # less what the intercept would take up
            fits = (rows >= params.min_rows) & (rows <= n - params.min_rows) & (pull * candidates.sign >= 0)
            gains = np.where(fits, pull**2 / (2 * (remaining + l2)), 0.0)
            gains[[index for index, one in enumerate(candidates.conditions) if one in used]] = 0.0
            index = int(gains.argmax())
            if gains[index] > most:
                best, most = candidates.conditions[index], gains[index]
    return best


def _candidates(
    feature: _Binned, sums: np.ndarray, used: list[ScorecardCondition], max_levels: int, l2: float
) -> Iterator[_Candidates]:
    size, index = feature.size, feature.index
    if feature.rows[size]:
        yield _Candidates([ScorecardCondition(index, "missing")], sums[:, size:], 0)
    if feature.cuts is None:
        named = [level for one in used for level in one.levels]
        yield from _level_candidates(index, sums[:, :size], named, max_levels, l2)
    elif len(feature.cuts):
        yield from _bound_candidates(feature, feature.cuts, sums[:, :size])


def _bound_candidates(feature: _Binned, cuts: np.ndarray, sums: np.ndarray) -> Iterator[_Candidates]:
    """Both sides of every cut; where nothing is missing they are equivalent, and the rarer side is kept."""
    until = sums.cumsum(axis=1)
    below, above = until[:, :-1], until[:, -1:] - until[:, :-1]
    if not feature.rows[feature.size]:
        rare = below[2] < above[2]
        below, above = np.where(rare, below, 0.0), np.where(rare, 0.0, above)
    edges = [float(str(cut)) for cut in cuts]  # the digits of the float32, which is what is compared
    yield _Candidates([ScorecardCondition(feature.index, "at_least", edge) for edge in edges], above, feature.direction)
    yield _Candidates([ScorecardCondition(feature.index, "below", edge) for edge in edges], below, -feature.direction)


def _level_candidates(
    index: int, sums: np.ndarray, named: list[int], max_levels: int, l2: float
) -> Iterator[_Candidates]:
    """The best and the worst levels that no line names yet, cumulated; the best split lies in this order.

    No level is named twice, so that the card says in one line what a level is worth.

    Source: Fisher 1958, On grouping for maximum homogeneity, JASA 53, 789-798.
    """
    order = np.argsort(-sums[0] / (sums[1] + l2 + LEAST_CURVATURE), kind="stable")
    order = order[(sums[2, order] > 0) & ~np.isin(order, named)]
    for ranked in (order[:max_levels], order[::-1][:max_levels]):
        if len(ranked):
            sets = [tuple(sorted(int(level) for level in ranked[: end + 1])) for end in range(len(ranked))]
            conditions = [ScorecardCondition(index, "level", levels=levels) for levels in sets]
            yield _Candidates(conditions, sums[:, ranked].cumsum(axis=1), 0)
