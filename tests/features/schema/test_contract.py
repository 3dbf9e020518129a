from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

import duckdb
import pandas as pd
import pandera.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.schema.cells import CellKind, Field, Written, cell_name, has_time_of_day, typed, unless_missing
from features.schema.contract import TABLES, before, faults, schema
from features.schema.number_format import NumberFormat
from features.schema.number_guess import NumberGuess, fits, guess_numbers

TIME, NUMBER = Field("t", "time"), Field("n", "number")


def typed_cells(
    field: Field,
    cells: list[Any],
    kind: CellKind = "text",
    time_format: str = "iso",
    zone: str = "UTC",
    numbers: NumberFormat | None = None,
) -> list[Any]:
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        written = Written(tuple(time_format.split("|")), numbers, "0", zone)
        sql = typed(field, kind, written)
        values: dict[str, Any] = {"cells": cells, "yes": ["1", "yes"], "no": ["0", "no"]} | written.bindings()
        used = {name: value for name, value in values.items() if name == "cells" or f"${name}" in sql}
        rows = connection.execute(f"SELECT {sql} FROM (SELECT unnest($cells) AS {cell_name(field)})", used).fetchall()
    return [value for (value,) in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-01", dt.datetime(2024, 7, 1)),
        ("2024-07-01T12:30", dt.datetime(2024, 7, 1, 12, 30)),
        ("2024-07-01 12:30:15.25", dt.datetime(2024, 7, 1, 12, 30, 15, 250000)),
        ("2024-07-01T12:00:00+02:00", dt.datetime(2024, 7, 1, 10)),
        ("2024-07-01T12:00:00Z", dt.datetime(2024, 7, 1, 12)),
        ("2024-07-01 12:00:00 UTC", dt.datetime(2024, 7, 1, 12)),
        ("2024-02-30", None),
        ("2024-07-01 24:00:00", None),
        ("01/07/2024", None),
        ("2024-7-1", None),
        ("July 1", None),
        ("0022-07-01", None),
        ("9999-12-31", None),
    ],
)
def test_iso_times(text: str, expected: dt.datetime | None) -> None:
    assert typed_cells(TIME, [text]) == [expected]


def test_a_day_stays_and_a_moment_moves_to_utc() -> None:
    assert typed_cells(TIME, ["2024-07-01", "2024-07-01 00:00:00", "2024-07-01T00:00:00Z"], zone="Europe/Berlin") == [
        dt.datetime(2024, 7, 1),
        dt.datetime(2024, 6, 30, 22),
        dt.datetime(2024, 7, 1),
    ]
    assert typed_cells(TIME, [dt.date(2024, 7, 1)], "day", zone="Europe/Berlin") == [dt.datetime(2024, 7, 1)]
    assert typed_cells(TIME, [dt.datetime(2024, 7, 1, 12)], "moment", zone="Europe/Berlin") == [
        dt.datetime(2024, 7, 1, 10)
    ]


