"""Derived event columns follow their definitions, however the log is cut, and an old log is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.events.event_log import (
    DERIVED_COLUMNS,
    INBOUND,
    ONLINE,
    OPENS_DAY,
    OPENS_DAY_OF_DIRECTION,
    TYPE,
    derive_columns,
    in_complete_leads,
    type_code,
    without_copies,
)
from features.schema.errors import DataError
from pipelines.stages import ingest as ingest_stage
from pipelines.storage import files as sinks
from pipelines.storage.contract_store import Contract
from tests.support.small_source import run
from tests.support.tables import DAY, MONDAY, PARAMS, TICK, Row, crowd, event_rows, table

LOG = crowd((MONDAY, MONDAY + 7 * DAY), 30, 600).events


def derived(events: list[Row]) -> list[Row]:
    rows: list[Row] = derive_columns(table("events", events)).to_pylist()
    return rows


def visible(row: Row) -> pd.Timestamp:
    return max(pd.Timestamp(row["known_at"]), pd.Timestamp(row["event_at"]) + TICK)


def assert_as_defined(rows: list[Row]) -> None:
    """Check each derived column against its definition, one row at a time."""
    days: dict[Any, list[Row]] = {}
    for row in rows:
        same_lead = [one for one in rows if one["lead_id"] == row["lead_id"]]
        acts = [
            visible(one) for one in same_lead if one["direction"] == "inbound" and one["event_at"] >= row["event_at"]
        ]
        expected = min(acts, default=None) if row["direction"] == "outbound" else None
        assert row["answered_at"] == expected
        assert row["kind"] // TYPE == type_code(row["event_type"])
        assert bool(row["kind"] & INBOUND) == (row["direction"] == "inbound")
        assert bool(row["kind"] & ONLINE) == (row["channel"] == "online")
        if row["value"] is None:
            assert row["surpassed_at"] is None
        day = row["event_at"].date()
        days.setdefault((row["lead_id"], day, "opens_day"), []).append(row)
        days.setdefault((row["lead_id"], day, row["direction"]), []).append(row)
    for (*_, what), members in days.items():
        (first,) = [
            one for one in members if one["kind"] & (OPENS_DAY if what == "opens_day" else OPENS_DAY_OF_DIRECTION)
        ]
        assert visible(first) == min(map(visible, members))


def assert_one_value_stands(rows: list[Row], at: pd.Timestamp) -> None:
    """Of each lead and type, the last value known at a moment is the only one not surpassed."""
    seen = [one for one in rows if visible(one) <= at and one["value"] is not None]
    for key in {(one["lead_id"], one["event_type"]) for one in seen}:
        events = [one for one in seen if (one["lead_id"], one["event_type"]) == key]
        (standing,) = [one["value"] for one in events if one["surpassed_at"] is None or one["surpassed_at"] > at]
        assert standing == max(events, key=lambda one: (one["event_at"], one["value"]))["value"]


@settings(max_examples=30)
@given(event_rows(["a", "b"], [MONDAY], max_size=12))
def test_derived_columns_are_as_defined(events: list[Row]) -> None:
    rows = derived(events)
    assert_as_defined(rows)
    for days in (-7, 0, 1, 7):
        assert_one_value_stands(rows, MONDAY + days * DAY)


def test_derived_columns_of_many_leads_are_as_defined() -> None:
    rows = derived(LOG)
    assert_as_defined(rows)
    assert_one_value_stands(rows, MONDAY)
    assert all(any(row[name] for row in rows) for name in DERIVED_COLUMNS.names)


def test_the_rows_stay_as_they_are() -> None:
    log = table("events", LOG)
    assert derive_columns(log).select(log.column_names).equals(log)
    assert derive_columns(derive_columns(log)).equals(derive_columns(log))
    empty = derive_columns(log.slice(0, 0))
    assert (len(empty), empty.schema) == (0, pa.schema([*log.schema, *DERIVED_COLUMNS]))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_no_lead_is_cut(sizes: list[int]) -> None:
    log = table("events", sorted(LOG, key=lambda row: row["lead_id"]))
    cuts = [sum(sizes[:index]) for index in range(len(sizes) + 1)]
    pieces = list(in_complete_leads([*(log[i:j] for i, j in pairwise(cuts)), log[cuts[-1] :]]))
    assert pa.concat_tables(pieces).equals(log)
    leads = [set(piece["lead_id"].to_pylist()) for piece in pieces]
    assert sum(map(len, leads)) == len(set.union(*leads))


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, 1.0, 2.0]), st.integers(0, 2)), min_size=1),
    st.integers(1, 4),
)
def test_copies_are_dropped_however_the_rows_are_cut(rows: list[tuple[str, float | None, int]], size: int) -> None:
    rows = sorted(rows, key=lambda row: (row[0], row[1] is None, row[1] or 0.0, row[2]))
    log = pa.table({"lead_id": [row[0] for row in rows], "value": pa.array([row[1] for row in rows], pa.float64()),
                    "hash#": [row[2] for row in rows]})  # fmt: skip
    pieces = [log.slice(start, size) for start in range(0, len(rows), size)]
    left = list(without_copies(pieces, told_by="hash#"))
    assert all(map(len, left))
    assert pa.concat_tables(left).to_pylist() == [{"lead_id": a, "value": b} for a, b, _ in dict.fromkeys(rows)]


# In the store


def test_ingest_derives_columns_whatever_its_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        f"{'abc'[n % 3]},2024-01-0{2 + n % 5} {n % 24:02}:00:00,{'visit' if n % 2 else 'mail'},{n}" for n in range(99)
    ]
    events: dict[str, str | bytes] = {"events.csv": "id,at,kind,minutes\n" + "\n".join(lines)}
    _, layout = run(tmp_path, events)
    log = pq.read_table(layout.events.path)
    assert log.equals(derive_columns(log))
    monkeypatch.setattr(sinks, "ROW_GROUP", 7)
    monkeypatch.setattr(ingest_stage, "ROW_GROUP", 7)
    assert pq.read_table(run(tmp_path, events, out="again")[1].events.path).equals(log)


@pytest.mark.parametrize("version", [None, 0])
def test_a_log_with_other_derived_columns_is_refused(tmp_path: Path, version: int | None) -> None:
    _, layout = run(tmp_path)
    profile = json.loads(layout.profile.path.read_text())
    assert "answered_at" not in profile["tables"]["events"]["columns"]
    profile |= {"marks_version": version}
    layout.profile.path.write_text(json.dumps({name: one for name, one in profile.items() if one is not None}))
    with pytest.raises(
        DataError, match=rf"derived columns are of version {version}.*Run `leadscore stage ingest` again"
    ):
        Contract.open(layout, PARAMS.project)
