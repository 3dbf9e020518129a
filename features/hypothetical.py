"""What might happen next: copies of one lead, each with one more event, for the same feature code as every lead."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from ibis import _

from features.contract import TABLES, arrow_schema
from features.vocabulary import Vocabulary

JUST_NOW = pd.Timedelta(hours=1)  # before the moment to stand at, so that the event counts there
EVENTS = arrow_schema("events", TABLES["events"])


@dataclass(frozen=True)
class NextEvent:
    """An event that might happen to any lead.

    Attributes
    ----------
    direction, channel
        Those that most events of the type have.
    value
        The median of such events that carry one; None where none does.
    """

    event_type: str
    direction: str
    channel: str
    value: float | None


def next_events(events: ir.Table, before: ir.Value, vocabulary: Vocabulary) -> list[NextEvent]:
    """List one event of each type that has features of its own, as such events mostly were until a moment.

    Parameters
    ----------
    events
        The contract's events, of all leads.
    before
        A moment: later events, and those learned of later, are not looked at.

    Returns
    -------
    list of NextEvent
        In the vocabulary's order; a type without an event by then is left out.
    """
    known = events.filter((events.event_at < before) & (events.known_at <= before))
    known = known.filter(known.event_type.isin(vocabulary.event_types))
    groups = known.group_by("event_type", "direction", "channel").aggregate(n=_.count(), value=_.value.median())
    ranked = groups.to_pyarrow().to_pandas().sort_values(["n", "direction", "channel"], ascending=[False, True, True])
    usual = {str(row["event_type"]): row for row in ranked.drop_duplicates("event_type").to_dict("records")}
    return [_next_event(name, usual[name]) for name in vocabulary.event_types if name in usual]


def _next_event(event_type: str, usual: dict[Hashable, Any]) -> NextEvent:
    value = None if pd.isna(usual["value"]) else float(usual["value"])
    return NextEvent(event_type, str(usual["direction"]), str(usual["channel"]), value)


def with_one_more(
    lead: pd.DataFrame, history: pd.DataFrame, events: pa.Table, at: pd.Timestamp, more: Sequence[NextEvent]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, ir.Table]:
    """Copy a lead once for each event that might happen, and add that event an hour before the moment.

    Parameters
    ----------
    lead, history, events
        The contract's rows of this lead alone.
    at
        The moment to stand at.

    Returns
    -------
    tuple
        snapshots, leads, history and events as `feature_matrix` takes them; one snapshot a copy, in the order of
        `more`. The copies are called "0", "1" and so on.
    """
    ids = [str(place) for place in range(len(more))]
    when = (at - JUST_NOW).to_pydatetime()
    added = [
        {"lead_id": name, "event_at": when, "known_at": when, "event_type": event.event_type}
        | {"direction": event.direction, "channel": event.channel, "value": event.value}
        for name, event in zip(ids, more, strict=True)
    ]
    copies = [_renamed(events, name) for name in ids]
    snapshots = pd.DataFrame({"lead_id": pd.Series(ids, dtype="str"), "snapshot_at": at})
    return (
        snapshots.astype({"snapshot_at": "datetime64[us]"}),
        pd.concat([lead.assign(lead_id=name) for name in ids], ignore_index=True),
        pd.concat([history.assign(lead_id=name) for name in ids], ignore_index=True),
        ibis.memtable(pa.concat_tables([*copies, pa.Table.from_pylist(added, schema=EVENTS)])),
    )


def _renamed(events: pa.Table, name: str) -> pa.Table:
    ids = pa.repeat(pa.scalar(name, pa.string()), len(events))
    return events.set_column(events.schema.get_field_index("lead_id"), "lead_id", ids).select(EVENTS.names).cast(EVENTS)
