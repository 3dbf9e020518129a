"""Logistic regression on the feature matrix, blended with the boosters and saved as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from itertools import pairwise
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_limits

from features.schema.stored import stored_array
from models.learners.gradient_boosting import TrainingSample
from models.learners.newton import fit_logistic

BLOCK_ROWS = 8192  # processed at once, so that a block's numbers stay in the processor's cache
SMALL = 256  # integers below it are looked up
LARGEST_MEAN = 1e30  # of a feature, such as an amount; its square is still a number
DIGITS = 9  # of means, spreads and weights
CLIP = 5.0  # standard deviations; an extreme count in a later period must not decide alone


@dataclass(frozen=True)
class Design:
    """How features become columns: a number, its logarithm and a missing flag; a category one column a level.

    Counts, ages and amounts often act by their ratios: the second visit matters more than the twentieth.

    Attributes
    ----------
    mean, scale
        In training, of each feature (first row) and of its logarithm (second), shape (2, k); scale is 1 where a feature
        is constant.
    levels
        Number of levels of each categorical feature, by its index.
    """

    mean: np.ndarray
    scale: np.ndarray
    levels: dict[int, int]

    @classmethod
    def learn(cls, features: np.ndarray, levels: dict[int, int], weight: np.ndarray) -> Self:
        mean, scale = np.zeros((2, features.shape[1])), np.ones((2, features.shape[1]))
        for index, values in enumerate(features.T):
            known = np.isfinite(values)
            if not (total := weight @ known):
                continue
            value, counts = values[known].astype("float64"), weight[known] / total
            for row, form in enumerate((value, _logarithm(value))):
                mean[row, index] = counts @ form
                spread = np.sqrt(counts @ (form - mean[row, index]) ** 2)
                scale[row, index] = spread if spread > 0 else 1.0
        return cls(_rounded(mean), _rounded(scale), levels)

    def columns(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the design matrix (n, c), and which feature each column belongs to (c,)."""
        parts = [self.of_feature(features[:, index], index) for index in range(features.shape[1])]
        owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return np.array([column for part in parts for column in part], dtype="float32").T, owner

    def of_feature(self, values: np.ndarray, index: int) -> list[np.ndarray]:
        """Return the columns that one feature's values (n,) become, each of shape (n,)."""
        value = values.astype("float64")
        missing = np.isnan(value)
        if index in self.levels:
            return [column.astype("float32") for column in (*(value == n for n in range(self.levels[index])), missing)]
        columns = [missing.astype("float32")]
        for form, mean, scale in zip(
            (_logarithm(value), value), self.mean[::-1, index], self.scale[::-1, index], strict=True
        ):
            standard = np.clip((form - mean) / scale, -CLIP, CLIP)
            columns.insert(0, np.where(missing, 0.0, standard).astype("float32"))
        return columns


def _rounded(values: np.ndarray) -> np.ndarray:
    """Round to digits that sums in another order do not change: processors add in orders of their own."""
    exponent = np.floor(np.log10(np.abs(values), out=np.zeros_like(values), where=values != 0))
    scale = 10.0 ** (DIGITS - 1 - exponent)
    return np.asarray(np.rint(values * scale) / scale)


def _logarithm(values: np.ndarray) -> np.ndarray:
    """Shrink large values of either sign; values near 0 stay as they are."""
    return np.sign(values) * np.log1p(np.abs(values))


