"""From the event log to the event features of each snapshot, in two steps.

`visible_events` is ONE Ibis expression, on any backend: each snapshot beside the events that were known then.
`add_up` makes the features of them with numpy, which is several times faster than as many aggregates in SQL, and the
same on every backend. All sums are of integers (values in millionths, decay weights in 2**-20), so that the order in
which events come, and so the number of threads, never changes a bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from features.engagement import EventFeature, event_features
from features.event_marks import MICROSECONDS_A_DAY, with_marks
from features.spec import FeatureParams
from features.vocabulary import ANY, GROUPS, OTHER, Vocabulary

VALUE_UNIT = 1_000_000  # values are added in millionths
DECAY_UNIT = 1 << 20
MOST_HALF_LIVES = 21  # after which an event's weight is less than half a unit
HALF = float(1 << 32)  # larger sums are added in two halves, each of which a float64 holds to the last digit
BITS = {"direction": ("inbound", 2), "channel": ("online", 1)}  # of an event's kind, below its type

Tables = dict[tuple[str, int | None], np.ndarray]


def visible_events(snapshots: ir.Table, events: ir.Table, vocabulary: Vocabulary) -> ir.Table:
    """Pair each snapshot with the events that were known then.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at and `row`, the snapshot's number from 0.
    events
        The contract's events with their marks; see `event_marks.with_marks`. An event counts when
        event_at < snapshot_at and known_at <= snapshot_at.
    vocabulary
        Numbers the types, and says whether anything is asked of values and of answers.

    Returns
    -------
    Table
        One row a pair, in no order: row; kind, the number of the event's type, direction and channel (four to a type,
        see BITS; a type that the vocabulary does not keep is "other", the last); age, in microseconds before the
        snapshot; the marks opens_day and opens_day_of_direction; and where they are asked of, unanswered, value, and
        whether the value is the last of its lead and type.
    """
    moments = snapshots.select("row", "snapshot_at", moment_lead="lead_id")
    marked = with_marks(events)
    told = marked.mutate(kind=_kind(marked, vocabulary))
    seen = moments.join(
        told,
        [
            moments.moment_lead == told.lead_id,
            told.event_at < moments.snapshot_at,
            told.known_at <= moments.snapshot_at,
        ],
    )
    columns = {"age": seen.snapshot_at.delta(seen.event_at, unit="microsecond")}
    if "any_outbound" in vocabulary.event_groups:
        columns["unanswered"] = seen.answered_at.isnull() | (seen.answered_at > seen.snapshot_at)
    if vocabulary.valued_types:
        columns["value"] = seen.value
        columns["is_last_value"] = seen.surpassed_at.isnull() | (seen.surpassed_at > seen.snapshot_at)
    return seen.select("row", "kind", "opens_day", "opens_day_of_direction", **columns)


def add_up(found: pa.Table, snapshot_at: pd.Series, params: FeatureParams, vocabulary: Vocabulary) -> pd.DataFrame:
    """Make the event features of what was visible.

    Parameters
    ----------
    found
        The result of `visible_events`.
    snapshot_at
        Of each snapshot, by `row`.

    Returns
    -------
    DataFrame
        `event_features(params, vocabulary)` as numbers, one row a snapshot, by `row`.
    """
    since_midnight = snapshot_at.to_numpy("datetime64[us]").astype("int64") % MICROSECONDS_A_DAY
    seen = Seen.of(found, len(snapshot_at))
    tables = dict(_tables(seen, since_midnight, params, vocabulary))
    columns = {
        feature.name: _column(feature, tables, _in_scope(seen.kinds, feature.scope, vocabulary), params)
        for feature in event_features(params, vocabulary)
    }
    return pd.DataFrame(columns, copy=False)


def _kind(events: ir.Table, vocabulary: Vocabulary) -> ir.IntegerValue:
    types = vocabulary.event_types
    number = ibis.literal(0, "int16")
    if types:
        codes = [(name, ibis.literal(4 * code, "int16")) for code, name in enumerate(types)]
        number = events.event_type.cases(*codes, else_=ibis.literal(4 * len(types), "int16"))
    for column, (name, bit) in BITS.items():
        number += ibis.cases((events[column] == name, ibis.literal(bit, "int16")), else_=ibis.literal(0, "int16"))
    return number


@dataclass(frozen=True)
class Seen:
    """Visible events as arrays, each of shape (events,).

    Attributes
    ----------
    n
        How many snapshots there are.
    kinds
        The kinds that occur, ascending.
    cell
        Where an event belongs in a table of shape (kinds, n), row by row.
    """

    n: int
    kinds: np.ndarray
    cell: np.ndarray
    row: np.ndarray
    age: np.ndarray
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, found: pa.Table, n: int) -> Seen:
        columns = {name: found[name].to_numpy() for name in found.schema.names}
        row, kind, age = (columns.pop(name) for name in ("row", "kind", "age"))
        kinds = np.flatnonzero(np.bincount(kind))
        place = np.zeros(kinds.max(initial=0) + 1, dtype="int64")
        place[kinds] = np.arange(len(kinds))
        return cls(n, kinds, place[kind] * n + row, row, age, columns)

    def count(self, which: np.ndarray) -> np.ndarray:
        """Count the chosen events by kind and snapshot."""
        return self._in_cells(np.bincount(self.cell[which], minlength=self._size))

    def add(self, which: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Add up whole numbers of the chosen events, to the last digit, whatever their order."""
        upper = np.floor(whole / HALF)
        halves = [np.bincount(self.cell[which], part, self._size) for part in (upper, whole - upper * HALF)]
        return self._in_cells(halves[0] * HALF + halves[1])

    def pick(self, which: np.ndarray, values: np.ndarray, best: np.ufunc) -> np.ndarray:
        """Return the least or largest number of the chosen events; missing where there is none."""
        found = np.full(self._size, np.nan)
        best.at(found, self.cell[which], values)
        return self._in_cells(found)

    @property
    def _size(self) -> int:
        return len(self.kinds) * self.n

    def _in_cells(self, table: np.ndarray) -> np.ndarray:
        return table.reshape(len(self.kinds), self.n)


