"""What might happen next: copies of one lead, each with one more event, for the same feature code as every lead."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from features.attributes.as_of import attributes_as_of
from features.events.definitions import known_events
from features.events.event_log import with_derived_columns
from features.matrix.matrix import LeadTables, MatrixSpec, feature_matrix
from features.schema.contract import TABLES, arrow_schema
from features.schema.declarations import AttributeSpec
from features.schema.vocabulary import Vocabulary

if TYPE_CHECKING:
    import ibis.expr.types as ir


JUST_NOW = pd.Timedelta(hours=1)  # before the snapshot, so that the event counts
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
        A moment: later events, and those learned of later, are ignored.

    Returns
    -------
    list of NextEvent
        In the vocabulary's order; a type without an event by then is left out.
    """
    from ibis import _

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
) -> LeadTables:
    """Copy a lead once for each event that might happen, and add that event an hour before the moment.

    Parameters
    ----------
    lead, history, events
        The contract's rows of this lead alone.
    at
        The snapshot time.

    Returns
    -------
    LeadTables
        One snapshot a copy, in the order of `more`. The copies are called "0", "1" and so on.
    """
    import ibis

    ids = [str(index) for index in range(len(more))]
    when = (at - JUST_NOW).to_pydatetime()
    added = [
        {"lead_id": name, "event_at": when, "known_at": when, "event_type": event.event_type}
        | {"direction": event.direction, "channel": event.channel, "value": event.value}
        for name, event in zip(ids, more, strict=True)
    ]
    copies = [_renamed(events, name) for name in ids]
    snapshots = pd.DataFrame({"lead_id": pd.Series(ids, dtype="str"), "snapshot_at": at})
    return LeadTables(
        snapshots.astype({"snapshot_at": "datetime64[us]"}),
        pd.concat([lead.assign(lead_id=name) for name in ids], ignore_index=True),
        pd.concat([history.assign(lead_id=name) for name in ids], ignore_index=True),
        ibis.memtable(pa.concat_tables([*copies, pa.Table.from_pylist(added, schema=EVENTS)])),
    )


def _renamed(events: pa.Table, name: str) -> pa.Table:
    ids = pa.repeat(pa.scalar(name, pa.string()), len(events))
    return events.set_column(events.schema.get_field_index("lead_id"), "lead_id", ids).select(EVENTS.names).cast(EVENTS)


def counterfactuals(tables: LeadTables, spec: MatrixSpec, since: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Compute the features at the snapshots from what was known at `since`, then with what became known after it.

    Parameters
    ----------
    tables
        One later snapshot of each lead, which was created before `since`.

    Returns
    -------
    dict
        Three matrices, one row a snapshot in its order, each with one change more: `time_passing` (attributes and
        events as known at `since`), `edited_attributes` (attributes as known at the snapshot), `new_events` (events
        too: this is the matrix at the snapshot).
    """
    import ibis

    then = attributes_then(tables.snapshots["lead_id"], tables.leads, tables.history, spec.attributes, since)
    events = with_derived_columns(known_events(tables.events, ibis.literal(since.to_pydatetime())))
    before = replace(tables, events=events)
    return {
        "time_passing": feature_matrix(replace(before, leads=then, history=tables.history.head(0)), spec),
        "edited_attributes": feature_matrix(before, spec),
        "new_events": feature_matrix(tables, spec),
    }


def attributes_then(
    lead_ids: pd.Series[str],
    leads: pd.DataFrame,
    history: pd.DataFrame,
    attributes: Mapping[str, AttributeSpec],
    at: pd.Timestamp,
) -> pd.DataFrame:
    """Return the table of leads as it stood at a moment: the columns of `leads`, one row for each of `lead_ids`."""
    return attributes_as_of(_moments(lead_ids, at), leads, history, attributes).drop(columns="snapshot_at")


def edits(then: pd.DataFrame, now: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> pd.DataFrame:
    """List the attributes whose value differs between two states of the same leads.

    Parameters
    ----------
    then, now
        Two results of `attributes_then` for the same leads in the same order.

    Returns
    -------
    DataFrame
        lead_id, attribute, then, now (as they are in the tables, missing where not known); by attribute, then in the
        order of the leads. A value that was changed and changed back is no edit.
    """
    changed = []
    for name, spec in attributes.items():
        if spec.known == "history" and name in now:
            differs = (then[name] != now[name]) & ~(then[name].isna() & now[name].isna())
            both = {"then": then.loc[differs, name].astype(object), "now": now.loc[differs, name].astype(object)}
            changed.append(pd.DataFrame({"lead_id": then.loc[differs, "lead_id"], "attribute": name} | both))
    empty = pd.DataFrame(columns=["lead_id", "attribute", "then", "now"])
    return pd.concat(changed, ignore_index=True) if changed else empty


def new_events(events: ir.Table, since: pd.Timestamp, until: pd.Timestamp) -> ir.Table:
    """Keep the events that count at `until` and did not yet at `since`: they happened, or became known, between."""
    import ibis

    first = ibis.literal(since.to_pydatetime())
    old = (events.event_at < first) & (events.known_at <= first)
    return known_events(events.filter(~old), ibis.literal(until.to_pydatetime()))


def _moments(lead_ids: pd.Series[str], at: pd.Timestamp) -> pd.DataFrame:
    times = pd.Series(at, index=lead_ids.index, dtype="datetime64[us]")
    return pd.DataFrame({"lead_id": lead_ids, "snapshot_at": times}).reset_index(drop=True)
