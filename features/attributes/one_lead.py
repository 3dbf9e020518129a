"""One lead at one moment without a frame: the same attributes and the same numbers, in microseconds instead of many
milliseconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from features.attributes.definitions import SECONDS_A_DAY, AttributeFeature, attribute_features, number_of
from features.events.event_log import microseconds
from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.vocabulary import Vocabulary

MICROSECONDS = 1_000_000  # in a second
Cell = str | float | None  # of an attribute; None: not known
Cells = Mapping[str, Cell]


def cells_as_of(
    cells: Cells,
    history: Sequence[tuple[pd.Timestamp, Cells]],
    at: pd.Timestamp,
    attributes: Mapping[str, AttributeSpec],
) -> dict[str, Cell]:
    """Return a lead's attributes as they stood at a moment; see `attributes_as_of`.

    Parameters
    ----------
    cells
        The attributes as last known.
    history
        The times from which values held, ascending, and the attributes that are known: history; of rows of one time the
        last one holds.
    """
    if not history:
        return dict(cells)
    past = [edited for valid_from, edited in history if valid_from < at]
    held = past[-1] if past else dict.fromkeys(history[0][1])
    return dict(cells) | {name: held[name] for name in held if attributes[name].known == "history"}


@dataclass(frozen=True)
class FitNumbers:
    """The features of `fit_matrix` for one lead."""

    attributes: Mapping[str, AttributeSpec]
    params: FeatureParams
    vocabulary: Vocabulary

    def of(self, cells: Cells, created_at: pd.Timestamp | None, at: pd.Timestamp) -> dict[str, float]:
        """Return each feature by name, of attributes as they stood at the moment."""
        return {one.name: self._number(one, number, cells, created_at, at) for one, number in self.features}

    @cached_property
    def features(self) -> list[tuple[AttributeFeature, Callable[[str], float]]]:
        """The features, and what makes a number of a text."""
        listed = attribute_features(self.attributes, self.params, self.vocabulary)
        return [
            (one, number_of(one, self.params, self.vocabulary) if one.measure in ("level", "frequency") else float)
            for one in listed
        ]

    @cached_property
    def _usable(self) -> list[str]:
        return [name for name, spec in self.attributes.items() if spec.known != "outcome"]

    def _number(
        self,
        feature: AttributeFeature,
        number: Callable[[str], float],
        cells: Cells,
        created_at: pd.Timestamp | None,
        at: pd.Timestamp,
    ) -> float:
        if feature.measure == "missing":
            return float(sum(cells[name] is None for name in self._usable))
        if feature.measure in ("age", "calendar"):
            return math.nan if created_at is None else _of_creation(feature.name, created_at, at)
        cell = self._cell(feature.attribute, cells)
        return math.nan if cell is None else float(cell) if feature.measure == "value" else number(str(cell))

    def _cell(self, name: str, cells: Cells) -> Cell:
        """Return the value of an attribute, or of a pair of them as `paired` writes it."""
        if name not in self.vocabulary.pairs:
            return cells[name]
        first, second = (cells[part] for part in self.vocabulary.pairs[name])
        return None if first is None or second is None else f"{first}, {second}"


def _of_creation(name: str, created_at: pd.Timestamp, at: pd.Timestamp) -> float:
    if name == "lead_age":
        return (microseconds(at) - microseconds(created_at)) / MICROSECONDS / SECONDS_A_DAY
    parts = {"created_weekday": created_at.day_of_week, "created_hour": created_at.hour}
    return float((parts | {"created_month": created_at.month})[name])
