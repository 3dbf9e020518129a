"""The contract: the tables every later stage reads, their columns and types, and why a row does not fit.

Rules are DuckDB SQL expressions over one row, so that one implementation types a CSV of text and a Parquet file of
timestamps, for ten rows or for fifty million. Users' values never enter the text of a statement: they are bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from features.schema.cells import Field, FieldKind, cell_name, identifier
from features.schema.declarations import AttributeSpec

if TYPE_CHECKING:
    from pandera.pandas import Column, DataFrameSchema

MOST_VALUE = "1e12"  # of an event: values are added in millionths, as 64-bit integers


@dataclass(frozen=True)
class Fault:
    """How a row breaks the contract: its column, the reason in plain English, and the SQL that selects such rows."""

    column: str
    reason: str
    test: str
    unfit: bool = False  # the cell holds something, but not of the column's type
    left_out: Literal["", "future", "where", "merged"] = ""  # nothing is wrong with the row; it is left out on purpose


LEAD_ID = Field("lead_id", "text", required=True)
TABLES: dict[str, tuple[Field, ...]] = {
    "leads": (LEAD_ID, Field("created_at", "time", required=True)),
    "outcomes": (LEAD_ID, Field("converted_at", "time"), Field("converted", "flag"), Field("lost_at", "time")),
    "stages": (LEAD_ID, Field("stage", "text", required=True), Field("entered_at", "time", required=True)),
    "attribute_history": (LEAD_ID, Field("valid_from", "time", required=True)),
    "events": (
        LEAD_ID,
        Field("event_at", "time", required=True),
        Field("known_at", "time"),
        Field("event_type", "text", required=True),
        Field("direction", "choice", choices=("inbound", "outbound")),
        Field("channel", "choice", choices=("online", "offline")),
        Field("value", "number"),
    ),
    "contacts": (
        LEAD_ID,
        Field("contacted_at", "time", required=True),
        Field("known_at", "time"),
        Field("as_of", "time"),
        Field("tier", "text"),
        Field("score", "number"),
        Field("explored", "choice", choices=("yes", "no")),
        Field("propensity", "number"),
    ),
}
READ = TABLES | {  # what a source may have beside: ids that became those of other leads, and what people say
    "aliases": (LEAD_ID, Field("merged_into", "text", required=True), Field("merged_at", "time")),
    "overrides": (
        LEAD_ID,
        Field("tier", "text"),
        Field("points", "number"),
        Field("who", "text", required=True),
        Field("why", "text"),
        Field("until", "time"),
        Field("given_at", "time"),
    ),
}
NOT_IN_LEADS = "lead_id is not in leads"
LONGEST_ID = 2000  # bytes; an index of PostgreSQL takes 2,704 of all its columns
BLANKS = r"[\s\p{Z}\p{Cf}]*"  # with those that are not seen
BY_STATUS = ("status", "closed_at")  # columns of a source's outcomes, out of which the contract's own are made
HAPPENED = {"events": "event_at", "contacts": "contacted_at"}  # the time of a row's event
RECORDED = {  # the times by which a table says how far it goes; edits and calls may run ahead of the rest
    "leads": ("created_at",),
    "outcomes": ("converted_at", "lost_at"),
    "stages": ("entered_at",),
    "events": ("known_at",),
}
NOT_A_CONVERSION = "not converted, but converted_at is set"
KNOWN_EARLY = "known before it happened"
QUARANTINE = pa.schema(
    [("table", pa.string()), ("path", pa.string()), ("row", pa.int64())]
    + [(name, pa.string()) for name in ("column", "reason", "content")]
)
FILLED = ("known_at", "direction", "channel", "explored")  # optional in the source, never empty in the contract
SQL_TYPES: dict[FieldKind, str] = {
    "text": "VARCHAR",
    "choice": "VARCHAR",
    "number": "DOUBLE",
    "time": "TIMESTAMP",
    "flag": "BOOLEAN",
}
ARROW: dict[FieldKind, pa.DataType] = {
    "text": pa.string(),
    "choice": pa.string(),
    "number": pa.float64(),
    "time": pa.timestamp("us"),
    "flag": pa.bool_(),
}


def attribute_fields(attributes: Mapping[str, AttributeSpec]) -> tuple[Field, ...]:
    """The contract columns of a business's own attributes: numbers are doubles, all else is text."""
    return tuple(
        Field(name, "number" if spec.kind == "number" else "text", part=spec.part) for name, spec in attributes.items()
    )


