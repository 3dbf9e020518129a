"""From the event log to the event features of each snapshot, in two steps.

`visible_events` is ONE Ibis expression, on any backend: each snapshot with the events that were known then.
`compute_event_features` aggregates them with numpy, which is several times faster than as many aggregates in SQL, and
gives the same bits on every backend. All sums are of integers (values in millionths, decay weights in 2**-20), so that
neither the order of the events nor the number of threads changes a bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from features.events.definitions import EventFeature, event_features, pair_known
from features.events.event_log import (
    INBOUND,
    MICROSECONDS_A_DAY,
    ONLINE,
    OPENS_DAY,
    OPENS_DAY_OF_DIRECTION,
    TYPE,
    type_code,
    with_derived_columns,
)
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import ANY, GROUPS, OTHER, Vocabulary

if TYPE_CHECKING:
    import ibis.expr.types as ir


VALUE_UNIT = 1_000_000  # values are added in millionths
DECAY_UNIT = 1 << 20
MOST_HALF_LIVES = 21  # after which an event's weight is less than half a unit
HALF = float(1 << 32)  # a float64 adds two million such numbers to the last digit; larger ones are added in two halves
PIECE_EVENTS = 300_000  # added up at once, about; whatever it is, the bits are the same
SAMPLES = 300  # of each piece, that decide where to cut
BITS = {  # of a group of events: the bit of their event code, and whether it is set
    "any_inbound": (INBOUND, True),
    "any_outbound": (INBOUND, False),
    "any_online": (ONLINE, True),
    "any_offline": (ONLINE, False),
}
SNAPSHOT_BITS = 4  # an event code is multiplied with it, to make room for the bits that hold at the snapshot:
UNANSWERED = 2  # the lead had not acted since
LAST_VALUE = 1  # no later value of its lead and type was known
FLAGS = {
    "opens_day": SNAPSHOT_BITS * OPENS_DAY,
    "opens_day_of_direction": SNAPSHOT_BITS * OPENS_DAY_OF_DIRECTION,
    "unanswered": UNANSWERED,
    "is_last_value": LAST_VALUE,
}

Tables = dict[tuple[str, int | None], np.ndarray]


def visible_events(snapshots: ir.Table, events: ir.Table, vocabulary: Vocabulary) -> ir.Table:
    """Pair each snapshot with the events that were known then.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at and `row`, the snapshot's number from 0.
    events
        The contract's events, see `event_log.with_derived_columns`; `definitions.counts_at` decides which count.
    vocabulary
        Decides whether features need values and answers.

    Returns
    -------
    Table
        One row a pair, in no order: row; code, the log's event code and below it the bits UNANSWERED and LAST_VALUE,
        where a feature needs them; age, in microseconds before the snapshot; and value, where a feature needs it.
    """
    seen = pair_known(snapshots, with_derived_columns(events))
    columns = {"code": seen.kind * SNAPSHOT_BITS, "age": seen.snapshot_at.delta(seen.event_at, unit="microsecond")}
    if "any_outbound" in vocabulary.event_groups:
        columns["code"] += (seen.answered_at <= seen.snapshot_at).ifelse(0, UNANSWERED)
    if vocabulary.valued_types:
        columns["code"] += (seen.surpassed_at <= seen.snapshot_at).ifelse(0, LAST_VALUE)
        columns["value"] = seen.value
    return seen.select("row", **columns)


def compute_event_features(
    visible: pa.Table, snapshot_at: pd.Series, params: FeatureParams, vocabulary: Vocabulary
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Compute the event features from the visible events, some snapshots at a time.

    Parameters
    ----------
    visible
        The result of `visible_events`.
    snapshot_at
        Of each snapshot, by `row`.

    Yields
    ------
    tuple
        A range of `row`, and each of `event_features(params, vocabulary)` by name, one number a snapshot of the range.
        The ranges follow each other from 0 to the end.
    """
    since_midnight = snapshot_at.to_numpy("datetime64[us]").astype("int64") % MICROSECONDS_A_DAY
    features = event_features(params, vocabulary)
    for rows, seen in _pieces(visible, len(snapshot_at)):
        tables = dict(aggregates(seen, since_midnight[rows], params, vocabulary))
        totals = Totals(tables, in_scopes(seen.codes, features, vocabulary))
        yield rows, {one.name: feature_column(one, totals, params) for one in features}


def seen_within(visible: pa.Table, n: int, conditions: Sequence[tuple[Collection[str], int | None]]) -> np.ndarray:
    """Flag the snapshots with an event of some types in the last `days` days, or ever (None).

    Parameters
    ----------
    visible
        The result of `visible_events`, of all events or of those types.
    n
        How many snapshots there are.
    conditions
        Types and days of each.

    Returns
    -------
    ndarray
        Shape (n, conditions), boolean.
    """
    held = np.zeros((n, len(conditions)), dtype=bool)
    codes = [[type_code(name) for name in types] for types, _ in conditions]
    for batch in visible.to_batches():
        encoded, age, row = batch["code"].dictionary_encode(), batch["age"].to_numpy(), batch["row"].to_numpy()
        types, number = encoded.dictionary.to_numpy() // (SNAPSHOT_BITS * TYPE), encoded.indices.to_numpy()
        for index, (_, days) in enumerate(conditions):
            hit = np.flatnonzero(np.isin(types, codes[index]).take(number))
            recent = hit if days is None else hit[age[hit] <= days * MICROSECONDS_A_DAY]
            held[row[recent], index] = True
    return held


