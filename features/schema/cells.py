"""Cells as they stand in a file, and the SQL that turns them into values: numbers, times, choices and yes or no.

Users' values never enter the text of a statement: they are bound, under names that `bindings` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from features.schema.number_format import NumberFormat, number_sql, spaced
from features.schema.number_format import bindings as number_bindings

OF_VALUE = re.compile(r"\d|inf|true|false")  # in the text of each number, time and truth
FieldKind = Literal["text", "number", "time", "choice", "flag"]
CellKind = Literal["text", "whole", "real", "truth", "day", "moment", "other"]

NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
ISO_DAY = r"\d{4}-\d{2}-\d{2}"
LOCAL_MOMENT = ISO_DAY + r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
ISO_MOMENT = LOCAL_MOMENT + r"(Z| UTC|[+-]\d{2}(:?\d{2})?)?"
EARLIEST, LATEST = "1900-01-01", "2200-01-01"  # a two-digit year read as AD 22, or 9999-12-31 for "never", is no time
EPOCHS = {"epoch": 1_000_000, "epoch_ms": 1_000}  # microseconds in one of it
DIGITS = {"epoch": 10, "epoch_ms": 13, "excel": 6}  # at most, before the decimals
NAMED_FORMATS = ("iso", *DIGITS)
# Names of summer times that zone data do not have, and what they mean; the zone finds the season by the date.
ZONES = {"CEST": "CET", "MESZ": "CET", "MEZ": "CET", "EEST": "EET", "WEST": "WET", "BST": "Europe/London"}
ZONES |= {"EDT": "EST5EDT", "CDT": "CST6CDT", "MDT": "MST7MDT", "PDT": "PST8PDT"}


SPELLED = {  # words of exports for the contract's own
    "inbound": ("inbound", "incoming", "in", "eingehend", "entrant", "entrante", "inkomend"),
    "outbound": ("outbound", "outgoing", "out", "ausgehend", "sortant", "saliente", "uitgaand"),
}


@dataclass(frozen=True)
class Field:
    """One column of a contract table."""

    name: str
    kind: FieldKind
    required: bool = False
    choices: tuple[str, ...] = ()
    part: Literal["", "weekday", "month", "hour"] = ""  # of the time that its cell holds


@dataclass(frozen=True)
class Written:
    """How the values of a column are written.

    Attributes
    ----------
    times
        Formats of times, tried in this order: `iso`, `epoch`, `epoch_ms`, `excel`, or a strptime pattern.
    numbers
        How numbers are written, None where they are plain.
    key
        What tells its bound values from those of other columns.
    zone
        The session's time zone where it is known; in UTC a moment stays as it is.
    """

    times: tuple[str, ...] = ("iso",)
    numbers: NumberFormat | None = None
    key: str = ""
    zone: str = ""

    def bindings(self) -> dict[str, object]:
        """The values that the SQL of `typed` may be bound to."""
        times: dict[str, object] = {f"time_format_{self.key}_{index}": name for index, name in enumerate(self.times)}
        return times | (number_bindings(self.numbers, self.key) if self.numbers else {})


PARTS = {"weekday": "dayname", "month": "monthname"}  # DuckDB's functions


def identifier(name: str) -> str:
    """A name as quoted SQL."""
    return '"' + name.replace('"', '""') + '"'


def cell_name(field: Field) -> str:
    """The SQL name of a field's untyped cell; `#` keeps it apart from every contract column."""
    return identifier(field.name + "#")


def as_text(cell: str, kind: CellKind) -> str:
    """SQL that shows any cell as text; a whole number has no decimal point, whatever its type, where it is exact."""
    if kind == "text":
        return cell
    if kind == "real":
        return (
            f"CASE WHEN isnan(CAST({cell} AS DOUBLE)) THEN NULL WHEN {cell} = trunc({cell}) AND abs({cell}) < {2**53} "
            f"THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR) ELSE CAST({cell} AS VARCHAR) END"
        )
    return f"CAST({cell} AS VARCHAR)"


def unless_missing(cell: str, kind: CellKind, bound: str, spellings: Iterable[str]) -> str:
    """SQL for a cell, NULL where its text is one of the spellings of "not known", or where it is NaN.

    The spellings are bound as a list; a typed cell is shown as text only where one of them may be its text.
    """
    tests = [f"isnan(CAST({cell} AS DOUBLE))"] if kind == "real" else []
    if kind in ("text", "other") or any(OF_VALUE.search(spelling) for spelling in spellings):
        tests.append(f"list_contains({bound}, {as_text(cell, kind)})")
    return f"CASE WHEN {' OR '.join(tests)} THEN NULL ELSE {cell} END" if tests else cell


def typed(field: Field, kind: CellKind, written: Written) -> str:
    """SQL for a field's typed value, NULL where the cell does not fit.

    Parameters
    ----------
    field
        The contract column; its untyped cell is `cell_name(field)`.
    kind
        What the source holds in that cell.
    written
        How its values are written; the SQL is bound to what `written.bindings` gives.
    """
    cell = cell_name(field)
    if field.part:
        time = _time(cell, kind, written)
        return f"strftime({time}, '%H')" if field.part == "hour" else f"{PARTS[field.part]}({time})"
    if field.kind == "number":
        return _number(cell, kind, written)
    if field.kind == "time":
        return _time(cell, kind, written)
    text = as_text(cell, kind)
    if field.kind == "choice":
        known = {choice: ", ".join(f"'{word}'" for word in SPELLED.get(choice, (choice,))) for choice in field.choices}
        exact = " ".join(f"WHEN {text} = '{choice}' THEN '{choice}'" for choice in known)  # as most are; faster
        cases = " ".join(f"WHEN lower(trim({text})) IN ({words}) THEN '{choice}'" for choice, words in known.items())
        return f"CASE {exact} {cases} END"
    if field.kind == "flag":
        word = f"lower(trim({text}))"
        return f"CASE WHEN list_contains($yes, {word}) THEN true WHEN list_contains($no, {word}) THEN false END"
    return text


