"""Dates as people and programs write them: the formats, the values that do not fit, and which number is the day."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.inspection.file_format import sniff_all
from pipelines.inspection.proposal import inspect
from pipelines.inspection.time_columns import TimeColumn, find_times

DAYS = [f"2024-{month:02d}-{day:02d}" for month in range(1, 11) for day in range(1, 13)]


def look(name: str, values: list[str], of_numbers: bool = False) -> TimeColumn | str | None:
    return find_times(name, pd.Series(values, dtype="str"), of_numbers)


def times(name: str, values: list[str], of_numbers: bool = False) -> TimeColumn:
    found = look(name, values, of_numbers)
    assert isinstance(found, TimeColumn)
    return found


@pytest.mark.parametrize(
    ("text", "other", "time_format"),
    [
        ("05.03.24 10:00", "31.03.24 11:00", "%d.%m.%y %H:%M"),
        ("3/5/2024, 10:15 PM", "3/15/2024, 10:15 AM", "%m/%d/%Y, %I:%M %p"),
        ("3/5/2024, 10:15\u202fPM", "3/15/2024, 10:15\u202fAM", "%m/%d/%Y, %I:%M %p"),
        ("3/5/2024 10:15:30 PM", "3/25/2024 10:15:30 AM", "%m/%d/%Y %I:%M:%S %p"),
        ("March 05, 2024", "May 06, 2024", "%B %d, %Y"),
        ("Mar 5, 2024 at 10:15 PM", "May 6, 2024 at 1:15 AM", "%b %d, %Y at %I:%M %p"),
        ("Tue Mar 05 2024 10:15:00 GMT+0000 (UTC)", "Wed Mar 06 2024 1:15:00 GMT+0100", "%a %b %d %Y %H:%M:%S GMT%z"),
        ("05.03.2024 10:15 CET", "15.07.2024 10:15 CEST", "%d.%m.%Y %H:%M %Z"),
        ("20-10-16", "20-11-30", "%y-%m-%d"),
        ("16-10-20", "30-11-20", "%d-%m-%y"),
        ("16-10-2020", "30-11-2020", "%d-%m-%Y"),
        ("16-10-2020 09:30", "30-11-2020 17:05", "%d-%m-%Y %H:%M"),
        ("10-16-2020", "11-30-2020", "%m-%d-%Y"),
        ("2024年3月5日", "2024年10月15日", "%Y年%m月%d日"),
        ("5-Mar-24", "6-Apr-24", "%d-%b-%y"),
        ("2024-3-5", "2024-3-15", "%Y-%m-%d"),
        ("2024-03-05T10:15:00.000+0000", "2024-03-05T10:15:00Z", "iso"),
        ("20240305", "20240331", "%Y%m%d"),
        ("05.03.24, 10:00", "31.03.24, 11:00", "%d.%m.%y, %H:%M"),
        ("05.03.24 10:00 Uhr", "31.03.24 11:00 Uhr", "%d.%m.%y %H:%M Uhr"),
        ("5.3.24 9:05", "31.3.24 9:05", "%d.%m.%y %H:%M"),
        ("3/5/24, 10:15 PM", "3/15/24, 10:15 AM", "%m/%d/%y, %I:%M %p"),
        ("3/5/2024, 22:15", "3/15/2024, 02:15", "%m/%d/%Y, %H:%M"),
        ("3/5/2024 10:15PM", "3/25/2024 10:15AM", "%m/%d/%Y %I:%M%p"),
        ("03/05/2024 10:15:30 pm", "03/25/2024 10:15:30 am", "%m/%d/%Y %I:%M:%S %p"),
        ("3/5/24 10:15 PM", "3/25/24 1:15 PM", "%m/%d/%y %I:%M %p"),
        ("Mar 5, 2024", "May 16, 2024", "%b %d, %Y"),
        ("5 March 2024", "6 May 2024", "%d %B %Y"),
        ("Tuesday, March 5, 2024", "Wednesday, March 6, 2024", "%A, %B %d, %Y"),
        ("Tue Mar 05 2024 10:15:00 GMT-0800 (PST)", "Wed Mar 06 2024 1:15:00 GMT-0700", "%a %b %d %Y %H:%M:%S GMT%z"),
        ("Tue, 05 Mar 2024 10:15:00 GMT", "Wed, 06 Mar 2024 10:15:00 GMT", "%a, %d %b %Y %H:%M:%S %Z"),
        ("Tue, 5 Mar 2024 10:15:00 +0000", "Wed, 6 Mar 2024 10:15:00 +0100", "%a, %d %b %Y %H:%M:%S %z"),
        ("Tue Mar 05 10:15:00 UTC 2024", "Wed Mar 06 10:15:00 UTC 2024", "%a %b %d %H:%M:%S %Z %Y"),
        ("05.03.2024 10:15 MEZ", "15.07.2024 10:15 MESZ", "%d.%m.%Y %H:%M %Z"),
        ("03/05/2024 10:15 EST", "07/15/2024 10:15 EDT", "%m/%d/%Y %H:%M %Z"),
        ("2024-03-05 10:15 CET", "2024-07-15 10:15 CEST", "%Y-%m-%d %H:%M %Z"),
    ],
)
def test_a_format_is_recognised_by_the_values(text: str, other: str, time_format: str) -> None:
    found = times("x", [text, other] * 20)
    assert (found.formats, found.bad, found.swapped) == ((time_format,), 0, "")


@pytest.mark.parametrize(
    ("name", "values", "time_format"),
    [
        ("created", ["1709633700", "1709720100"], "epoch"),
        ("createdAt", ["1709633700000", "1709720100000"], "epoch_ms"),
        ("Created Date", ["45356", "45357.5"], "excel"),
        ("Erstelldatum", ["45356", "45357"], "excel"),
        ("created_at", ["1709633700.0", "1709720100.0"], "epoch"),
        ("signup_timestamp", ["1709633700", "1709720100"], "epoch"),
        ("Create Date", ["1709633700000", "1709720100000"], "epoch_ms"),
        ("Created On", ["1709633700123", "1709720100456"], "epoch_ms"),
        ("Anlagedatum", ["45356.0", "45357.0"], "excel"),
        ("date_added", ["45357.427083333", "45356.1"], "excel"),
    ],
)
def test_numbers_are_times_where_the_name_says_so(name: str, values: list[str], time_format: str) -> None:
    assert times(name, values, of_numbers=True).formats == (time_format,)
    assert look("size", values) is None


def test_a_few_bad_dates_are_counted_and_shown() -> None:
    found = times("created_at", [*DAYS[:118], "01/01/2024", "01/01/2024"])
    assert (found.formats, found.bad, found.filled) == (("iso",), 2, 120)  # day or month: no one can tell
    assert found.examples == "'01/01/2024' in row 119"
    for bad in (["soon", "later"], ["2024-13-45", "2024-02-30"], ["1/1", "Q1 2024"]):
        found = times("created_at", [*DAYS[:118], *bad])
        assert found.examples == f"{bad[0]!r} in row 119, {bad[1]!r} in row 120"
    assert times("created_at", [*DAYS[:70], *["?1"] * 50]).bad == 50
    assert look("note", [*DAYS[:70], *["?1"] * 50]) is None


def test_two_formats_are_read_where_each_value_has_one_meaning() -> None:
    assert times("created_at", [*DAYS[:118], "31/01/2024"]).formats == ("iso", "%d/%m/%Y")
    assert times("x", ["05.03.2024", "13.03.2024 10:15", "14.03.2024"]).formats == ("%d.%m.%Y", "%d.%m.%Y %H:%M")
    unknown = times("x", ["2024-03-05 10:15:00", "0000-00-00 00:00:00", "NULL"])
    assert (unknown.bad, unknown.unknown) == (0, ("0000-00-00 00:00:00", "NULL"))


@pytest.mark.parametrize(
    ("name", "values"),
    [("grade", ["01.High"]), ("version", ["1.2.3"]), ("phone", ["030-12-4567"]), ("created_by", ["Li"]), ("at", ["9"])],
)
def test_what_is_no_date(name: str, values: list[str]) -> None:
    assert look(name, values * 30) is None


def test_a_date_that_no_format_fits_is_said() -> None:
    for odd in ("２０２４/０３/０５", "March 5th, 2024", "3/5/2024 10:15 p.m.", "1.7096337E+12", "45356,42"):
        assert f"{odd!r} in row 1 fit no format of dates" in str(look("created_at", [odd] * 30))
    found = look("created_at", ["5. März 2024", "6. März 2024"])
    assert found == "'5. März 2024' in row 1, '6. März 2024' in row 2 fit no format of dates"


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def test_all_columns_and_files_share_one_order_of_day_and_month(tmp_path: Path) -> None:
    leads = write(tmp_path / "leads.csv", "id,created,met", [f"{n},05/0{n}/2024,{n + 10}/01/2024" for n in range(1, 9)])
    events = write(tmp_path / "events.csv", "id,at", [f"{n},0{n}/07/2024 10:00" for n in range(1, 9)])
    swapped = write(tmp_path / "us.csv", "id,at,met", [f"{n},0{n}/07/2024,01/2{n}/2024" for n in range(1, 9)])
    first, second, third = sniff_all([leads, events, swapped])
    assert (first.times["created"].formats, first.times["created"].swapped) == (("%d/%m/%Y",), "")
    assert third.times["at"].formats == ("%m/%d/%Y",), "of its own file"
    assert second.times["at"].swapped == "%m/%d/%Y %H:%M", "two files say two things, so a third says nothing"
    alone = sniff_all([swapped, events])[1].times["at"]
    assert (alone.formats, alone.swapped) == (("%m/%d/%Y %H:%M",), "")


@pytest.mark.parametrize(
    ("open_", "other", "first"),
    [
        ("05.0{n}.2024", "1{n}.01.2024", "%d.%m.%Y"),
        ("05-0{n}-2024 08:15", "1{n}-01-2024 09:00", "%d-%m-%Y %H:%M"),
        ("5/{n}/24 8:15", "1{n}/1/24 9:00", "%d/%m/%y %H:%M"),
        ("5/{n}/2024", "1/1{n}/2024", "%m/%d/%Y"),
    ],
)
def test_one_column_that_says_it_decides_for_the_others(tmp_path: Path, open_: str, other: str, first: str) -> None:
    rows = [f"{n},{open_.format(n=n)},{other.format(n=n + 3)}" for n in range(1, 7)]
    (sample,) = sniff_all([write(tmp_path / "leads.csv", "id,created,met_on", rows)])
    assert [sample.times[name].formats for name in ("created", "met_on")] == [(first,)] * 2
    assert sample.times["created"].swapped == ""


def test_one_table_with_two_orders_is_refused(tmp_path: Path) -> None:
    rows = [f"{n},{n + 10}/01/2024,{'01/2' + str(n) + '/2024' if n % 2 else ''}" for n in range(1, 9)]
    leads = write(tmp_path / "leads.csv", "lead_id,created,converted_at", rows)
    assert 'time_format: "%m/%d/%Y"' in inspect(leads, None, None).mapping, "the outcomes have a format of their own"
    events = write(
        tmp_path / "events.csv", "lead_id,at,received", [row if row[-1] != "," else row + "01/20/2024" for row in rows]
    )
    with pytest.raises(DataError, match="two orders of day and month: 'at' has days first and 'received' has months"):
        inspect(leads, events, None)