def _tables(
    seen: Seen, since_midnight: np.ndarray, params: FeatureParams, vocabulary: Vocabulary
) -> Iterator[tuple[tuple[str, int | None], np.ndarray]]:
    """Yield what the features are made of, by measure and window, each of shape (kinds, n)."""
    age, every = seen.age, np.arange(len(seen.age))
    windows: list[int | None] = [*sorted({*params.windows_days, *params.trend_days}), None]
    for days in windows:
        edge = None if days is None else days * MICROSECONDS_A_DAY
        within = every if edge is None else np.flatnonzero(age <= edge)
        yield ("count", days), seen.count(within)
        # a window of active days begins with a whole day
        whole = every if edge is None else np.flatnonzero(age <= edge + since_midnight[seen.row])
        for mark in ("opens_day", "opens_day_of_direction"):
            yield (mark, days), seen.count(whole[seen.columns[mark][whole]])
        if vocabulary.valued_types:
            valued = within[~np.isnan(seen.columns["value"][within])]
            yield ("value_sum", days), seen.add(valued, np.rint(seen.columns["value"][valued] * VALUE_UNIT))
    for half_life in params.half_lives_days:
        recent = np.flatnonzero(age <= MOST_HALF_LIVES * half_life * MICROSECONDS_A_DAY)
        weight = np.exp2(age[recent] / (-half_life * MICROSECONDS_A_DAY)) * DECAY_UNIT
        yield ("decayed", half_life), seen.add(recent, np.rint(weight))
    yield ("last_age", None), seen.pick(every, age, np.fmin)
    yield ("first_age", None), seen.pick(every, age, np.fmax)
    if "any_outbound" in vocabulary.event_groups:
        yield ("unanswered", None), seen.count(np.flatnonzero(seen.columns["unanswered"]))
    if vocabulary.valued_types:
        value, last = seen.columns["value"], seen.columns["is_last_value"]
        yield ("value_max", None), seen.pick(every, value, np.fmax)
        yield ("value_last", None), seen.pick(np.flatnonzero(last), value[last], np.fmax)


def _in_scope(kinds: np.ndarray, scope: str, vocabulary: Vocabulary) -> np.ndarray:
    """Return the places of the kinds of a scope."""
    if scope == ANY:
        return np.arange(len(kinds))
    if scope in GROUPS:
        column, value = GROUPS[scope]
        name, bit = BITS[column]
        return np.flatnonzero((kinds & bit > 0) == (value == name))
    types = [*vocabulary.event_types, OTHER]
    return np.flatnonzero(kinds // 4 == types.index(scope))


def _column(feature: EventFeature, tables: Tables, places: np.ndarray, params: FeatureParams) -> np.ndarray:
    """Return one feature of every snapshot, shape (n,)."""

    def total(measure: str, days: int | None = None) -> np.ndarray:
        return tables[measure, days][places].sum(axis=0)

    def best(measure: str, pick: np.ufunc) -> np.ndarray:
        table = tables[measure, None]
        return pick.reduce(table[places], axis=0, initial=np.nan)

    match feature.measure:
        case "count":
            return total("count", feature.days)
        case "decayed":
            return total("decayed", feature.days) / DECAY_UNIT
        case "active_days":
            return total("opens_day" if feature.scope == ANY else "opens_day_of_direction", feature.days)
        case "value_sum":
            return total("value_sum", feature.days) / VALUE_UNIT
        case "value_max" | "value_last":
            return best(feature.measure, np.fmax)
        case "recency":
            return best("last_age", np.fmin) / MICROSECONDS_A_DAY
        case "unanswered":
            return total("unanswered")
        case "mean_gap":
            gaps = total("count") - 1
            span = best("first_age", np.fmax) - best("last_age", np.fmin)
            return np.divide(span / MICROSECONDS_A_DAY, gaps, out=np.full(len(gaps), np.nan), where=gaps > 0)
        case "trend":
            short, long = params.trend_days
            recent, longer = total("count", short), total("count", long)
            return recent * (7 / short) - (longer - recent) * (7 / (long - short))  # events a week