@pytest.mark.parametrize(
    ("time_format", "text", "expected"),
    [
        ("%d/%m/%Y", "31/12/2024", dt.datetime(2024, 12, 31)),
        ("%d/%m/%Y", "12/31/2024", None),
        ("%d.%m.%Y %H:%M", "31.12.2024 23:30", dt.datetime(2024, 12, 31, 22, 30)),
        ("%Y-%m-%d %H:%M:%S %z", "2024-12-31 23:30:00 -0500", dt.datetime(2025, 1, 1, 4, 30)),
        ("%d.%m.%y %H:%M", "05.03.24 10:00", dt.datetime(2024, 3, 5, 9)),
        ("%m/%d/%Y, %I:%M %p", "3/5/2024, 10:15\u202fPM", dt.datetime(2024, 3, 5, 21, 15)),
        ("%m/%d/%Y %I:%M:%S %p", "3/5/2024 10:15:30 PM", dt.datetime(2024, 3, 5, 21, 15, 30)),
        ("%B %d, %Y", "March 05, 2024", dt.datetime(2024, 3, 5)),
        ("%a %b %d %Y %H:%M:%S GMT%z", "Tue Mar 05 2024 10:15:00 GMT+0200 (CEST)", dt.datetime(2024, 3, 5, 8, 15)),
        ("%d.%m.%Y %H:%M %Z", "05.07.2024 10:15 MESZ", dt.datetime(2024, 7, 5, 8, 15)),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-07-05 10:15:00 CET", dt.datetime(2024, 7, 5, 8, 15)),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-07-05 10:15:00 EDT", dt.datetime(2024, 7, 5, 14, 15)),
        ("epoch", "1709633700", dt.datetime(2024, 3, 5, 10, 15)),
        ("epoch", "1709633700.25", dt.datetime(2024, 3, 5, 10, 15, 0, 250000)),
        ("epoch_ms", "1709633700250", dt.datetime(2024, 3, 5, 10, 15, 0, 250000)),
        ("epoch", "1709633700250", None),  # milliseconds read as seconds: the year 56146
        ("epoch", "-", None),
        ("excel", "45356", dt.datetime(2024, 3, 5)),
        ("excel", "45356.427083333336", dt.datetime(2024, 3, 5, 9, 15)),
        ("excel", "1e300", None),
        ("excel", "9999999999999", None),
        ("epoch", "9999999999999", None),
        ("iso|%d.%m.%Y", "2024-03-05", dt.datetime(2024, 3, 5)),
        ("iso|%d.%m.%Y", "05.03.2024", dt.datetime(2024, 3, 5)),
        ("%d.%m.%Y|%d.%m.%y", "05.03.24", dt.datetime(2024, 3, 5)),  # no year 24
        ("iso|%d.%m.%Y", "03/05/2024", None),
    ],
)
def test_patterns(time_format: str, text: str, expected: dt.datetime | None) -> None:
    assert typed_cells(TIME, [text], time_format=time_format, zone="Europe/Berlin") == [expected]


def test_has_time_of_day_where_a_pattern_reads_hours() -> None:
    assert [has_time_of_day(pattern) for pattern in ("%d/%m/%y", "%d/%m/%y %H:%M", "%-I %p", "%c")] == [
        False,
        True,
        True,
        True,
    ]


@given(st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1), timezones=st.timezones()))
def test_any_moment_with_its_offset_is_read_in_utc(moment: dt.datetime) -> None:
    offset = moment.utcoffset()
    assert offset is not None
    if offset.seconds % 60:
        return  # ISO 8601 has no seconds in an offset
    assert typed_cells(TIME, [moment.isoformat()]) == [moment.astimezone(dt.UTC).replace(tzinfo=None)]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_number_is_read_as_it_was_written(number: float) -> None:
    assert typed_cells(NUMBER, [repr(number)]) == [number]


@pytest.mark.parametrize("text", ["inf", "nan", "-Infinity", "1e999", "1,234", "12 EUR", "0x1F", "1_000", "one", "."])
def test_not_a_number(text: str) -> None:
    assert typed_cells(NUMBER, [text]) == [None]


@pytest.mark.parametrize(
    ("written", "text", "expected"),
    [
        ({"decimal": ",", "thousands": ".", "ignore": ["€"]}, "€1.234,50", 1234.5),
        ({"decimal": ",", "thousands": ".", "ignore": ["€"]}, "-1.234.567,5 €", -1234567.5),
        ({"decimal": ",", "thousands": ".", "ignore": ["€"]}, "$1,234.50", None),
        ({"decimal": ",", "thousands": "."}, "1.23", None),  # no thousands, so no guess
        ({"thousands": ",", "ignore": ["$", "USD"]}, "USD 1,234.50", 1234.5),
        ({"thousands": ",", "ignore": ["$"]}, "($1,234.50)", -1234.5),
        ({"thousands": ","}, "1,23,456", 123456.0),  # lakh
        ({"decimal": ","}, "1234,50", 1234.5),
        ({"decimal": ",", "thousands": "."}, "1.234,50-", -1234.5),
        ({"decimal": ",", "thousands": " "}, "1\u00a0234,50", 1234.5),
        ({"decimal": ",", "thousands": " "}, "1\u202f234", 1234.0),
        ({"thousands": "'"}, "1’234.50", 1234.5),
        ({"ignore": ["%"]}, "12%", 12.0),
        ({"ignore": ["%"]}, "12,5%", None),
        ({"multiples": {"k": 1000, "M": 1e6}}, "1.2k", 1200.0),
        ({"multiples": {"k": 1000, "M": 1e6}}, "3m", 3e6),
        ({"decimal": ",", "multiples": {"Mio.": 1e6}, "ignore": ["€"]}, "1,5 Mio. €", 1.5e6),
        ({"decimal": ","}, "1,5E+3", 1500.0),
        ({"decimal": ","}, "#N/A", None),
        ({"decimal": ","}, "ca. 5000", None),
        ({"decimal": ","}, "", None),
    ],
)
def test_numbers_as_people_write_them(written: dict[str, Any], text: str, expected: float | None) -> None:
    numbers = NumberFormat.model_validate(written)
    assert typed_cells(NUMBER, [text], numbers=numbers) == [expected]
    assert fits(text, re.compile(numbers.pattern)) == (expected is not None), "inspect and ingest agree"


