"""Small tables of the contract for tests, and strategies of hypothesis that draw them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from features.matrix.matrix import LeadTables, MatrixSpec
from features.schema.contract import TABLES, arrow_schema, attribute_fields
from features.schema.declarations import AttributeSpec
from features.schema.vocabulary import GROUPS, Vocabulary
from pipelines.config.params import load

PARAMS = load()
SCALE = PARAMS.points.scale(base_rate=0.05)
MONDAY = pd.Timestamp("2024-03-04")
DAY, HOUR, TICK = pd.Timedelta(days=1), pd.Timedelta(hours=1), pd.Timedelta(microseconds=1)
Row = dict[str, Any]
FEATURES = PARAMS.features.model_copy(
    update={"windows_days": [1, 7], "half_lives_days": [7], "trend_days": (7, 30), "max_levels": 3}
)
EDGES = [
    -7,
    -1,
    0,
    1,
    2,
    7,
    8,
    30,
    31,
    60,
]  # days before the snapshot: after it, at it, on the windows' edges, outside them
nudges = st.sampled_from([0 * DAY, TICK, -TICK, 6 * HOUR])
ages = st.builds(lambda days, nudge: days * DAY + nudge, st.sampled_from(EDGES), nudges)
delays = st.sampled_from([0 * DAY, 0 * DAY, TICK, 6 * HOUR, DAY, 7 * DAY])
values = st.sampled_from([None, None, 0.0, 1.5, -2.25, 0.1, 1_000_000.0])


def attribute(kind: str, known: str = "creation", **values: object) -> AttributeSpec:
    """An attribute with defaults for everything that a test does not set."""
    rest = {"column": "a_column", "group": "fit", "label": "", "unit": "", "direction": "none", "why": "because"}
    return AttributeSpec.model_validate(rest | {"kind": kind, "known": known, "missing": []} | values)


ATTRIBUTES = {
    "sector": attribute("category", label="line of business"),
    "size": attribute("number", "history", label="company size", unit="employees"),
    "job": attribute("title", "history", label="job title"),
    "stage": attribute("category", "history", label="buying stage", group="engagement"),
    "mail": attribute("domain", label="mail domain"),
    "rating": attribute("category", "outcome", label="rating"),
}


VOCABULARY = Vocabulary(
    event_types=["visit", "call"],
    valued_types=["visit", "call"],
    channels={"visit": "online", "call": "none"},
    event_groups=list(GROUPS),
    has_other=True,
    levels={"sector": ["steel", "food", "other"], "stage": ["early", "late"]},
    frequencies={"sector": {"steel": 0.5, "food": 0.3, "toys": 0.2}},
    dated=True,
)


SPEC = MatrixSpec(
    attributes=ATTRIBUTES,
    event_labels={"visit": "site visit"},
    event_units={"call": "minutes"},
    params=FEATURES,
    vocabulary=VOCABULARY,
)


def table(name: str, rows: Iterable[Row], attributes: Mapping[str, AttributeSpec] = ATTRIBUTES) -> pa.Table:
    """A contract table out of rows as mappings; keys that are left out are null."""
    of_leads = {key: spec for key, spec in attributes.items() if name == "leads" or spec.known == "history"}
    own = attribute_fields(of_leads) if name in ("leads", "attribute_history") else ()
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(name, TABLES[name] + own))


def frame(name: str, rows: Iterable[Row], attributes: Mapping[str, AttributeSpec] = ATTRIBUTES) -> pd.DataFrame:
    """The same as pandas reads it back from Parquet."""
    return table(name, rows, attributes).to_pandas()


def moments(rows: Iterable[tuple[str, pd.Timestamp]]) -> pd.DataFrame:
    """Snapshots out of pairs of lead and moment."""
    pairs = list(rows)
    at = pd.Series([moment for _, moment in pairs], dtype="datetime64[us]")
    return pd.DataFrame({"lead_id": pd.Series([lead for lead, _ in pairs], dtype="str"), "snapshot_at": at})


@dataclass(frozen=True)
class Scenario:
    """Rows of the contract tables, and the (lead_id, snapshot_at) to compute."""

    pairs: list[tuple[str, pd.Timestamp]]
    leads: list[Row]
    history: list[Row]
    events: list[Row]

    @property
    def event_table(self) -> ir.Table:
        return ibis.memtable(table("events", self.events))

    @property
    def tables(self) -> LeadTables:
        history = frame("attribute_history", self.history)
        return LeadTables(moments(self.pairs), frame("leads", self.leads), history, self.event_table)

    def shifted(self, by: pd.Timedelta) -> Scenario:
        """The same with every clock moved."""

        def move(row: Row) -> Row:
            return {key: value + by if isinstance(value, pd.Timestamp) else value for key, value in row.items()}

        rows = {name: [move(row) for row in getattr(self, name)] for name in ("leads", "history", "events")}
        return replace(self, pairs=[(lead, at + by) for lead, at in self.pairs], **rows)


versions = st.fixed_dictionaries(
    {
        "size": st.sampled_from([None, 1.0, 0.3, 5_000.0]),
        "job": st.sampled_from([None, "CEO & Founder", "Head of IT", "Clown"]),
        "stage": st.sampled_from([None, "early", "late", "gone"]),
    }
)


@st.composite
def event_rows(draw: st.DrawFn, leads: list[str], near: list[pd.Timestamp], max_size: int = 20) -> list[Row]:
    """Events around the given moments: ties, copies, late arrivals, and times exactly on an edge are common."""
    one = st.fixed_dictionaries(
        {
            "lead_id": st.sampled_from(leads),
            "event_at": st.builds(lambda moment, age: moment - age, st.sampled_from(near), ages),
            "event_type": st.sampled_from(["visit", "call", "chat", "other"]),
            "direction": st.sampled_from(["inbound", "outbound"]),
            "channel": st.sampled_from(["online", "offline"]),
            "value": values,
        }
    )
    rows = [row | {"known_at": row["event_at"] + draw(delays)} for row in draw(st.lists(one, max_size=max_size))]
    return rows + draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else rows


@st.composite
def histories(draw: st.DrawFn, leads: list[str], near: pd.Timestamp) -> list[Row]:
    """Edits of some leads, each with the version at creation first."""
    edited = [lead for lead in leads if draw(st.booleans())]
    rows = []
    for lead in edited:
        for age in sorted({90 * DAY, *draw(st.lists(ages, max_size=3))}):
            rows.append({"lead_id": lead, "valid_from": near - age} | draw(versions))
    return rows


@st.composite
def scenarios(draw: st.DrawFn, times: tuple[pd.Timestamp, ...] = (MONDAY,), n_leads: int = 3) -> Scenario:
    """Up to `n_leads` leads, each looked at at some of the times."""
    ids = ["a", "b", "Ä"][: draw(st.integers(1, n_leads))]
    fixed = st.fixed_dictionaries(
        {
            "sector": st.sampled_from([None, "steel", "food", "toys", "new", "other"]),
            "mail": st.sampled_from([None, "acme.example", "Ann@GMAIL.com", "x@cs.mit.edu"]),
        }
    )
    leads = [
        {"lead_id": lead, "position": index, "created_at": times[0] - 90 * DAY} | draw(fixed) | draw(versions)
        for index, lead in enumerate(ids)
    ]
    at = [(lead, time) for lead in ids for time in times]
    return Scenario(at, leads, draw(histories(ids, times[0])), draw(event_rows(ids, list(times))))


def crowd(
    times: tuple[pd.Timestamp, ...], n_leads: int = 60, n_events: int = 600, clock: pd.Timedelta = 0 * DAY
) -> Scenario:
    """Many leads at once, always the same ones, with events on and around the edges of the project's windows.

    `clock` is the time of day of the snapshots; events stay around midnight.
    """
    rng = np.random.default_rng(5)
    ids = sorted(f"{prefix}{number}" for number, prefix in zip(range(n_leads), "aBä " * n_leads, strict=False))

    def pick(*cells: Any) -> Any:
        return cells[rng.integers(len(cells))]

    def version() -> Row:
        job = pick(None, "CEO & Founder", "Head of IT", "Clown")
        return {"size": pick(None, 1.0, 0.3, 5_000.0), "job": job, "stage": pick(None, "early", "late", "gone")}

    def event() -> Row:
        age = pick(0, 1, 3, 7, 30, 90, 100) * DAY + pick(-1, 0, 0, 1, 40_000_000_000) * TICK
        at, kind = pick(*times) - age, pick("visit", "call", "chat")
        sides = {"direction": pick("inbound", "outbound"), "channel": pick("online", "offline")}
        late = pick(0, 0, 0, 1, 5) * DAY
        rest = {"event_type": kind, "value": pick(None, 0.5, -3.0, 1234.56)} | sides
        return {"lead_id": pick(*ids), "event_at": at, "known_at": at + late} | rest

    leads = [
        {
            "lead_id": lead,
            "position": index,
            "created_at": times[0] - 90 * DAY,
            "sector": pick(None, "steel", "food", "toys", "new", "other"),
            "mail": pick(None, "acme.example", "Ann@GMAIL.com", "x@cs.mit.edu"),
        }
        | version()
        for index, lead in enumerate(ids)
    ]
    edits = [(lead, age) for lead in ids[::2] for age in {90, pick(-3, 0, 2), pick(5, 9)}]
    history = [{"lead_id": lead, "valid_from": times[0] - age * DAY} | version() for lead, age in edits]
    events = [row for _ in range(n_events) for row in [event()] * pick(1, 1, 1, 2)]
    return Scenario([(lead, time + clock) for lead in ids for time in times], leads, history, events)