def arrow_schema(table: str, fields: Sequence[Field]) -> pa.Schema:
    """Column names and types of a contract table; leads also carry their position in the source.

    Parameters
    ----------
    table
        A key of `TABLES`.
    fields
        The table's fields in order.
    """
    columns = [pa.field(field.name, ARROW[field.kind]) for field in fields]
    position = [pa.field("position", pa.int64())] if table == "leads" else []
    return pa.schema(columns[:1] + position + columns[1:])


def schema(table: str, fields: Sequence[Field]) -> DataFrameSchema:
    """The schema of what ingest writes, for any slice of a contract table read with pandas.

    Parameters
    ----------
    table
        A key of `TABLES`.
    fields
        The table's fields in order.

    Returns
    -------
    DataFrameSchema
        Strict: the listed columns in this order and no others. Times are datetime64[us], naive, in UTC.
    """
    import pandera.pandas as pandera  # takes a second to import, and only ingest and tests need it

    types: dict[FieldKind, object] = {"number": "float64", "time": "datetime64[us]", "flag": "boolean"}
    columns = {field.name: _column(field, types.get(field.kind, "str")) for field in fields}
    if table == "leads":
        position = pandera.Column("int64", pandera.Check.ge(0))
        columns = {"lead_id": columns.pop("lead_id"), "position": position} | columns
    happened = HAPPENED.get(table)
    checks = [pandera.Check(lambda rows: rows["known_at"] >= rows[happened])] if happened else []
    unique = ["lead_id"] if table in ("leads", "outcomes") else None
    return pandera.DataFrameSchema(columns, checks=checks, unique=unique, strict=True, ordered=True)


def _column(field: Field, dtype: object) -> Column:
    import pandera.pandas as pandera

    checks = [pandera.Check.isin(field.choices)] if field.choices else []
    if field.kind == "number":
        checks.append(pandera.Check.in_range(float("-inf"), float("inf"), include_min=False, include_max=False))
    if field.kind == "time":  # pandera's own type takes any unit
        checks.append(pandera.Check(lambda times: times.dt.unit == "us", error="times are in microseconds"))
    filled = field.required or field.name in FILLED
    return pandera.Column(dtype, checks, nullable=not filled, coerce=field.kind == "flag")


def before(first: str, second: str) -> str:
    """SQL: the first time is earlier, by the day where either is a day without a time of day."""
    coarse = f"{is_day(first)} OR {is_day(second)}"
    by_day = f"{day_of(first)} < {day_of(second)}"
    return f"CASE WHEN {first} = {second} THEN false WHEN {coarse} THEN {by_day} ELSE {first} < {second} END"


def is_day(time: str) -> str:
    """SQL: a time is midnight in UTC, which stands for a day without a time of day."""
    return f"{time} = date_trunc('day', {time})"


def day_of(time: str) -> str:
    """SQL: the day of a time in the time zone of the session; midnight in UTC is a day without a time of day."""
    local = f"CAST(timezone('UTC', {time}) AS DATE)"  # the day in the session's time zone
    return f"CASE WHEN {is_day(time)} THEN CAST({time} AS DATE) ELSE {local} END"


def faults(
    table: str, fields: Sequence[Field], mapped: Sequence[str], time_formats: Sequence[str], *, dated: bool
) -> list[Fault]:
    """Every way in which one row of a source can break the contract, the most severe first.

    Parameters
    ----------
    table
        A key of `TABLES`.
    fields
        The table's fields.
    mapped
        Names of the fields that the source has.
    time_formats
        Of its times; part of the reason.
    dated
        Whether leads have created_at.

    Returns
    -------
    list of Fault
        Their SQL reads the typed row and, for all tables but leads, its lead's `lead#` and `created#`, and of a row
        whose id was merged into that lead `alias#` and `merged#`.
    """
    present = [field for field in fields if field.name in mapped]
    of_fields = [fault for field in present for fault in _field_faults(field, time_formats)]
    if table == "leads":
        return [*of_fields, *_id_faults()]
    if table == "aliases":
        return [*of_fields, Fault("merged_into", "merged into itself", '"lead_id" = "merged_into"')]
    unknown = Fault("lead_id", NOT_IN_LEADS, '"lead#" IS NULL')
    of_table = {
        "events": lambda: _event_faults(mapped),
        "outcomes": lambda: _outcome_faults(mapped, dated),
        "contacts": lambda: _contact_faults(mapped),
    }
    return [*of_fields, unknown, *_merged_rows(table, mapped), *of_table.get(table, list)()]