def _number(cell: str, kind: CellKind, written: Written) -> str:
    if kind == "text" and written.numbers:
        return number_sql(cell, written.key)
    value = f"TRY_CAST({cell} AS DOUBLE)"
    fits = f"regexp_full_match({cell}, '{NUMBER}') AND isfinite({value})" if kind == "text" else f"isfinite({value})"
    return f"CASE WHEN {fits} THEN {value} + 0.0e0 END"  # adding zero makes -0.0 the same bytes as 0.0


def _time(cell: str, kind: CellKind, written: Written) -> str:
    """A date alone names a day and stays as it is; a moment goes from the session's time zone to UTC."""
    if kind == "day":
        return _in_range(f"CAST({cell} AS TIMESTAMP)")
    if kind == "moment":
        return _in_range(f"CAST({cell} AS TIMESTAMP)" if written.zone == "UTC" else _utc(cell))
    text = as_text(cell, kind)
    bound = [f"$time_format_{written.key}_{index}" for index in range(len(written.times))]
    values = [
        _in_range(_time_of_text(text, name, to, written.zone)) for name, to in zip(written.times, bound, strict=True)
    ]
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


def _in_range(value: str) -> str:
    return f"CASE WHEN {value} BETWEEN TIMESTAMP '{EARLIEST}' AND TIMESTAMP '{LATEST}' THEN {value} END"


def _time_of_text(text: str, name: str, bound: str, zone: str) -> str:
    if name == "iso":
        as_it_is = f"{ISO_DAY}|{LOCAL_MOMENT}" if zone == "UTC" else ISO_DAY
        return (
            f"CASE WHEN regexp_full_match({text}, '{as_it_is}') THEN TRY_CAST({text} AS TIMESTAMP) "
            f"WHEN regexp_full_match({text}, '{ISO_MOMENT}') THEN {_utc(text)} END"
        )
    if name in DIGITS:
        counted = rf"regexp_full_match({text}, '-?\d{{1,{DIGITS[name]}}}(\.\d+)?')"
        number = f"CASE WHEN {counted} THEN CAST({text} AS DECIMAL(24, 6)) END"
        if name in EPOCHS:
            return f"make_timestamp(CAST({number} * {EPOCHS[name]} AS BIGINT))"
        value = f"(TIMESTAMP '1899-12-30' + to_seconds(CAST(round({number} * 86400) AS BIGINT)))"
        return f"CASE WHEN {number} % 1 = 0 THEN {value} ELSE {_utc(value)} END"
    text = spaced(text)
    if "GMT%z" in name:  # as JavaScript writes it, with the zone's name behind in brackets
        text = rf"regexp_replace({text}, '\s*\(.*\)$', '')"
    if "%Z" in name:
        for summer, zone in ZONES.items():
            text = rf"regexp_replace({text}, '\b{summer}\b', '{zone}')"
    if has_time_of_day(name):
        return _utc(f"try_strptime({text}, {bound})")
    return f"CAST(try_strptime({text}, {bound}) AS TIMESTAMP)"


def _utc(moment: str) -> str:
    return f"timezone('UTC', TRY_CAST({moment} AS TIMESTAMPTZ))"


def clock_cases(field: Field, kind: CellKind, written: Written, code: int) -> list[str]:
    """SQL for the cases of a time without an offset that the session's time zone does not have, or has twice.

    The engine reads the first as an hour later, code `code`, and takes the second for the later one, `code` + 1.
    """
    local = _local_times(cell_name(field), kind, written) if field.kind == "time" or field.part else []
    if not local:
        return []
    moment = f"coalesce({', '.join(local)})"
    instant = f"CAST({moment} AS TIMESTAMPTZ)"
    return [
        f"WHEN CAST({instant} AS TIMESTAMP) <> {moment} THEN {code}",
        f"WHEN CAST({instant} - INTERVAL 1 HOUR AS TIMESTAMP) = {moment} THEN {code + 1}",
    ]


def _local_times(cell: str, kind: CellKind, written: Written) -> list[str]:
    """SQL for the times of a cell as the clock on the wall shows them; NULL where the cell has an offset."""
    if kind == "moment":
        return [f"CASE WHEN typeof({cell}) NOT LIKE '%WITH TIME ZONE' THEN CAST({cell} AS TIMESTAMP) END"]
    text = as_text(cell, kind)
    local = []
    for index, name in enumerate(written.times):
        if kind != "day" and name == "iso":
            local.append(
                f"CASE WHEN regexp_full_match({text}, '{LOCAL_MOMENT}') THEN TRY_CAST({text} AS TIMESTAMP) END"
            )
        elif kind != "day" and name not in NAMED_FORMATS and has_time_of_day(name) and "%z" not in name.lower():
            local.append(f"try_strptime({spaced(text)}, $time_format_{written.key}_{index})")
    return local


def has_time_of_day(time_format: str) -> bool:
    """Whether a strptime pattern reads hours."""
    return re.search(r"%-?[HI]|%[cX]", time_format) is not None
