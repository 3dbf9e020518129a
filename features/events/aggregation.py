"""From the event log to the event features of each snapshot, in two steps.

`visible_events` is ONE Ibis expression, on any backend: each snapshot beside the events that were known then.
`add_up` makes the features of them with numpy, which is several times faster than as many aggregates in SQL, and the
same on every backend. All sums are of integers (values in millionths, decay weights in 2**-20), so that the order in
which events come, and so the number of threads, never changes a bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import ibis.expr.types as ir
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
    with_marks,
)
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import ANY, GROUPS, OTHER, Vocabulary

VALUE_UNIT = 1_000_000  # values are added in millionths
DECAY_UNIT = 1 << 20
MOST_HALF_LIVES = 21  # after which an event's weight is less than half a unit
HALF = float(1 << 32)  # a float64 adds two million such numbers to the last digit; larger ones are added in two halves
PIECE_EVENTS = 300_000  # added up at once, about; whatever it is, the bits are the same
SAMPLES = 300  # of each piece, that say where to cut
BITS = {  # of a group of events: the bit of their kind, and whether it is set
    "any_inbound": (INBOUND, True),
    "any_outbound": (INBOUND, False),
    "any_online": (ONLINE, True),
    "any_offline": (ONLINE, False),
}
ASKED = 4  # what an event's kind is multiplied with, to say below it what held at the snapshot:
UNANSWERED = 2  # the lead had not acted since
LAST_VALUE = 1  # no later value of its lead and type was known
FLAGS = {
    "opens_day": ASKED * OPENS_DAY,
    "opens_day_of_direction": ASKED * OPENS_DAY_OF_DIRECTION,
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
        The contract's events with their marks, see `event_marks.with_marks`. Which count says `engagement.counts_at`.
    vocabulary
        Says whether anything is asked of values and of answers.

    Returns
    -------
    Table
        One row a pair, in no order: row; kind, that of `event_marks.MARKS` and below it the bits UNANSWERED and
        LAST_VALUE, where they are asked of; age, in microseconds before the snapshot; and value, where it is asked of.
    """
    seen = pair_known(snapshots, with_marks(events))
    columns = {"kind": seen.kind * ASKED, "age": seen.snapshot_at.delta(seen.event_at, unit="microsecond")}
    if "any_outbound" in vocabulary.event_groups:
        columns["kind"] += (seen.answered_at <= seen.snapshot_at).ifelse(0, UNANSWERED)
    if vocabulary.valued_types:
        columns["kind"] += (seen.surpassed_at <= seen.snapshot_at).ifelse(0, LAST_VALUE)
        columns["value"] = seen.value
    return seen.select("row", **columns)


