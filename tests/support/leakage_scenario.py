"""Simulated leads for the tests of the leakage audit: honest columns, to which each test adds a leak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.matrix.matrix import MatrixSpec
from features.schema.vocabulary import Vocabulary
from models.leakage.rows import Rows, judge_rows
from tests.support.tables import FEATURES, PARAMS, attribute

AUDIT = PARAMS.audit
DAY_ONE = np.datetime64("2025-01-01", "us")


@dataclass(frozen=True)
class Scenario:
    """A feature matrix with its declarations."""

    matrix: pd.DataFrame
    spec: MatrixSpec
    order: str

    @property
    def rows(self) -> Rows:
        return judge_rows(self.matrix, self.spec, self.order, 7, AUDIT)


def labels(n: int, share: float = 0.3, seed: int = 1) -> np.ndarray:
    """1.0 for about `share` of n leads."""
    return (np.random.default_rng(seed).random(n) < share).astype("float64")


def signal(label: np.ndarray, strength: float, seed: int = 2) -> np.ndarray:
    """A number that is higher by `strength` standard deviations where the lead converted."""
    return np.random.default_rng(seed).normal(size=len(label)) + strength * label


def emptied(values: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """The values where `filled` is true, else NaN."""
    return np.where(filled, values, np.nan)


def scenario(
    columns: Mapping[str, np.ndarray], label: np.ndarray, order: str = "none", known: str = "export", test: float = 0.3
) -> Scenario:
    """One row a lead, in the order of time; a column of numbers is a number, a column of strings a category."""
    n = len(label)
    levels = {name: sorted(set(values.tolist())) for name, values in columns.items() if values.dtype.kind in "UO"}
    coded = {
        name: np.searchsorted(levels[name], values).astype("float32") if name in levels else values.astype("float32")
        for name, values in columns.items()
    }
    days = DAY_ONE + np.arange(n) * np.timedelta64(1, "h")
    nowhere = np.full(n, np.datetime64("NaT"), dtype="datetime64[us]")
    matrix = pd.DataFrame(
        {
            "lead_id": pd.Series([f"a{number:06d}" for number in range(n)], dtype="str"),
            "snapshot_at": days if order == "dates" else nowhere,
            "position": np.arange(n),
            "known_at": days if order == "dates" else nowhere,
            "label": label,
            "part": pd.Series(np.where(np.arange(n) >= n * (1 - test), "test", "train"), dtype="str"),
        }
    ).assign(missing_attributes=np.float32(0), **coded)
    kinds = {name: attribute("category" if name in levels else "number", known, column=name) for name in columns}
    spec = MatrixSpec(
        attributes=kinds, event_labels={}, event_units={}, params=FEATURES, vocabulary=_vocabulary(levels)
    )
    return Scenario(matrix, spec, order)


def _vocabulary(levels: dict[str, list[str]]) -> Vocabulary:
    return Vocabulary(
        event_types=[],
        valued_types=[],
        channels={},
        event_groups=[],
        has_other=False,
        levels=levels,
        frequencies={},
        dated=False,
    )