def _pieces(visible: pa.Table, n: int) -> Iterator[tuple[slice, Seen]]:
    """Cut the events, by snapshot, into pieces that fit the processor's cache; yield each range and its events."""
    runs = [_by_row(batch) for batch in visible.to_batches()]
    stride = max(1, PIECE_EVENTS // SAMPLES)
    step = PIECE_EVENTS // stride
    sampled = np.sort(np.concatenate([np.empty(0, "int64"), *(row[::stride] for row, _ in runs)]))
    edges = dict.fromkeys([0, *sampled[step::step].tolist(), n])
    for begin, end in pairwise(edges if n else [0, 0]):
        ends = [np.searchsorted(row, [begin, end]) for row, _ in runs]
        parts = [batch.slice(first, last - first) for (first, last), (_, batch) in zip(ends, runs, strict=True)]
        yield slice(begin, end), Seen.read(pa.Table.from_batches(parts, visible.schema), begin, end - begin)


def _by_row(batch: pa.RecordBatch) -> tuple[np.ndarray, pa.RecordBatch]:
    """Order a batch by snapshot; return its snapshots too. A log clustered by lead already has this order."""
    row = batch["row"].to_numpy()
    if (row[1:] >= row[:-1]).all():
        return row, batch
    order = np.argsort(row, kind="stable")
    return row[order], batch.take(order)


@dataclass(frozen=True)
class Seen:
    """Visible events as arrays, each of shape (events,).

    Attributes
    ----------
    codes, n
        The event codes that occur, ascending and without the OPENS bits, and the number of snapshots.
    cell
        Flat index of each event in a table of shape (codes, n).
    """

    codes: np.ndarray
    n: int
    cell: np.ndarray
    columns: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, visible: pa.Table, first: int, n: int) -> Self:
        """Read the events of `n` snapshots, the `first` and those after it."""
        encoded = visible["code"].combine_chunks().dictionary_encode()
        columns = {name: visible[name].to_numpy() for name in visible.schema.names if name != "code"}
        columns["row"] = columns["row"] - first
        return cls.of(encoded.dictionary.to_numpy(), encoded.indices.to_numpy(), columns, n)

    @classmethod
    def of(cls, each: np.ndarray, number: np.ndarray, columns: Mapping[str, np.ndarray], n: int) -> Self:
        """Arrange columns of events by `n` snapshots; their codes are those of `each`, by `number`."""
        columns = {**columns} | {name: (each & bit > 0).take(number) for name, bit in FLAGS.items()}
        codes, index = np.unique(each // SNAPSHOT_BITS & ~(OPENS_DAY | OPENS_DAY_OF_DIRECTION), return_inverse=True)
        return cls(codes, n, (index * n).take(number) + columns["row"], columns)

    def only(self, which: np.ndarray, *names: str) -> Self:
        """Keep the events for which `which` is true, and some of their columns."""
        kept = np.flatnonzero(which)
        return replace(self, cell=self.cell.take(kept), columns={name: self.columns[name].take(kept) for name in names})

    def within(self, windows: Sequence[int]) -> Iterator[tuple[int | None, Self]]:
        """Yield the events of all time, and then those of each window, from the longest to the shortest."""
        seen = self
        yield None, seen
        for days in windows:
            seen = seen.only(seen.columns["age"] <= days * MICROSECONDS_A_DAY, *seen.columns)
            yield days, seen

    def count(self) -> np.ndarray:
        """Count the events by event code and snapshot, shape (codes, n)."""
        return self._table(np.bincount(self.cell, minlength=len(self.codes) * self.n))

    def add(self, integers: np.ndarray) -> np.ndarray:
        """Sum integers of less than HALF, as `count`."""
        return self._table(np.bincount(self.cell, integers, len(self.codes) * self.n))

    def least(self, values: np.ndarray) -> np.ndarray:
        """Return the least value, as `count`; missing where there is none."""
        return self._best(np.minimum, values, np.inf)

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return the largest value, as `count`; missing where there is none."""
        return self._best(np.maximum, values, -np.inf)

    def _best(self, better: np.ufunc, values: np.ndarray, worst: float) -> np.ndarray:
        cells = np.full(len(self.codes) * self.n, worst)
        better.at(cells, self.cell, values)
        return self._table(np.where(cells == worst, np.nan, cells))

    def _table(self, cells: np.ndarray) -> np.ndarray:
        return cells.reshape(len(self.codes), self.n)


def aggregates(
    seen: Seen, since_midnight: np.ndarray, params: FeatureParams, vocabulary: Vocabulary
) -> Iterator[tuple[tuple[str, int | None], np.ndarray]]:
    """Yield the aggregates behind the features, by measure and window, each of shape (codes, n)."""
    age = seen.columns["age"]
    windows = sorted({*params.windows_days, *params.trend_days}, reverse=True)
    for days, recent in replace(seen, columns={"age": age}).within(windows):
        yield ("count", days), recent.count()
    age_at_midnight = age - since_midnight[seen.columns["row"]]  # a window of active days begins with a day
    for flag in ("opens_day", "opens_day_of_direction"):
        opening = replace(seen, columns={"age": age_at_midnight}).only(seen.columns[flag], "age")
        for days, recent in opening.within(windows):
            yield (flag, days), recent.count()
    for half_life in params.half_lives_days:
        recent = seen.only(age <= MOST_HALF_LIVES * half_life * MICROSECONDS_A_DAY, "age")
        weight = np.exp2(recent.columns["age"] / (-half_life * MICROSECONDS_A_DAY))
        yield ("decayed", half_life), recent.add(np.rint(weight * DECAY_UNIT))
    yield ("last_age", None), seen.least(age.astype("float64"))
    yield ("first_age", None), seen.largest(age.astype("float64"))
    if "any_outbound" in vocabulary.event_groups:
        yield ("unanswered", None), seen.only(seen.columns["unanswered"]).count()
    if vocabulary.valued_types:
        yield from _of_values(seen.only(~np.isnan(seen.columns["value"]), "age", "value", "is_last_value"), windows)


def _of_values(seen: Seen, windows: Sequence[int]) -> Iterator[tuple[tuple[str, int | None], np.ndarray]]:
    for days, recent in seen.within(windows):
        millionths = np.rint(recent.columns["value"] * VALUE_UNIT)
        upper = np.floor(millionths / HALF)
        yield ("value_sum", days), recent.add(upper) * HALF + recent.add(millionths - upper * HALF)
    yield ("value_max", None), seen.largest(seen.columns["value"])
    last = seen.only(seen.columns["is_last_value"], "value")
    yield ("value_last", None), last.largest(last.columns["value"])


@dataclass(frozen=True)
class Totals:
    """Aggregates of scopes out of those of event codes.

    Attributes
    ----------
    scopes
        The indices of the codes of each scope.
    """

    tables: Tables
    scopes: Mapping[str, np.ndarray]

    def total(self, scope: str, measure: str, days: int | None = None) -> np.ndarray:
        """Return the sum of each snapshot, shape (n,)."""
        table, indices = self.tables[measure, days], self.scopes[scope]
        return table[indices[0]] if len(indices) == 1 else table[indices].sum(axis=0)

    def best(self, scope: str, measure: str, pick: np.ufunc) -> np.ndarray:
        """Return the least or the largest of each snapshot, shape (n,); missing where there is none."""
        return pick.reduce(self.tables[measure, None][self.scopes[scope]], axis=0, initial=np.nan)


def in_scopes(codes: np.ndarray, features: Sequence[EventFeature], vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """Return the indices of the event codes of each scope of some features."""
    return {scope: _in_scope(codes, scope, vocabulary) for scope in dict.fromkeys(one.scope for one in features)}


def _in_scope(codes: np.ndarray, scope: str, vocabulary: Vocabulary) -> np.ndarray:
    """Return the indices of the event codes of a scope."""
    types = codes // TYPE
    if scope == ANY:
        mask = types == types
    elif scope == OTHER:
        mask = ~np.isin(types, [type_code(name) for name in vocabulary.event_types])
    elif scope in GROUPS:
        bit, is_set = BITS[scope]
        mask = (codes & bit > 0) == is_set
    else:
        mask = types == type_code(scope)
    return np.flatnonzero(mask)


def feature_column(feature: EventFeature, totals: Totals, params: FeatureParams) -> np.ndarray:
    """Return one feature of every snapshot, shape (n,)."""
    total, best, scope = totals.total, totals.best, feature.scope
    match feature.measure:
        case "count":
            return total(scope, "count", feature.days)
        case "decayed":
            return total(scope, "decayed", feature.days) / DECAY_UNIT
        case "active_days":
            return total(scope, "opens_day" if scope == ANY else "opens_day_of_direction", feature.days)
        case "value_sum":
            return total(scope, "value_sum", feature.days) / VALUE_UNIT
        case "value_max" | "value_last":
            return best(scope, feature.measure, np.fmax)
        case "recency":
            return best(scope, "last_age", np.fmin) / MICROSECONDS_A_DAY
        case "unanswered":
            return total(scope, "unanswered")
        case "mean_gap":
            gaps = total(scope, "count") - 1
            span = best(scope, "first_age", np.fmax) - best(scope, "last_age", np.fmin)
            return np.divide(span / MICROSECONDS_A_DAY, gaps, out=np.full(len(gaps), np.nan), where=gaps > 0)
        case "trend":
            short, long = params.trend_days
            recent, longer = total(scope, "count", short), total(scope, "count", long)
            return recent * (7 / short) - (longer - recent) * (7 / (long - short))  # events a week
