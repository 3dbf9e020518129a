"""The features of one lead at one moment, without a database: the same facts give the same bits as `feature_matrix`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from features.attributes.one_lead import Cell, Cells, FitNumbers, cells_as_of
from features.events.definitions import EventFeature, event_features
from features.events.one_lead import Visible, features_of_lead, visible_of_lead
from features.matrix.matrix import MatrixQuery, MatrixSpec


@dataclass(frozen=True)
class Lead:
    """All facts of one lead, whenever they became known.

    Attributes
    ----------
    created_at
        None for tables without dates.
    cells
        Attributes as last known, all that the model's declarations name; None where not known.
    history
        The times from which values held, ascending, and the attributes that are known: history.
    events
        The contract's columns of its events.
    """

    lead_id: str
    created_at: pd.Timestamp | None
    cells: Cells
    history: Sequence[tuple[pd.Timestamp, Cells]]
    events: pa.Table


@dataclass(frozen=True)
class LeadRow:
    """One lead at one moment.

    Attributes
    ----------
    features
        The features in the catalogue's order, shape (1, k).
    cells
        The attributes as they stood.
    fit
        The features that are made of attributes, by name, before they are rounded to float32.
    visible
        The events that count.
    """

    features: np.ndarray
    cells: dict[str, Cell]
    fit: dict[str, float]
    visible: Visible


@dataclass(frozen=True)
class LeadQuery:
    """What makes the rows of single leads; it is kept, as what depends on the declarations alone is computed once."""

    spec: MatrixSpec

    @cached_property
    def fit_numbers(self) -> FitNumbers:
        return FitNumbers(self.spec.attributes, self.spec.params, self.spec.vocabulary)

    @cached_property
    def _event_features(self) -> list[EventFeature]:
        return event_features(self.spec.params, self.spec.vocabulary)

    @cached_property
    def _names(self) -> list[str]:
        return MatrixQuery(self.spec).names

    def row(self, lead: Lead, at: pd.Timestamp) -> LeadRow:
        """Return the lead as it was known at a moment."""
        spec = self.spec
        cells = cells_as_of(lead.cells, lead.history, at, spec.attributes)
        fit = self.fit_numbers.of(cells, lead.created_at, at)
        visible = visible_of_lead(lead.events, at, spec.vocabulary)
        numbers = fit | features_of_lead(visible, at, self._event_features, spec.params, spec.vocabulary)
        values = np.array([[numbers[name] for name in self._names]], dtype="float64").astype("float32")
        return LeadRow(values, cells, fit, visible)
