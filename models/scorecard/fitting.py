"""The search for the few criteria of a scorecard: supervised cuts, forward selection, a refit after every step.

Every step adds the criterion that lowers the log-loss most by its second-order estimate, then fits the weights of all
chosen criteria anew. Rows that fulfil the same criteria count as one pattern, so a refit sees a few thousand patterns
instead of every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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

    @cached_property
    def bounds(self) -> tuple[list[ScorecardCondition], list[ScorecardCondition]]:
        """Both sides of every cut, to the digits of the float32, which is what is compared."""
        edges = [float(str(cut)) for cut in (() if self.cuts is None else self.cuts)]
        above = [ScorecardCondition(self.index, "at_least", edge) for edge in edges]
        return above, [ScorecardCondition(self.index, "below", edge) for edge in edges]


@dataclass(frozen=True)
class Criteria:
    """What rows may be told apart by, for any penalty: features in bins, and which rows are in which bin.

    Attributes
    ----------
    member
        Bins of one feature after the other by rows: 1 where the row is in the bin, but for each feature's fullest bin.
    fullest
        For each feature, the place of that bin among all: what is in no other bin is there.
    """

    sample: TrainingSample
    binned: list[_Binned]
    member: scipy.sparse.csr_array
    fullest: np.ndarray

    @classmethod
    def of(cls, sample: TrainingSample, entries: Catalogue, params: ScorecardParams) -> Self:
        kept = [index for index, entry in enumerate(entries) if entry.measure not in params.left_out]
        binned = [_Binned.learn(index, entries[index], sample.features[:, index], params.bins) for index in kept]
        begins = np.cumsum([0, *(feature.size + 1 for feature in binned)])
        fullest = np.array([feature.rows.argmax() for feature in binned], dtype="int64")
        rows, places = [], []
        for feature, begin, full in zip(binned, begins[:-1], fullest, strict=True):
            rows.append(np.flatnonzero(feature.code != full))
            places.append(begin + feature.code[rows[-1]])
        told = np.concatenate([np.empty(0, "int64"), *places]), np.concatenate([np.empty(0, "int64"), *rows])
        member = scipy.sparse.csr_array((np.ones(len(told[0])), told), shape=(int(begins[-1]), len(sample.label)))
        return cls(sample, binned, member, begins[:-1] + fullest)

    def sums(self, *weights: np.ndarray) -> list[np.ndarray]:
        """Return for each feature the sums of some weights of rows (n,) in each bin, shape (weights, bins)."""
        ends = np.cumsum([feature.size + 1 for feature in self.binned])
        sums, total = np.asarray(self.member @ np.column_stack(weights)).T, np.array([one.sum() for one in weights])
        for place, inside in zip(self.fullest, np.split(sums, ends[:-1], axis=1), strict=True):
            sums[:, place] = total - inside.sum(axis=1)
        return np.split(sums, ends[:-1], axis=1)


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


def search(criteria: Criteria, entries: Catalogue, params: ScorecardParams, l2: float) -> FittedConditions:
    """Choose conditions one after another until none saves enough, or the card is full."""
    sample = criteria.sample
    patterns, conditions, signs = _Patterns.none_yet(sample), list[ScorecardCondition](), list[int]()
    weight = sample.weights
    base, weights = base_log_odds(weight @ sample.label, weight.sum()), np.zeros(0)
    while len(conditions) < params.max_lines:
        probability = scipy.special.expit(base + patterns.holds @ weights)[patterns.of_row]
        gradient, curvature = weight * (sample.label - probability), weight * probability * (1 - probability)
        best = _best(criteria, gradient, curvature, conditions, params, l2)
        if best is None:
            break
        conditions.append(best)
        signs.append(_sign(entries[best.feature], best))
        patterns = patterns.split(best.holds(sample.features), sample)
        base, weights = patterns.fit(patterns.holds, signs, l2)
    return FittedConditions(conditions, weights, patterns)


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
    criteria: Criteria,
    gradient: np.ndarray,
    curvature: np.ndarray,
    taken: list[ScorecardCondition],
    params: ScorecardParams,
    l2: float,
) -> ScorecardCondition | None:
    """Return the condition that saves most log-loss, or None where none saves `min_gain`."""
    best, most = None, params.min_gain
    n, total = len(gradient), curvature.sum()
    for feature, sums in zip(criteria.binned, criteria.sums(gradient, curvature), strict=True):
        used = [one for one in taken if one.feature == feature.index]
        for candidates in _candidates(feature, np.vstack([sums, feature.rows]), used, params.max_levels, l2):
            pull, bend, rows = candidates.sums
            remaining = np.maximum(bend * (1 - bend / total), LEAST_CURVATURE)  # less what the intercept would take up
            fits = (rows >= params.min_rows) & (rows <= n - params.min_rows) & (pull * candidates.sign >= 0)
            gains = np.where(fits, pull**2 / (2 * (remaining + l2)), 0.0)
            gains[[candidates.conditions.index(one) for one in used if one in candidates.conditions]] = 0.0
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
        yield from _bound_candidates(feature, sums[:, :size])


def _bound_candidates(feature: _Binned, sums: np.ndarray) -> Iterator[_Candidates]:
    """Both sides of every cut; where nothing is missing they are equivalent, and the rarer side is kept."""
    until = sums.cumsum(axis=1)
    below, above = until[:, :-1], until[:, -1:] - until[:, :-1]
    if not feature.rows[feature.size]:
        rare = below[2] < above[2]
        below, above = np.where(rare, below, 0.0), np.where(rare, 0.0, above)
    conditions = feature.bounds
    yield _Candidates(conditions[0], above, feature.direction)
    yield _Candidates(conditions[1], below, -feature.direction)


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