def _field_faults(field: Field, time_formats: Sequence[str]) -> list[Fault]:
    name, cell = field.name, cell_name(field)
    empty = Fault(name, f"{name} is empty", f"{cell} IS NULL")
    expected = {
        "number": "not a number",
        "time": f"not a time in the format {' or '.join(time_formats)}",
        "choice": f"not one of {', '.join(field.choices)}",
        "flag": "neither in yes_values nor in no_values",
    }
    faults = [empty] if field.required else []
    faults += [_inexact_id(cell)] if field is LEAD_ID else []
    expectation = expected.get("time" if field.part else field.kind)
    if expectation:
        test = f"{cell} IS NOT NULL AND {identifier(name)} IS NULL"
        faults.append(Fault(name, f"{name} is {expectation}", test, unfit=True))
    return faults


def _merged_rows(table: str, mapped: Sequence[str]) -> list[Fault]:
    """Rows of a merged id that say nothing of the lead it was merged into: CRMs close what is merged as lost."""
    if table == "attribute_history":
        test = '"alias#" AND "valid_from" < "merged#"'
        return [Fault("valid_from", "an edit before its lead was merged", test, left_out="merged")]
    if table != "outcomes":
        return []
    wins = {"converted_at": '"converted_at" IS NOT NULL', "converted": 'coalesce("converted", false)'}
    won = " OR ".join(test for name, test in wins.items() if name in mapped) or "false"
    return [Fault("lead_id", "no win of a lead that was merged", f'"alias#" AND NOT ({won})', left_out="merged")]


def _inexact_id(cell: str) -> Fault:
    """A number from which on its type no longer tells whole numbers apart; a row of 9007199254740993 has ...992."""
    size = f"abs(TRY_CAST({cell} AS DOUBLE))"  # of text, which has none of these types, not worked out
    tests = f"WHEN 'DOUBLE' THEN {size} >= {2**53} WHEN 'FLOAT' THEN {size} >= {2**24}"
    test = f"coalesce(CASE typeof({cell}) {tests} END, false)"
    return Fault("lead_id", "lead_id is a number too large for floating point, export it as text", test)


def _id_faults() -> list[Fault]:
    """Ids that a sink cannot take, or that another program has rounded; other tables' ids have to be those of leads."""
    large = f"""regexp_full_match("lead_id", '\\d{{16,}}\\.0') AND TRY_CAST("lead_id" AS DOUBLE) >= {2**53}"""
    powers = r"""regexp_full_match("lead_id", '\d([.,]\d+)?[eE]\+\d+')"""
    tests = {
        "holds control characters": r"""regexp_matches("lead_id", '\p{Cc}')""",
        "is only blanks": f"""regexp_full_match("lead_id", '{BLANKS}')""",
        f"is longer than {LONGEST_ID:,} bytes": f'strlen("lead_id") > {LONGEST_ID}',
        "is a rounded number, export it as text": f"({large}) OR {powers}",
    }
    return [Fault("lead_id", f"lead_id {reason}", test) for reason, test in tests.items()]


def _event_faults(mapped: Sequence[str]) -> list[Fault]:
    early = Fault("known_at", KNOWN_EARLY, before('"known_at"', '"event_at"'))
    large = Fault("value", "value is above a trillion", f'abs("value") > {MOST_VALUE}')
    return [fault for fault in (early, large) if fault.column in mapped]


