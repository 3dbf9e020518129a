"""What `inspect` says of times that have not come yet."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
import yaml

from pipelines.inspection.proposal import Inspection, inspect

DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(182)]
LEADS = "lead_id,created_at\n" + "".join(f"L{n},{day}\n" for n, day in enumerate(DAYS))
EVENTS = "lead_id,at,type\n" + "".join(
    f"L{n},{day} 12:00:00,{'mail' if n % 2 else 'visit'}\n" for n, day in enumerate(DAYS)
)
WON = "lead_id,won_on\n" + "".join(f"L{n},{day}\n" for n, day in enumerate(DAYS) if n % 2)


def looked_at(folder: Path, written: str, **files: str) -> Inspection:
    contents = {"leads": LEADS, "events": EVENTS, "won": WON} | files
    for name, content in contents.items():
        (folder / f"{name}.csv").write_text(content)
        moment = dt.datetime.fromisoformat(written).replace(tzinfo=dt.UTC).timestamp()
        os.utime(folder / f"{name}.csv", (moment, moment))
    return inspect(*(folder / f"{name}.csv" for name in ("leads", "events", "won")))


def test_times_after_the_file_was_written_are_the_future(tmp_path: Path) -> None:
    booked = "".join(f"L{n},2024-07-{n:02d} 10:00:00,visit\n" for n in range(2, 30))
    inspection = looked_at(tmp_path, "2024-06-30T20:00", events=EVENTS + booked)
    assert yaml.safe_load(inspection.mapping)["source"]["exported_at"] == "file"
    assert "28 of at lie after the day events.csv was written, 2024-06-30 (newest 2024-07-29)" in " ".join(
        inspection.warnings
    )


@pytest.mark.parametrize("written", ["2024-06-30T20:00", "2024-09-01T00:00", "1980-01-01T00:00"])
def test_files_that_hold_the_past_need_no_word(written: str, tmp_path: Path) -> None:
    inspection = looked_at(tmp_path, written)
    assert "exported_at" not in yaml.safe_load(inspection.mapping)["source"] and "future" not in str(
        inspection.warnings
    )


@pytest.mark.parametrize(
    ("name", "row"),
    [("leads", "L999,2052-03-01\n"), ("events", "L5,2030-09-14 10:00:00,visit\n"), ("won", "L2,2033-01-01\n")],
)
def test_a_single_time_far_after_all_others_is_named(name: str, row: str, tmp_path: Path) -> None:
    contents = {"leads": LEADS, "events": EVENTS, "won": WON}
    inspection = looked_at(tmp_path, "2060-01-01T00:00", **{name: contents[name] + row})
    [warning] = [one for one in inspection.warnings if "future" in one]
    assert warning.startswith(f"{name}.csv:") and "1 times after 2024-06-30" in warning
