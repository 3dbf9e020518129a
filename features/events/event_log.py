"""Columns of an event that depend on its lead's complete log, derived once, when the log is written.

A derived column depends only on events that were known no later than the snapshot that reads it, so that an event
learned of later changes no earlier snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.schema.contract import TABLES

if TYPE_CHECKING:
    import ibis.expr.types as ir


DERIVED_VERSION = 2  # raised when a derived column changes its definition; logs of another version are refused
DERIVED_COLUMNS = pa.schema(
    {
        "kind": pa.int64(),  # the event code: the code of its type, and below it the bits that follow
        "answered_at": pa.timestamp("us"),  # of outreach: since when the lead is known to have acted then or later
        "surpassed_at": pa.timestamp("us"),  # of values: since when a later one of lead and type is known
    }
)
INBOUND, ONLINE = 8, 4
OPENS_DAY = 2  # no event of its lead and day was known before
OPENS_DAY_OF_DIRECTION = 1  # no event of its lead, day and direction was
TYPE = 16  # what a type's code is multiplied with
CONTRACT = [field.name for field in TABLES["events"]]
MICROSECONDS_A_DAY = 86_400_000_000
FEW_GROUPS = 30  # runs of rows
NEVER = np.iinfo("int64").max


def derive_columns(events: pa.Table) -> pa.Table:
    """Add the derived columns to all events of some leads.

    Parameters
    ----------
    events
        The contract's events, in any order; of each lead all or none.

    Returns
    -------
    Table
        The same rows in the same order, with DERIVED_COLUMNS after the contract's columns.
    """
    derived = derived_arrays(events)
    table = events.select(CONTRACT)
    for field in DERIVED_COLUMNS:
        values = derived[field.name]
        absent = None if field.name == "kind" else values == NEVER
        table = table.append_column(field, pa.array(values, mask=absent).cast(field.type))
    return table


def derived_arrays(events: pa.Table) -> dict[str, np.ndarray]:
    """Return DERIVED_COLUMNS of the same rows in the same order as integers; NEVER stands for no time."""
    lead = events["lead_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    at, known = (events[name].cast(pa.int64()).to_numpy() for name in ("event_at", "known_at"))
    order = slice(None) if _is_sorted(lead, at) else np.lexsort((at, lead))
    lead, at, visible = lead[order], at[order], np.maximum(known, at + 1)[order]
    types = events["event_type"].combine_chunks().dictionary_encode()
    of_type = types.indices.to_numpy()[order]
    codes = np.array([type_code(name) for name in types.dictionary.to_pylist()], dtype="int64")
    inbound = pc.equal(events["direction"], "inbound").to_numpy()[order]
    online = pc.equal(events["channel"], "online").to_numpy()[order]
    day = _numbered(lead, at // MICROSECONDS_A_DAY)
    opens_day_of_direction = np.empty(len(lead), dtype="bool")
    for rows in (inbound, ~inbound):
        opens_day_of_direction[rows] = _first_known(day[rows], visible[rows])
    derived = {
        "kind": codes[of_type] * TYPE
        + inbound * INBOUND
        + online * ONLINE
        + _first_known(day, visible) * OPENS_DAY
        + opens_day_of_direction * OPENS_DAY_OF_DIRECTION,
        "answered_at": _answered(lead, at, visible, inbound),
        "surpassed_at": _surpassed(lead, of_type, at, visible, events["value"].to_numpy()[order]),
    }
    position = np.empty(len(lead), dtype="int64")
    position[order] = np.arange(len(lead))
    return {name: values[position] for name, values in derived.items()}


@lru_cache(maxsize=10_000)
def type_code(event_type: str) -> int:
    """Return a number of 56 bits that stands for a type in every log: of a thousand types no two ever share one."""
    return int.from_bytes(hashlib.blake2b(event_type.encode(), digest_size=7).digest(), "big")


def microseconds(moment: pd.Timestamp) -> int:
    """Return a moment as the log's integers have it; `value` would give nanoseconds."""
    return int(moment.as_unit("us").asm8.astype("int64"))


