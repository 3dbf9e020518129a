"""The feature matrix: ONE call, the same for training and for scoring."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, field_validator

from features.attributes.as_of import attributes_as_of
from features.attributes.definitions import fit_matrix
from features.events.aggregation import compute_event_features, visible_events
from features.events.definitions import event_features
from features.matrix.catalogue import Catalogue, catalogue
from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.vocabulary import Vocabulary

if TYPE_CHECKING:
    import ibis.expr.types as ir


class MatrixSpec(BaseModel):
    """All that decides the columns of the matrix; saved with the model, so that scoring cannot differ from training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: dict[str, AttributeSpec]
    event_labels: dict[str, str]
    event_units: dict[str, str]
    params: FeatureParams
    vocabulary: Vocabulary

    @field_validator("attributes")
    @classmethod
    def _by_name(cls, attributes: dict[str, AttributeSpec]) -> dict[str, AttributeSpec]:
        """Order by name, so that neither the order in a file nor JSON's sorted keys move the columns."""
        return dict(sorted(attributes.items()))

    @property
    def catalogue(self) -> Catalogue:
        return catalogue(self.attributes, self.event_labels, self.event_units, self.params, self.vocabulary)


@dataclass(frozen=True)
class LeadTables:
    """Snapshots, and the contract's tables for their leads at least.

    Attributes
    ----------
    snapshots
        lead_id, snapshot_at; one row each.
    events
        On the backend that computes.
    """

    snapshots: pd.DataFrame
    leads: pd.DataFrame
    history: pd.DataFrame
    events: ir.Table


class FeatureQuery(Protocol):
    """Something to know of leads at their snapshots: what it needs of the event log, and what it makes of that.

    The two are apart, so that one engine can run the expression for all leads and another place compute the result.
    """

    @property
    def spec(self) -> MatrixSpec:
        """Declarations and vocabulary."""

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        """Return what is needed of the events, with the column `row`; None where that is nothing.

        `moments` holds lead_id, snapshot_at and row, see `numbered`.
        """

    def result(self, frame: pd.DataFrame, answer: pa.Table | None) -> pd.DataFrame:
        """Return the result, given the snapshots as `attributes_as_of` returns them and what `expression` gave."""


def run_query(query: FeatureQuery, tables: LeadTables) -> pd.DataFrame:
    """Ask something of the leads in the tables."""
    expression = query.expression(numbered(tables.snapshots), tables.events)
    frame = attributes_as_of(tables.snapshots, tables.leads, tables.history, query.spec.attributes)
    return query.result(frame, None if expression is None else expression.to_pyarrow())


def feature_matrix(tables: LeadTables, spec: MatrixSpec) -> pd.DataFrame:
    """Compute every feature of every snapshot.

    Returns
    -------
    DataFrame
        One row a snapshot in its order, indexed from 0; the catalogue's names as float32 columns.

    Raises
    ------
    ParamsError
        Where two columns of the matrix would have one name.
    """
    return run_query(MatrixQuery(spec), tables)


def numbered(snapshots: pd.DataFrame) -> ir.Table:
    """Return the snapshots as queries on events take them: lead_id, snapshot_at, and `row` from 0."""
    import ibis

    moments = snapshots[["lead_id", "snapshot_at"]].assign(row=range(len(snapshots)))
    rows = pa.Table.from_pandas(moments, preserve_index=False)  # Ibis reads Arrow without a conversion
    return ibis.memtable(rows)


@dataclass(frozen=True)
class MatrixQuery:
    """The query for every feature; its expression returns the events that count, one row each."""

    spec: MatrixSpec

    @cached_property
    def names(self) -> list[str]:
        """The features, in the order of the columns."""
        return [entry.name for entry in self.spec.catalogue]

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        if not event_features(self.spec.params, self.spec.vocabulary):
            return None
        return visible_events(moments, events, self.spec.vocabulary)

    def result(self, frame: pd.DataFrame, answer: pa.Table | None) -> pd.DataFrame:
        spec, names = self.spec, self.names
        fit = fit_matrix(frame, spec.attributes, spec.params, spec.vocabulary)
        pieces = [(slice(None), {str(name): fit[name].to_numpy() for name in fit})]
        events = (
            () if answer is None else compute_event_features(answer, frame["snapshot_at"], spec.params, spec.vocabulary)
        )
        matrix = np.empty((len(names), len(frame)), "float32")  # one block, so that columns can be added to the frame
        position = {name: row for row, name in enumerate(names)}
        for rows, values in chain(pieces, events):
            for name, column in values.items():
                matrix[position[name], rows] = column
        return pd.DataFrame(matrix.T, columns=names, copy=False)
