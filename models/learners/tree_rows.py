"""One row at a time: the tables of all trees side by side, so that a lead costs a few look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Self

import numpy as np

from models.learners.tree_paths import ZERO

if TYPE_CHECKING:
    from models.learners.tree_shap import Table, TreeTables


@dataclass(frozen=True)
class RowTables:
    """The same numbers as `TreeTables`, bit by bit: what is added, is added in the same order.

    Attributes
    ----------
    cuts, cut_of
        Thresholds of all features that are numbers, and the feature of each.
    feature, table
        Of each pair of a table and a feature that decides in it, table by table.
    steps, step_at
        What codes add to states, in one array, and where each pair's begin.
    reached, reached_at, model
        Values of leaves, in one array; of each table, where its values begin, and its model.
    values, values_at
        What features add to the log-odds, in one array, and where each pair's begin.
    """

    tables: TreeTables
    cuts: np.ndarray
    cut_of: np.ndarray
    feature: np.ndarray
    table: np.ndarray
    steps: np.ndarray
    step_at: np.ndarray
    reached: np.ndarray
    reached_at: np.ndarray
    model: np.ndarray
    values: np.ndarray
    values_at: np.ndarray

    @classmethod
    def of(cls, tables: TreeTables) -> Self:
        numbers = {index: one.thresholds for index, one in tables.codes.items() if one.thresholds is not None}
        each: Sequence[Table] = tables.tables
        steps = [step for table in each for step in table.steps]
        values = [of_feature for table in each for of_feature in table.values]
        return cls(
            tables=tables,
            cuts=_joined(list(numbers.values())),
            cut_of=np.repeat(list(numbers), [len(cuts) for cuts in numbers.values()]).astype("intp"),
            feature=np.array([feature for table in each for feature in table.features], dtype="intp"),
            table=np.repeat(np.arange(len(each)), [len(table.features) for table in each]),
            steps=_joined(steps).astype("intp"),
            step_at=_begins(steps),
            reached=_joined([table.reached for table in each]),
            reached_at=_begins([table.reached for table in each]),
            model=np.array([table.model for table in each], dtype="intp"),
            values=_joined(values),
            values_at=_begins(values),
        )

    def explained(self, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean log-odds, shape (1,), and the contributions, shape (1, k + 1), of one row (1, k)."""
        tables, k, models = self.tables, row.shape[1], len(self.tables.constant)
        code = self._codes(row)
        steps = self.steps[self.step_at + code[self.feature]]
        state = np.bincount(self.table, steps, len(self.model)).astype("intp")  # whole numbers, far below 2**53
        total = np.bincount(self.model, self.reached[self.reached_at + state], models)  # adds one after another
        parts = np.bincount(self.feature, self.values[self.values_at + state[self.table]], k + 1).astype("float64")
        parts[list(tables.codes)] /= models
        parts[k] = tables.base
        by_model = [one + constant if constant else one for one, constant in zip(total, tables.constant, strict=True)]
        return np.array([reduce(np.add, by_model) / models]), parts[None, :]

    def _codes(self, row: np.ndarray) -> np.ndarray:
        """Return the code of each feature, as `Codes.of` finds it, shape (k,)."""
        values = np.where(np.abs(row[0]) <= ZERO, 0, row[0]).astype("float64")
        code = np.bincount(self.cut_of, self.cuts < values[self.cut_of], row.shape[1]).astype("intp")
        for feature, coding in self.tables.codes.items():
            if coding.thresholds is None:
                code[feature] = coding.of(row[:, feature])[0]
            elif np.isnan(values[feature]):
                code[feature] = coding.n - 1
        return code


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0), *arrays])


def _begins(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return where each array begins once they are joined."""
    ends = np.cumsum([len(array) for array in arrays], dtype="intp")
    return ends - np.array([len(array) for array in arrays], dtype="intp")
