"""Times without an offset at a change of clocks: how many a zone does not have, or has twice, is said."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.small_source import run, table

GAP, TWICE = "2024-03-31 02:30:00", "2024-10-27 02:30:00"
LEADS = "id,created,country,size\na,2024-01-01,DE,10\n"
AWARE = [f"{GAP}Z", f"{TWICE}+02:00", "2024-10-27", "2024-03-31 01:59:59", "2024-10-27 03:00:00"]


def said(folder: Path, caplog: pytest.LogCaptureFixture, times: list[str], zone: str, **changed: object) -> list[str]:
    events = "id,at,kind,minutes\n" + "".join(f"a,{time},visit,{index}\n" for index, time in enumerate(times))
    with caplog.at_level(logging.WARNING, logger="leadscore"):
        files: dict[str, str | bytes] = {"leads.csv": LEADS, "events.csv": events, "outcomes.csv": "id,won\n"}
        run(folder, files, timezone=zone, **changed)
    return [message for message in caplog.messages if "clocks" in message]


def test_a_gap_and_a_repeated_hour_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = said(tmp_path, caplog, ["2024-02-01 02:30:00", GAP, TWICE, TWICE, GAP, TWICE, *AWARE], "Europe/Berlin")
    where = "source.events[0] (events.csv):"
    assert lines == [
        f"{where} 2 values of at do not exist in Europe/Berlin, as clocks went forward, first in row 2: read an hour "
        "later; export times with their offset",
        f"{where} 3 values of at come twice in Europe/Berlin, as clocks went back, first in row 3: taken for the later "
        "hour; export times with their offset",
    ]
    at = pd.read_parquet(tmp_path / "out/data/contract/events.parquet")["event_at"]
    assert (at == "2024-03-31 01:30").sum() == 2 and (at == "2024-10-27 01:30").sum() == 3


def test_where_the_offset_is_known_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert said(tmp_path, caplog, AWARE, "Europe/Berlin") == []
    assert said(tmp_path, caplog, [GAP, TWICE], "UTC") == []


def test_other_formats_and_typed_columns_say_it_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    german = [pd.Timestamp(time).strftime("%d.%m.%Y %H:%M") for time in (GAP, TWICE)]
    events = [table("events", time_format="%d.%m.%Y %H:%M")]
    assert len(said(tmp_path, caplog, german, "Europe/Berlin", events=events)) == 2
    caplog.clear()
    times = [dt.datetime.fromisoformat(time) for time in (GAP, TWICE)]
    for zone, lines in ((None, 2), ("UTC", 0)):
        rows = pa.table({"id": ["a", "a"], "at": pa.array(times, pa.timestamp("us", zone)), "kind": ["visit"] * 2})
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(rows, tmp_path / "data/events.parquet")
        columns = {"lead_id": "id", "event_at": "at", "event_type": "kind"}
        typed = [table("events", path="events.parquet", format="parquet", columns=columns)]
        assert len(said(tmp_path, caplog, [], "Europe/Berlin", events=typed)) == lines
        caplog.clear()