def _blocks(features: np.ndarray) -> Iterator[tuple[slice, int, np.ndarray]]:
    """Yield each feature of some rows after the other: the rows, the feature's index, its values."""
    for start in range(0, len(features), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        for index, values in enumerate(np.ascontiguousarray(features[rows].T)):
            yield rows, index, values


@dataclass(frozen=True)
class Curve:
    """What a feature's value adds to the log-odds, as some addends: looked up for small integers, computed for others.

    Most features are counts and codes, so that most values are looked up.
    """

    addends: Callable[[np.ndarray], list[np.ndarray]]

    @cached_property
    def small(self) -> list[np.ndarray]:
        """The addends of the integers below `SMALL`, and of missing after them."""
        return self.addends(np.append(np.arange(SMALL, dtype="float64"), np.nan))

    def of(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the addends of values (n,), each of shape (n,)."""
        with np.errstate(invalid="ignore"):
            integer = values.astype("uint8")
        other = integer != values
        if not other.any():
            return [addend[integer] for addend in self.small]
        if np.array_equal(other, np.isnan(values)):
            position = np.where(other, SMALL, integer.astype("intp"))
            return [addend[position] for addend in self.small]
        return self.addends(values)


@dataclass(frozen=True)
class Linear:
    """A logistic regression whose log-odds are a sum over features.

    Attributes
    ----------
    weight
        Of each design column, shape (c,).
    center
        Mean of each design column in training, shape (c,): what a contribution is measured from.
    """

    design: Design
    weight: np.ndarray
    center: np.ndarray
    intercept: float

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without what is computed on demand."""
        return Linear, (self.design, self.weight, self.center, self.intercept)

    @classmethod
    def train(cls, sample: TrainingSample, levels: dict[int, int], c: float) -> Linear:
        """Fit with an L2 penalty of inverse strength `c`."""
        return Fits.of(sample, levels).fit(c)

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Return the log-odds, shape (n,); a row's bits depend on no other row, as they would in a matrix product."""
        if len(features) == 1:
            return self._one_row.log_odds(features[0])
        total = np.full(len(features), self.intercept)
        for rows, index, values in _blocks(features):
            for addend in self._weighted[index].of(values):
                total[rows] += addend
        return total

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Return each feature's part of the log-odds, shape (n, k + 1); the last column is the base, of a mean lead."""
        if len(features) == 1:
            return self._one_row.contributions(features[0])
        parts = np.zeros((len(features), features.shape[1] + 1), order="F")
        for rows, index, values in _blocks(features):
            parts[rows, index] = self._centered[index].of(values)[0]
        parts[:, -1] = self.intercept + self.weight @ self.center
        return parts

    @cached_property
    def _one_row(self) -> RowTerms:
        return RowTerms(self, np.array([n for n in range(self.design.mean.shape[1]) if n not in self.design.levels]))

    @cached_property
    def _weighted(self) -> list[Curve]:
        """Of each feature, its columns times their weights; the columns of a category are all 0 but one."""

        def addends(values: np.ndarray, index: int, weight: np.ndarray) -> list[np.ndarray]:
            columns = self.design.of_feature(values, index)
            terms = [one * column for one, column in zip(weight, columns, strict=True) if one]
            return [reduce(np.add, terms)] if index in self.design.levels and terms else terms

        return [Curve(partial(addends, index=index, weight=self.weight[columns])) for index, columns in self._columns]

    @cached_property
    def _centered(self) -> list[Curve]:
        """Of each feature, the sum of its columns, less their means, times their weights."""

        def addends(values: np.ndarray, index: int, columns: slice) -> list[np.ndarray]:
            forms = self.design.of_feature(values, index)
            terms = zip(self.weight[columns], forms, self.center[columns], strict=True)
            return [reduce(np.add, (weight * (column - center) for weight, column, center in terms))]

        return [Curve(partial(addends, index=index, columns=columns)) for index, columns in self._columns]

    @property
    def _columns(self) -> Iterator[tuple[int, slice]]:
        """Each feature and the slice of its columns."""
        ends = np.cumsum([self.design.levels.get(index, 2) + 1 for index in range(self.design.mean.shape[1])])
        for index, (begin, end) in enumerate(pairwise([0, *ends.tolist()])):
            yield index, slice(begin, end)

    @property
    def weighs(self) -> np.ndarray:
        """How many columns of each feature have a weight, shape (k,)."""
        _, owner = self.design.columns(np.zeros((0, self.design.mean.shape[1]), dtype="float32"))
        return np.bincount(owner, self.weight != 0, minlength=self.design.mean.shape[1])

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": self.design.mean.tolist(),
            "scale": self.design.scale.tolist(),
            "levels": {str(index): n for index, n in self.design.levels.items()},
            "weight": self.weight.tolist(),
            "center": self.center.tolist(),
            "intercept": self.intercept,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any], n_features: int, levels: Mapping[int, int]) -> Self:
        """Rebuild from `to_json`; raises ValueError, TypeError or KeyError where it is of other features, or none.

        Parameters
        ----------
        levels
            Number of levels of each categorical feature, by its index.
        """
        if tree["levels"] != {str(index): n for index, n in levels.items()}:
            raise ValueError("its levels are not those of the features")
        mean, scale = (stored_array(tree[name], (2, n_features), LARGEST_MEAN) for name in ("mean", "scale"))
        if not (scale > 0).all():
            raise ValueError("scale is 0 or less")
        columns = sum(levels.get(index, 2) + 1 for index in range(n_features))
        weight, center = (stored_array(tree[name], (columns,)) for name in ("weight", "center"))
        return cls(Design(mean, scale, dict(levels)), weight, center, float(stored_array(tree["intercept"], ())))


