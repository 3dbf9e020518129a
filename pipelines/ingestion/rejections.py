"""Errors for a source that breaks the contract so far that a quarantine is no fix, and ids that look alike."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence

import duckdb

from features.schema.cells import CellKind, Field
from features.schema.contract import BLANKS, NOT_A_CONVERSION, NOT_IN_LEADS
from features.schema.errors import DataError, ParamsError, first_line
from features.schema.lead_ids import reason
from features.schema.number_guess import guess_numbers
from pipelines.ingestion.mapping import Entry
from pipelines.ingestion.staging import Staging

log = logging.getLogger("leadscore")
TWO_DIGIT_YEAR = re.compile(r"\d{1,2}[-./]\d{1,2}[-./]\d{1,2}(\D.*)?")
EXPECTED = {
    "number": "numbers",
    "time": "times in the format {time_format}",
    "choice": "one of {choices}",
}
FIXES = {
    "number": "Set number_format, declare kind: category where these are names, or list spellings of 'not known' in "
    "`missing`.",
    "time": 'Set {key}.time_format to iso or to a strptime pattern such as "%d/%m/%Y".',
    "choice": "Leave it out of {key}.columns, or export it in these words.",
}


def reject_type(entry: Entry, column: Field, kind: CellKind) -> None:
    """A typed file may hold what no rule turns into the column's type."""
    if kind == "other" or (column.kind == "number" and kind in ("day", "moment")):
        raise DataError(
            entry.label,
            entry.mapped[column.name],
            found="dates" if kind != "other" else "values that are neither text, numbers, dates nor times",
            expected=f"a {column.kind} for {column.name}",
            fix="Map another column, or export this one as text.",
        )


def reject_unfit_columns(staging: Staging, entry: Entry, fields: Sequence[Field]) -> None:
    """A column of which no value fits is mapped wrongly, and a label must be spelled as declared."""
    for code, _ in staging.fault_counts(entry):
        fault = staging.faults[code]
        if not fault.unfit:
            continue
        column = next(column for column in fields if column.name == fault.column)
        if column.kind == "flag":
            raise _spelling_error(staging, entry)
        if not staging.fitting(entry, code):
            formats = " or ".join(entry.source.time_formats)
            kind = "time" if column.part else column.kind
            values = {"key": entry.key, "time_format": formats, "choices": ", ".join(column.choices)}
            raise DataError(
                entry.label,
                entry.mapped[column.name] or column.name,
                found=f"not one value that fits, such as {staging.example(entry, code)}",
                expected=EXPECTED[kind].format(**values),
                fix=_advice(staging, entry, column, code) or FIXES[kind].format(**values),
            )


def _advice(staging: Staging, entry: Entry, column: Field, code: int) -> str:
    """Say what to set, where the bad values themselves show it; "" where they do not."""
    values = staging.bad_cells(entry, code)
    if column.kind == "time":
        short, key = [value for value in values if TWO_DIGIT_YEAR.fullmatch(value)], f"{entry.key}.time_format"
        if short and "%Y" in "".join(entry.source.time_formats):
            return f"The years have two digits, as in {short[0]!r}: write %y instead of %Y in {key}."
        if short and "%y" not in "".join(entry.source.time_formats):
            orders = " or ".join(f'"{order}"' for order in ("%y-%m-%d", "%d-%m-%y", "%m-%d-%y"))
            return f"The years have two digits, as in {short[0]!r}: say in {key} where they stand, such as {orders}."
    if column.kind == "number" and (guess := guess_numbers(values)) and guess.written:
        of_leads = column.name in staging.source.attributes
        key = f"source.attributes.{column.name}" if of_leads else entry.key
        written = json.dumps(guess.written.model_dump(exclude_defaults=True), ensure_ascii=False)
        return f"Set {key}.number_format: {written}."
    return ""


def _spelling_error(staging: Staging, entry: Entry) -> DataError:
    column, source = entry.mapped["converted"], staging.source
    return DataError(
        entry.label,
        column,
        found="the values " + ", ".join(repr(value) for value in staging.spellings(entry, column)),
        expected=f"spellings in yes_values {source.yes_values} or no_values {source.no_values}, or empty",
        fix="Add the spelling to source.yes_values or source.no_values, or to `missing` where it means an open lead.",
    )


