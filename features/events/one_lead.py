"""The event features of one lead at one moment, without an engine: the bits of `aggregation`, in less time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from features.events.aggregation import (
    LAST_VALUE,
    SNAPSHOT_BITS,
    UNANSWERED,
    Seen,
    Totals,
    aggregates,
    feature_column,
    in_scopes,
)
from features.events.definitions import EventFeature
from features.events.event_log import MICROSECONDS_A_DAY, TYPE, derived_arrays, microseconds, type_code
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import Vocabulary

ADDED = ("count", "opens_day", "opens_day_of_direction", "decayed", "unanswered")  # tables of whole numbers
Visible = dict[str, np.ndarray]  # the events of one lead that count at one moment


def visible_of_lead(events: pa.Table, at: pd.Timestamp, vocabulary: Vocabulary) -> Visible:
    """Return the columns of `visible_events` for one lead at one moment, `row` 0, without an engine.

    Parameters
    ----------
    events
        All events of the lead, with the contract's columns at least.
    """
    moment = microseconds(at)
    event_at, known_at = (events[name].cast(pa.int64()).to_numpy() for name in ("event_at", "known_at"))
    counting = np.flatnonzero((event_at < moment) & (known_at <= moment))  # as `definitions.counts_at`
    kind, answered, surpassed = (column.take(counting) for column in derived_arrays(events).values())
    columns = {"row": np.zeros(len(counting), "int64"), "code": kind * SNAPSHOT_BITS}
    columns["age"] = moment - event_at.take(counting)
    if "any_outbound" in vocabulary.event_groups:
        columns["code"] += np.where(answered <= moment, 0, UNANSWERED)
    if vocabulary.valued_types:
        columns["code"] += np.where(surpassed <= moment, 0, LAST_VALUE)
        columns["value"] = events["value"].to_numpy().take(counting)
    return columns


def features_of_lead(
    visible: Visible, at: pd.Timestamp, features: Sequence[EventFeature], params: FeatureParams, vocabulary: Vocabulary
) -> dict[str, float]:
    """Compute event features of one lead from `visible_of_lead`, by name, with the bits of `compute_event_features`."""
    each, number = np.unique(visible["code"], return_inverse=True)
    seen = Seen.of(each, number, {name: column for name, column in visible.items() if name != "code"}, 1)
    since_midnight = np.array([microseconds(at) % MICROSECONDS_A_DAY])
    tables = dict(aggregates(seen, since_midnight, params, vocabulary))
    totals = LeadTotals(tables, in_scopes(seen.codes, features, vocabulary))
    return {one.name: feature_column(one, totals, params)[0] for one in features}


def seen_by_lead(visible: Visible, conditions: Sequence[tuple[Collection[str], int | None]]) -> list[bool]:
    """Return what `seen_within` does for one lead."""
    seen = list(zip((visible["code"] // (SNAPSHOT_BITS * TYPE)).tolist(), visible["age"].tolist(), strict=True))
    held = []
    for types, days in conditions:
        codes, longest = {type_code(name) for name in types}, np.inf if days is None else days * MICROSECONDS_A_DAY
        held.append(any(code in codes and age <= longest for code, age in seen))
    return held


class LeadTotals(Totals):
    """The same of one snapshot: all sums of whole numbers at once, which are exact in any order."""

    def total(self, scope: str, measure: str, days: int | None = None) -> np.ndarray:
        sums, row, column = self._sums
        if measure == "value_sum":
            return super().total(scope, measure, days)
        return sums[row[measure, days], column[scope] : column[scope] + 1]

    @cached_property
    def _sums(self) -> tuple[np.ndarray, dict[tuple[str, int | None], int], dict[str, int]]:
        """Return the sums by table and scope, and the index of each table and scope."""
        added = [key for key in self.tables if key[0] in ADDED]
        n = len(self.tables[added[0]])
        inside = np.zeros((n, len(self.scopes)))
        for column, indices in enumerate(self.scopes.values()):
            inside[indices, column] = 1
        values = np.array([self.tables[key][:, 0] for key in added], "float64") @ inside
        return values, {key: row for row, key in enumerate(added)}, {name: at for at, name in enumerate(self.scopes)}