def test_one_mark_cannot_mean_two_things() -> None:
    with pytest.raises(ValueError, match=r"decimal and thousands are both '\.'"):
        NumberFormat(thousands=".")


@pytest.mark.parametrize(
    ("values", "decimal", "thousands", "ignore", "multiples"),
    [
        ("€1.234,50|€12,00", ",", ".", ["€"], []),
        ("$1,234.50|$5.00", ".", ",", ["$"], []),
        ("1234,50|2,5", ",", "", [], []),
        ("1\u00a0234,50|12\u00a0000", ",", " ", [], []),
        ("12%|5.5%", ".", "", ["%"], []),
        ("1.2k|300|4k", ".", "", [], ["k"]),
        ("$1.2M|$300K", ".", "", ["$"], ["K", "M"]),
        ("1'234.50|5", ".", "'", [], []),
        ("12 Mitarbeiter|5 Mitarbeiter", ".", "", ["Mitarbeiter"], []),
        ("1,5 Mio. €|300 Tsd. €", ",", "", ["€"], ["Mio.", "Tsd."]),
        ("EUR 1.234,50|12,00 EUR", ",", ".", ["EUR"], []),
        ("1.234.567|12", ",", ".", [], []),
        ("1.234,50-|5,25", ",", ".", [], []),
    ],
)
def test_how_numbers_are_written_is_seen(
    values: str, decimal: str, thousands: str, ignore: list[str], multiples: list[str]
) -> None:
    guess = guess_numbers(values.split("|"))
    assert guess is not None
    assert guess.written is not None
    assert (guess.bad, guess.ambiguous) == ([], None)
    assert (guess.written.decimal, guess.written.thousands) == (decimal, thousands)
    assert (guess.written.ignore, list(guess.written.multiples)) == (ignore, multiples)


def test_what_is_no_number_and_what_may_be_two() -> None:
    for values in (["K1", "K2"], ["L1", "L2"], ["11-50", "51-200"], ["€1.234,50", "$1,234.50"], ["1,2", "3.4"], []):
        assert guess_numbers(values) is None
    few = guess_numbers(["5000"] * 50 + ["ca. 5000"])
    assert few is not None
    assert (few.written, few.bad) == (None, ["ca. 5000"])
    point, comma = guess_numbers(["1.234", "12.500"]), guess_numbers(["1,234", "12,500"])
    assert point is not None
    assert comma is not None
    assert point.written is None
    assert point.ambiguous == NumberFormat(decimal=",", thousands=".")
    assert comma.written == NumberFormat(thousands=",")
    assert comma.ambiguous == NumberFormat(decimal=",")
    other = guess_numbers(["1.234", "12.500"], decimal=",")  # as the other columns of the file say
    assert other is not None
    assert (other.written, other.ambiguous) == (NumberFormat(decimal=",", thousands="."), None)
    assert guess_numbers(["0.125", "0.250"]) == NumberGuess(None, [], None, shows_mark=True)


def test_minus_zero_has_the_bytes_of_zero() -> None:
    assert math.copysign(1, typed_cells(NUMBER, ["-0"])[0]) == 1


