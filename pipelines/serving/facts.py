"""A lead and its events as callers send them, in the contract's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from features.attributes.one_lead import Cell, Cells
from features.matrix.one_lead import Lead
from features.schema.contract import TABLES, arrow_schema
from features.schema.declarations import AttributeSpec
from features.schema.errors import DataError
from pipelines.serving.bodies import ScoreRequest, in_time, is_day

EVENTS = arrow_schema("events", TABLES["events"])


@dataclass(frozen=True)
class Defaults:
    """What an event has that does not say it, and the time zone of its days."""

    direction: str
    channel: str
    timezone: str

    def is_early(self, event_at: str, known_at: pd.Timestamp) -> bool:
        """Whether an event was known before it happened, by the day where it has no time; as `ingest` refuses it."""
        if is_day(event_at):
            known_at = known_at.tz_localize("UTC").tz_convert(self.timezone).tz_localize(None)
        return in_time(event_at) > known_at


def lead_of(request: ScoreRequest, attributes: Mapping[str, AttributeSpec], defaults: Defaults) -> Lead:
    """Return the lead of a body in the contract's terms; raises DataError where it is not in them."""
    given = request.lead
    historic = {name: spec for name, spec in attributes.items() if spec.known == "history"}
    edits = [(in_time(one.valid_from), cells_of(one.attributes, historic)) for one in request.attribute_history]
    history = sorted(edits, key=lambda edit: edit[0])
    cells = cells_of(given.attributes, attributes)
    return Lead(given.lead_id, in_time(given.created_at), cells, history, _events_of(request, defaults))


def _events_of(request: ScoreRequest, defaults: Defaults) -> pa.Table:
    events = request.events
    columns: dict[str, Sequence[object]] = {
        "event_at": [event.event_at for event in events],
        "known_at": [event.known_at or event.event_at for event in events],
    }
    for number, one in enumerate(events):
        known_at = one.known_at
        suspect = known_at and (is_day(one.event_at) or known_at < one.event_at)  # moments compare as texts
        if known_at and suspect and defaults.is_early(one.event_at, in_time(known_at)):
            raise DataError(
                "events",
                f"[{number}].known_at",
                found=known_at,
                expected=f"a time from {one.event_at} on, as nothing is known before it happened",
                fix="Leave known_at out where it is not known.",
            )
    columns |= {
        "event_type": [event.event_type for event in events],
        "direction": [event.direction or defaults.direction for event in events],
        "channel": [event.channel or defaults.channel for event in events],
        "value": [event.value for event in events],
    }
    return events_table(request.lead.lead_id, columns)


def events_table(lead_id: str, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    """Return a lead's events as the contract holds them, of columns with times as texts; known once they happened."""
    event_at, known_at = (_in_times(columns[name]) for name in ("event_at", "known_at"))
    times = {"event_at": event_at, "known_at": np.maximum(event_at, known_at)}
    return pa.Table.from_pydict(dict(columns) | {"lead_id": [lead_id] * len(event_at)} | times, schema=EVENTS)


def _in_times(texts: Sequence[object]) -> np.ndarray:
    """Read many times as `in_time` does."""
    return np.array([str(text).removesuffix("Z") for text in texts], "datetime64[us]")


def cells_of(given: Cells, attributes: Mapping[str, AttributeSpec]) -> dict[str, Cell]:
    """Return every attribute of the model, None where it is not given or spelt as not known.

    Raises
    ------
    DataError
        Where one is not declared, or is no number where one is declared.
    """
    if unknown := sorted(set(given) - set(attributes)):
        raise _wrong(unknown[0], "an attribute that is not declared", f"one of {', '.join(attributes)}")
    return {name: _cell(name, given.get(name), spec) for name, spec in attributes.items()}


def _cell(name: str, cell: Cell, spec: AttributeSpec) -> Cell:
    if cell is None or cell in spec.missing:
        return None
    if isinstance(cell, float if spec.kind == "number" else str):
        return cell
    raise _wrong(name, f"{cell!r:.60}", "a number" if spec.kind == "number" else "a text")


def _wrong(name: str, found: str, expected: str) -> DataError:
    return DataError("leads", name, found=found, expected=expected, fix="Send it as the contract holds it.")