def in_complete_leads(rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut a stream that is sorted by lead_id anew, so that no lead is in two pieces."""
    held: list[pa.Table] = []
    for piece in rows:
        last = piece["lead_id"][-1].as_py()
        begin = pc.index(piece["lead_id"], last).as_py()
        if begin or (held and held[-1]["lead_id"][-1].as_py() != last):
            yield pa.concat_tables([*held, piece.slice(0, begin)])
            held = []
        held.append(piece.slice(begin))
    if held:
        yield pa.concat_tables(held)


def without_copies(rows: Iterable[pa.Table], told_by: str) -> Iterator[pa.Table]:
    """Drop each row that agrees with the one before it in all columns, of which `told_by` alone tells most rows apart.

    The column `told_by` is dropped, too.
    """
    before: pa.Table | None = None
    for piece in rows:
        joined = piece if before is None else pa.concat_tables([before, piece])
        told = joined[told_by].to_numpy()
        second = np.flatnonzero(told[1:] == told[:-1]) + 1
        kept = np.ones(len(joined), dtype="bool")
        kept[second[_alike(joined.take(second - 1), joined.take(second))]] = False
        kept = kept[len(joined) - len(piece) :]
        before = piece.slice(len(piece) - 1)
        if kept.any():
            yield piece.drop_columns(told_by).filter(pa.array(kept))


def _alike(one: pa.Table, other: pa.Table) -> np.ndarray:
    alike = np.ones(len(one), dtype="bool")
    for name in one.column_names:
        same = pc.fill_null(pc.equal(one[name], other[name]), False)
        absent = pc.and_(pc.is_null(one[name]), pc.is_null(other[name]))
        alike &= pc.or_(same, absent).to_numpy()
    return alike


def contract_columns(events: ir.Table) -> ir.Table:
    """Keep the contract's columns: derived columns of a log do not hold for a part of it."""
    return events.select(*CONTRACT)


def with_derived_columns(events: ir.Table) -> ir.Table:
    """Return the events with derived columns; where they are missing, the events are fetched and derived in memory."""
    import ibis

    if set(DERIVED_COLUMNS.names) <= set(events.columns):
        return events
    return ibis.memtable(derive_columns(contract_columns(events).to_pyarrow()))


def _is_sorted(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether rows are in the order of both keys."""
    ties = first[1:] == first[:-1]
    return bool(((first[1:] > first[:-1]) | (ties & (second[1:] >= second[:-1]))).all())


def _numbered(*keys: np.ndarray) -> np.ndarray:
    """Number the runs of rows that agree in all keys, from 0."""
    changes = np.zeros(len(keys[0]), dtype="int64")
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.cumsum(changes)


def _first_known(group: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Flag the event of each group that was known first, of several the first; rows of a group stand together."""
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    earliest = np.minimum.reduceat(visible, begins) if len(begins) else visible
    known_first = np.flatnonzero(visible == np.repeat(earliest, np.diff(begins, append=len(group))))
    first = np.zeros(len(group), dtype="bool")
    first[known_first[np.diff(group[known_first], prepend=-1) > 0]] = True
    return first


def _answered(lead: np.ndarray, at: np.ndarray, visible: np.ndarray, inbound: np.ndarray) -> np.ndarray:
    """Find since when an act of the lead at the time of each outreach or later is known; NEVER where there is none."""
    known = _earliest_from_here(lead, np.where(inbound, visible, NEVER))
    moment = _numbered(lead, at)
    begins = np.flatnonzero(np.diff(moment, prepend=-1))  # events of one moment have no order
    return np.where(inbound, NEVER, known[begins][moment])


def _surpassed(
    lead: np.ndarray, event_type: np.ndarray, at: np.ndarray, visible: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Find since when a later value of the same lead and type is known, of one moment a higher one; NEVER for none."""
    valued = np.flatnonzero(~np.isnan(value))
    valued = valued[np.lexsort((value[valued], at[valued], event_type[valued], lead[valued]))]
    group = _numbered(lead[valued], event_type[valued])
    known = _earliest_from_here(group, visible[valued])
    since = np.full(len(lead), NEVER)
    followed = group[:-1] == group[1:]
    since[valued[:-1][followed]] = known[1:][followed]
    return since


def _earliest_from_here(group: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return the least time of each row and those after it in its group; rows of a group stand together."""
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    if len(begins) <= FEW_GROUPS:  # the events of one lead; pandas would take a millisecond
        return np.concatenate([time[:0], *(np.minimum.accumulate(one[::-1])[::-1] for one in np.split(time, begins))])
    return pd.Series(time[::-1]).groupby(group[::-1], sort=False).cummin().to_numpy()[::-1]