@dataclass
class Fits:
    """Logistic regressions of the same rows, one penalty after the other: each starts where the last one ended.

    On one thread, because more of them add in another order. Newton's method ends at the optimum itself, so that
    rounded weights are the same however a processor adds, and wherever it starts.

    Attributes
    ----------
    matrix
        The columns of the design that vary, shape (n, varying).
    varies, center
        Which columns do, and the mean of each, shape (c,).
    last
        The last fit's weights, and its intercept.
    """

    design: Design
    sample: TrainingSample
    matrix: np.ndarray
    varies: np.ndarray
    center: np.ndarray
    last: np.ndarray | None = None

    @classmethod
    def of(cls, sample: TrainingSample, levels: dict[int, int]) -> Self:
        """Make the columns; a feature that is the same in all rows has none that vary."""
        share, kept = sample.weights / sample.weights.sum(), list[np.ndarray]()
        varies, center = list[bool](), list[float]()
        with threadpool_limits(1):
            design = Design.learn(sample.features, levels, sample.weights)
            for index, values in enumerate(sample.features.T):
                constant = np.array_equal(values, np.full_like(values, values[0]), equal_nan=True)
                for column in Curve(partial(design.of_feature, index=index)).of(values[:1] if constant else values):
                    varies.append(bool((column != column[0]).any()))
                    center.append(share @ column if varies[-1] else column[0])
                    kept += [column] if varies[-1] else []
        matrix = np.array(kept, dtype="float32").reshape(len(kept), -1).T
        return cls(design, sample, matrix, np.array(varies), np.round(center, DIGITS) + 0.0)  # and no -0

    def fit(self, c: float) -> Linear:
        with threadpool_limits(1):
            self.last = fit_logistic(self.matrix, self.sample.label, self.sample.weights, c, self.last)
        weight = np.zeros(len(self.varies))
        weight[self.varies] = _rounded(self.last[:-1])
        return Linear(self.design, weight, self.center, float(_rounded(self.last[-1:])[0]))


@dataclass(frozen=True)
class RowTerms:
    """The terms of one row, all features at once: the same additions in the same order as of many rows.

    Attributes
    ----------
    numbers
        Indices of the features that are no categories, ascending.
    """

    model: Linear
    numbers: np.ndarray

    def log_odds(self, row: np.ndarray) -> np.ndarray:
        """Return the log-odds of features (k,), shape (1,)."""
        terms = np.zeros((len(row), 3))  # a zero more changes no sum
        terms[self.numbers] = self._weights * self._columns(row)
        for index in self.model.design.levels:
            terms[index, 0] = sum(addend[0] for addend in self.model._weighted[index].of(row[index : index + 1]))
        return np.add.accumulate(np.concatenate([[self.model.intercept], terms.ravel()]))[-1:]

    def contributions(self, row: np.ndarray) -> np.ndarray:
        """Return `Linear.contributions` of features (k,), shape (1, k + 1)."""
        parts = np.zeros((1, len(row) + 1), order="F")
        terms = self._weights * (self._columns(row) - self._centers)
        parts[0, self.numbers] = terms[:, 0] + terms[:, 1] + terms[:, 2]
        for index in self.model.design.levels:
            parts[0, index] = self.model._centered[index].of(row[index : index + 1])[0][0]
        parts[0, -1] = self.model.intercept + self.model.weight @ self.model.center
        return parts

    def _columns(self, row: np.ndarray) -> np.ndarray:
        """Return the design's columns of the numbers, shape (numbers, 3), as `Design.of_feature` makes them."""
        value = row[self.numbers].astype("float64")
        missing = np.isnan(value)
        forms = np.column_stack([value, _logarithm(value)])
        standard = np.clip((forms - self._mean) / self._scale, -CLIP, CLIP)
        return np.column_stack([np.where(missing[:, None], 0.0, standard), missing]).astype("float32")

    @cached_property
    def _mean(self) -> np.ndarray:
        return self.model.design.mean[:, self.numbers].T

    @cached_property
    def _scale(self) -> np.ndarray:
        return self.model.design.scale[:, self.numbers].T

    @cached_property
    def _weights(self) -> np.ndarray:
        return self._of_numbers(self.model.weight)

    @cached_property
    def _centers(self) -> np.ndarray:
        return self._of_numbers(self.model.center)

    def _of_numbers(self, by_column: np.ndarray) -> np.ndarray:
        """Return what each column of the numbers has, shape (numbers, 3)."""
        begins = dict(self.model._columns)
        return np.array([by_column[begins[index]] for index in self.numbers]).reshape(-1, 3)
