"""The feature matrix: ONE call, the same for training and for scoring."""

from __future__ import annotations

from itertools import chain

import ibis
import ibis.expr.types as ir
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


def feature_matrix(
    snapshots: pd.DataFrame, leads: pd.DataFrame, history: pd.DataFrame, events: ir.Table, spec: MatrixSpec
) -> pd.DataFrame:
    """Compute every feature of every snapshot.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at; one row each.
    leads, history
        The contract's tables, for the snapshots' leads at least.
    events
        The contract's events, on the backend that computes; for the snapshots' leads at least.
    spec
        Declarations and vocabulary.

    Returns
    -------
    DataFrame
        One row a snapshot in its order, indexed from 0; the catalogue's names as float32 columns.

    Raises
    ------
    ParamsError
        Where two columns of the matrix would have one name.
    """
    query = matrix_query(numbered(snapshots), events, spec)
    frame = attributes_as_of(snapshots, leads, history, spec.attributes)
    return matrix_from(frame, None if query is None else query.to_pyarrow(), spec)


def numbered(snapshots: pd.DataFrame) -> ir.Table:
    """Return the snapshots as queries on events take them: lead_id, snapshot_at, and `row` from 0."""
    moments = snapshots[["lead_id", "snapshot_at"]].assign(row=range(len(snapshots)))
    rows = pa.Table.from_pandas(moments, preserve_index=False)  # Ibis reads Arrow without a conversion
    return ibis.memtable(rows)


def matrix_query(moments: ir.Table, events: ir.Table, spec: MatrixSpec) -> ir.Table | None:
    """Return the events that the matrix needs, as one expression; None where training knew no events.

    Parameters
    ----------
    moments
        lead_id, snapshot_at, row; see `numbered`.
    """
    if not event_features(spec.params, spec.vocabulary):
        return None
    return visible_events(moments, events, spec.vocabulary)


def matrix_from(frame: pd.DataFrame, visible: pa.Table | None, spec: MatrixSpec) -> pd.DataFrame:
    """Compute every feature of every snapshot; the rest as in `feature_matrix`.

    Parameters
    ----------
    frame
        The result of `attributes_as_of`.
    visible
        The result of `matrix_query`.
    """
    names = [entry.name for entry in spec.catalogue]
    fit = fit_matrix(frame, spec.attributes, spec.params, spec.vocabulary)
    pieces = [(slice(None), {str(name): fit[name].to_numpy() for name in fit})]
    events = (
        () if visible is None else compute_event_features(visible, frame["snapshot_at"], spec.params, spec.vocabulary)
    )
    matrix = np.empty((len(names), len(frame)), "float32")  # one block, so that columns can be added to the frame
    position = {name: row for row, name in enumerate(names)}
    for rows, values in chain(pieces, events):
        for name, column in values.items():
            matrix[position[name], rows] = column
    return pd.DataFrame(matrix.T, columns=names, copy=False)