def add_up(
    found: pa.Table, snapshot_at: pd.Series, params: FeatureParams, vocabulary: Vocabulary
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Make the event features of what was visible, of some snapshots at a time.

    Parameters
    ----------
    found
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
    for rows, seen in _pieces(found, len(snapshot_at)):
        tables = dict(_tables(seen, since_midnight[rows], params, vocabulary))
        scopes = {one.scope: _in_scope(seen.kinds, one.scope, vocabulary) for one in features}
        yield rows, {one.name: _column(one, tables, scopes[one.scope], params) for one in features}


def seen_within(found: pa.Table, n: int, asked: Sequence[tuple[Collection[str], int | None]]) -> np.ndarray:
    """Say which snapshots saw an event of some types within so many days, or ever (None).

    Parameters
    ----------
    found
        The result of `visible_events`, of all events or of those types.
    n
        How many snapshots there are.
    asked
        Types and days of each question.

    Returns
    -------
    ndarray
        Shape (n, questions), true and false.
    """
    held = np.zeros((n, len(asked)), dtype=bool)
    codes = [[type_code(name) for name in types] for types, _ in asked]
    for batch in found.to_batches():
        told, age, row = batch["kind"].dictionary_encode(), batch["age"].to_numpy(), batch["row"].to_numpy()
        types, number = told.dictionary.to_numpy() // (ASKED * TYPE), told.indices.to_numpy()
        for place, (_, days) in enumerate(asked):
            hit = np.flatnonzero(np.isin(types, codes[place]).take(number))
            recent = hit if days is None else hit[age[hit] <= days * MICROSECONDS_A_DAY]
            held[row[recent], place] = True
    return held


def _pieces(found: pa.Table, n: int) -> Iterator[tuple[slice, Seen]]:
    """Cut the events, by snapshot, into pieces that the processor's cache holds; yield whose they are, and them."""
    runs = [_by_row(batch) for batch in found.to_batches()]
    stride = max(1, PIECE_EVENTS // SAMPLES)
    step = PIECE_EVENTS // stride
    sampled = np.sort(np.concatenate([np.empty(0, "int64"), *(row[::stride] for row, _ in runs)]))
    edges = dict.fromkeys([0, *sampled[step::step].tolist(), n])
    for begin, end in pairwise(edges if n else [0, 0]):
        ends = [np.searchsorted(row, [begin, end]) for row, _ in runs]
        parts = [batch.slice(first, last - first) for (first, last), (_, batch) in zip(ends, runs, strict=True)]
        yield slice(begin, end), Seen.of(pa.Table.from_batches(parts, found.schema), begin, end - begin)


def _by_row(batch: pa.RecordBatch) -> tuple[np.ndarray, pa.RecordBatch]:
    """Order a batch by snapshot; return the snapshots beside it. A log that is clustered by lead gives it so."""
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
    kinds, n
        The kinds that occur, ascending and whatever they open, and how many snapshots there are.
    cell
        Where an event belongs in a table of shape (kinds, n), row by row.
    """

    kinds: np.ndarray
    n: int
    cell: np.ndarray
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, found: pa.Table, first: int, n: int) -> Self:
        """Read the events of `n` snapshots, the `first` and those after it."""
        told = found["kind"].combine_chunks().dictionary_encode()
        number, each = told.indices.to_numpy(), told.dictionary.to_numpy()
        columns = {name: found[name].to_numpy() for name in found.schema.names if name != "kind"}
        columns["row"] = columns["row"] - first
        columns |= {name: (each & bit > 0).take(number) for name, bit in FLAGS.items()}
        kinds, place = np.unique(each // ASKED & ~(OPENS_DAY | OPENS_DAY_OF_DIRECTION), return_inverse=True)
        return cls(kinds, n, (place * n).take(number) + columns["row"], columns)

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
        """Count the events by kind and snapshot, shape (kinds, n)."""
        return self._table(np.bincount(self.cell, minlength=len(self.kinds) * self.n))

    def add(self, whole: np.ndarray) -> np.ndarray:
        """Add up whole numbers of less than HALF, as `count`."""
        return self._table(np.bincount(self.cell, whole, len(self.kinds) * self.n))

    def least(self, values: np.ndarray) -> np.ndarray:
        """Return the least value, as `count`; missing where there is none."""
        return self._best(np.minimum, values, np.inf)

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return the largest value, as `count`; missing where there is none."""
        return self._best(np.maximum, values, -np.inf)

    def _best(self, better: np.ufunc, values: np.ndarray, worst: float) -> np.ndarray:
        found = np.full(len(self.kinds) * self.n, worst)
        better.at(found, self.cell, values)
        return self._table(np.where(found == worst, np.nan, found))

    def _table(self, cells: np.ndarray) -> np.ndarray:
        return cells.reshape(len(self.kinds), self.n)


def _tables(
    seen: Seen, since_midnight: np.ndarray, params: FeatureParams, vocabulary: Vocabulary
) -> Iterator[tuple[tuple[str, int | None], np.ndarray]]:
    """Yield what the features are made of, by measure and window, each of shape (kinds, n)."""
    age = seen.columns["age"]
    windows = sorted({*params.windows_days, *params.trend_days}, reverse=True)
    for days, recent in replace(seen, columns={"age": age}).within(windows):
        yield ("count", days), recent.count()
    whole_days = age - since_midnight[seen.columns["row"]]  # a window of active days begins with a day
    for mark in ("opens_day", "opens_day_of_direction"):
        opening = replace(seen, columns={"age": whole_days}).only(seen.columns[mark], "age")
        for days, recent in opening.within(windows):
            yield (mark, days), recent.count()
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


def _in_scope(kinds: np.ndarray, scope: str, vocabulary: Vocabulary) -> np.ndarray:
    """Return the places of the kinds of a scope."""
    types = kinds // TYPE
    if scope == ANY:
        mine = types == types
    elif scope == OTHER:
        mine = ~np.isin(types, [type_code(name) for name in vocabulary.event_types])
    elif scope in GROUPS:
        bit, is_set = BITS[scope]
        mine = (kinds & bit > 0) == is_set
    else:
        mine = types == type_code(scope)
    return np.flatnonzero(mine)


def _column(feature: EventFeature, tables: Tables, places: np.ndarray, params: FeatureParams) -> np.ndarray:
    """Return one feature of every snapshot, shape (n,)."""

    def total(measure: str, days: int | None = None) -> np.ndarray:
        table = tables[measure, days]
        return table[places[0]] if len(places) == 1 else table[places].sum(axis=0)

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