def _contact_faults(mapped: Sequence[str]) -> list[Fault]:
    early = Fault("contacted_at", "contacted_at is before created_at", before('"contacted_at"', '"created#"'))
    known = Fault("known_at", KNOWN_EARLY, before('"known_at"', '"contacted_at"'))
    unlisted = Fault("as_of", "contacted before the list that showed it", before('"contacted_at"', '"as_of"'))
    no_chance = Fault("propensity", "propensity is no chance from 0 to 1", 'NOT ("propensity" BETWEEN 0 AND 1)')
    no_propensity = Fault(
        "propensity", "explored without a propensity", '"explored" = \'yes\' AND coalesce("propensity", 0) = 0'
    )
    return [early, *(fault for fault in (known, unlisted, no_chance, no_propensity) if fault.column in mapped)]


def _outcome_faults(mapped: Sequence[str], dated: bool) -> list[Fault]:
    times = [name for name in ("converted_at", "lost_at") if dated and name in mapped]
    faults = [Fault(name, f"{name} is before created_at", before(identifier(name), '"created#"')) for name in times]
    if {"converted", "converted_at"} <= set(mapped):
        undated = '"converted" AND "converted_at" IS NULL'
        faults.append(Fault("converted_at", "converted without a converted_at", undated))
        denied = 'NOT "converted" AND "converted_at" IS NOT NULL'
        faults.append(Fault("converted", NOT_A_CONVERSION, denied))
    return faults


def key_of(table: str, mapped: Sequence[str]) -> tuple[str, ...]:
    """The columns that only one row of a table may carry; empty where rows may share all of them.

    Events have no key. Outcomes with dates may repeat, as purchases do, and the earliest counts.
    """
    if table == "leads" or (table == "outcomes" and "converted_at" not in mapped):
        return ("lead_id",)
    return ("lead_id", "valid_from") if table == "attribute_history" else ()


def seen_fault(key: Sequence[str]) -> Fault:
    """The fault of a later row that has the key of an earlier one and other values."""
    return Fault(key[0], f"{' and '.join(key)} already seen with other values", "")


def settled(table: str, field: Field, mapped: bool) -> str:
    """SQL for a field's final value: the typed cell, or the default of a row that leaves it empty."""
    name = identifier(field.name)
    if field.name == "known_at":
        happened = identifier(HAPPENED[table])
        known = '"known_at", ' if mapped else ""
        return f'greatest({known}{happened}, "merged#")'  # a lead's from the moment on at which ids became one
    if field.kind == "choice":
        return f"coalesce({name}, ${field.name})" if mapped else f"${field.name}"
    return name if mapped else "NULL"


def kept_rows(table: str, fields: Sequence[Field], *, by_row: bool = True) -> str:
    """SQL for a contract table out of its typed rows without a fault, in the order in which it is written.

    Rows are copies of one another when all their contract columns agree; events, which have no key, only when their
    complete source rows agree (two exams on one day with one result are two exams). A lead of several deals is won
    with the first that is won, and lost only where none is still open. Leads keep their row's number as `position`,
    or take the rank of their creation where not `by_row`; leads of one moment share it.
    """
    names = ", ".join(identifier(field.name) for field in fields)
    good = f'"{table}#" WHERE "fault#" IS NULL'
    if table == "leads":
        position = '"row#" - 1' if by_row else 'rank() OVER (ORDER BY "created_at") - 1'
        columns = ['"lead_id"', f'{position} AS "position"', *(identifier(field.name) for field in fields[1:])]
        return f'SELECT DISTINCT ON ("lead_id") {", ".join(columns)} FROM {good} ORDER BY "lead_id", "row#"'
    if table == "events":  # copies stand together, and `without_copies` drops them
        return f'SELECT {names}, "hash#" FROM {good} ORDER BY {names}, "hash#"'
    if table == "outcomes":
        still_open = 'bool_or(coalesce("converted_at", "lost_at") IS NULL AND "converted" IS NULL)'
        converted = f"""CASE WHEN min("converted_at") IS NOT NULL OR bool_or("converted") THEN true
            WHEN {still_open} THEN NULL ELSE false END"""
        lost_at = f'CASE WHEN NOT {still_open} THEN min("lost_at") END'
        return f"""SELECT "lead_id", min("converted_at") AS "converted_at", {converted} AS "converted",
            {lost_at} AS "lost_at" FROM {good} GROUP BY "lead_id" ORDER BY "lead_id" """
    return f"SELECT DISTINCT {names} FROM {good} ORDER BY {names}"