def reject_many_faults(staging: Staging, entry: Entry, fields: Sequence[Field]) -> None:
    """More bad rows than `ingest.max_quarantine_share` say that the mapping is wrong, not the rows."""
    counts = staging.fault_counts(entry)
    bad = sum(count for _, count in counts)
    if not bad or bad <= staging.max_share * entry.read:
        return
    raise DataError(
        entry.label,
        staging.faults[counts[0][0]].column,
        found=f"{bad:,} bad rows of {entry.read:,}: "
        + "; ".join(_count_with_example(staging, entry, *pair) for pair in counts[:5]),
        expected=f"at most {staging.max_share:.1%} (ingest.max_quarantine_share)",
        fix=_advice_of_most(staging, entry, counts[0][0], fields)
        or f"Correct {entry.key}, or the file; nothing was written.",
    )


def _advice_of_most(staging: Staging, entry: Entry, code: int, fields: Sequence[Field]) -> str:
    fault = staging.faults[code]
    if fault.reason == NOT_IN_LEADS:
        return reason(sorted(set(staging.bad_cells(entry, code))), staging.known_leads())
    if fault.reason == NOT_A_CONVERSION:
        return (
            f"A closing date is no conversion: in {entry.key}.columns map a column that tells won from lost as status "
            "and the date as closed_at, and write won_values and lost_values."
        )
    column = next((column for column in fields if column.name == fault.column), None)
    return _advice(staging, entry, column, code) if column and fault.unfit else ""


def _count_with_example(staging: Staging, entry: Entry, code: int, count: int) -> str:
    fault = staging.faults[code]
    if fault.unfit:
        return f"{count:,} {fault.reason}, first {staging.example(entry, code)}"
    first = f'SELECT min("row#") FROM "{entry.table}#" WHERE "source#" = ? AND "fault#" = ?'
    return f"{count:,} {fault.reason}, first in row {staging.count(first, entry.index, code)}"


def reject_uneven_history(table: str, entries: Sequence[Entry], fields: Sequence[Field]) -> None:
    """An edit states all edited attributes: a gap would read as 'not known from here on'."""
    if table != "attribute_history":
        return
    for column in fields:
        lacking = [entry for entry in entries if column.name not in entry.mapped]
        if lacking:
            raise DataError(
                lacking[0].label,
                column.name,
                found="no such column",
                expected=f"a column for every attribute that is known: history, here {column.name}",
                fix=f"Add the column, or declare {column.name} known: creation.",
            )


def reject_no_leads(staging: Staging, entry: Entry) -> None:
    """Without a lead there is nothing to score."""
    if not staging.count('SELECT count(*) FROM "leads#" WHERE "fault#" IS NULL'):
        raise DataError(
            entry.label,
            "",
            found="no lead",
            expected="one lead a row",
            fix="Check the file, and `where` if the mapping has one.",
        )


def warn_of_twins(staging: Staging, entry: Entry) -> None:
    """Say which leads have ids that a person cannot tell apart: by blanks, or by how an accent is encoded."""
    alike = f"""trim(regexp_replace(nfc_normalize("lead_id"), '{BLANKS[:-1]}+', ' ', 'g'))"""
    twins = staging.rows(f"""
        SELECT min("row#"), arg_min("row#", "row#") FILTER ("lead_id" <> first), count(DISTINCT "lead_id") FROM (
            SELECT "row#", "lead_id", {alike} AS alike,
                   first_value("lead_id") OVER (PARTITION BY {alike} ORDER BY "row#") AS first
            FROM "leads#" WHERE "fault#" IS NULL)
        GROUP BY alike HAVING count(DISTINCT "lead_id") > 1 ORDER BY 1""")
    if twins:
        first, second, _ = twins[0]
        log.warning(
            "%s: %s leads have ids that differ only in blanks or in how accents are encoded, first in rows %d and %d; "
            "they are taken for leads of their own: where they are the same, normalise lead_id or correct the export",
            entry.label,
            f"{sum(count for *_, count in twins):,}",
            first,
            second,
        )


def engine_error(entry: Entry, error: duckdb.Error) -> ParamsError | DataError:
    """What stopped the engine, and what to do: a format that is none, too little memory, or rows that are damaged."""
    message = first_line(error)
    if "format specifier" in message:
        return ParamsError(f"{entry.key}.time_format: {entry.source.time_format!r} is no strptime pattern: {message}")
    full = isinstance(error, duckdb.OutOfMemoryException)
    return DataError(
        entry.label,
        "",
        found=f"rows that stopped DuckDB: {message}",
        expected="rows that fit the memory" if full else "rows that DuckDB can read",
        fix="Raise project.memory_gb, or map fewer columns."
        if full
        else "Export the table again; its rows or its file are damaged.",
    )