def test_an_integer_has_no_decimal_point_as_text() -> None:
    text = Field("x", "text")
    assert typed_cells(text, [7], "whole") == ["7"]
    assert typed_cells(text, [7.0, 7.5, math.nan], "real") == ["7", "7.5", None]


def test_labels_are_read_whatever_their_case_and_type() -> None:
    flag = Field("converted", "flag")
    assert typed_cells(flag, ["Yes", "NO ", "maybe", None]) == [True, False, None, None]
    assert typed_cells(flag, [1.0, 0.0, 2.0], "real") == [True, False, None]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("2024-07-01 10:00", "2024-07-01 11:00", True),
        ("2024-07-01 11:00", "2024-07-01 10:00", False),
        ("2024-07-01 00:00", "2024-07-01 11:00", False),  # a day, and a moment on it
        ("2024-07-01 00:00", "2024-06-30 23:00", False),  # 1 July in Berlin
        ("2024-06-30 00:00", "2024-06-30 23:00", True),
        ("2024-06-30 00:00", "2024-07-01 00:00", True),
    ],
)
def test_before_compares_days_where_one_side_is_a_day(first: str, second: str, expected: bool) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        times = f"SELECT TIMESTAMP '{first}' AS a, TIMESTAMP '{second}' AS b"
        assert connection.execute(f"SELECT {before('a', 'b')} FROM ({times})").fetchall() == [(expected,)]


def test_faults_name_the_format() -> None:
    reasons = [fault.reason for fault in faults("events", TABLES["events"], ["event_at"], ["%d/%m/%Y"], dated=True)]
    assert reasons == ["event_at is empty", "event_at is not a time in the format %d/%m/%Y", "lead_id is not in leads"]


def event(**changed: object) -> pd.DataFrame:
    at = pd.Timestamp("2024-07-01").as_unit("us")
    row = {
        "lead_id": "a",
        "event_at": at,
        "known_at": at,
        "event_type": "visit",
        "direction": "inbound",
        "channel": "online",
        "value": 1.0,
    }
    return pd.DataFrame([row | changed])


def test_the_schema_accepts_a_good_row() -> None:
    schema("events", TABLES["events"]).validate(event())


@pytest.mark.parametrize(
    "changed",
    [
        {"lead_id": None},
        {"event_at": pd.Timestamp("2024-07-02").as_unit("us")},  # after it was known
        {"event_at": pd.Timestamp("2024-07-01").as_unit("ns")},
        {"direction": "sideways"},
        {"value": math.inf},
        {"extra": 1},
    ],
)
def test_the_schema_rejects(changed: dict[str, object]) -> None:
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors)):
        schema("events", TABLES["events"]).validate(event(**changed))


def test_one_row_a_lead() -> None:
    lead = pd.DataFrame({"lead_id": ["a", "a"], "position": [0, 1]})
    with pytest.raises(pandera.errors.SchemaError, match="not unique"):
        schema("leads", TABLES["leads"][:1]).validate(lead)


@pytest.mark.parametrize(
    ("sql_type", "kind", "cell", "spelling"),
    [
        ("BIGINT", "whole", "-1", "-1"),
        ("DOUBLE", "real", "999", "999"),
        ("DOUBLE", "real", "inf", "inf"),
        ("DATE", "day", "1970-01-01", "1970-01-01"),
        ("TIMESTAMP", "moment", "infinity", "infinity"),
        ("BOOLEAN", "truth", "false", "false"),
        ("VARCHAR", "text", "n/a", "n/a"),
    ],
)
def test_a_spelling_of_not_known_counts_whatever_the_type(
    sql_type: str, kind: CellKind, cell: str, spelling: str
) -> None:
    with duckdb.connect() as connection:
        known = unless_missing("cell", kind, "$missing", [spelling])
        rows = f"SELECT {known} IS NULL FROM (SELECT CAST('{cell}' AS {sql_type}) AS cell)"
        assert connection.execute(rows, {"missing": ["", spelling]}).fetchall() == [(True,)]
        never = unless_missing("cell", kind, "$missing", ["", "none"])
        assert kind == "text" or "$missing" not in never  # no cell of this type is written so
