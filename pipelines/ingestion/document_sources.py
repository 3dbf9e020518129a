"""Spreadsheets, JSON, and what was posted to `leadscore serve`, read as tables of text."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from features.schema.errors import DataError, first_line
from pipelines.ingestion.csv_source import DAMAGED, open_bytes, unpacked_name, what_it_is
from pipelines.ingestion.raw_table import BATCH, RawTable, nearest

if TYPE_CHECKING:
    from pipelines.config.source import TableSource

DEEPEST = 3  # levels of nested JSON that become columns of their own


# Spreadsheets


@contextmanager
def open_excel(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    """Open one sheet of an Excel or OpenDocument file; `source.table` names it, else it is the first."""
    rows = read_sheet(path, source.table, label)[source.skip_rows :]
    if not rows:
        raise DataError(
            label, "", found="an empty sheet", expected="a header and rows", fix="Name the sheet in `table`."
        )
    width = max(len(row) for row in rows)
    filled = [index for index in range(width) if any(index < len(row) and row[index] for row in rows)]
    columns = [[row[index] if index < len(row) else "" for row in rows[1:]] for index in filled]
    names = [rows[0][index] if index < len(rows[0]) else "" for index in filled]
    keep = [number for number in range(len(rows) - 1) if any(column[number] for column in columns)]
    texts = [[column[number] for number in keep] for column in columns]
    yield RawTable(label, names, [pa.string()] * len(names), _batches(names, zip(*texts, strict=True)))


def read_sheet(path: Path, sheet: str, label: str) -> list[list[str]]:
    """The cells of a sheet as text, row by row; dates as 2024-12-31, whole numbers without a decimal point.

    Raises
    ------
    DataError
        Where the file is no spreadsheet, or has no such sheet.
    """
    try:
        with open_bytes(path) as file, CalamineWorkbook.from_filelike(BytesIO(file.read())) as book:
            if not book.sheet_names:
                raise OSError("no sheet in it")
            if sheet and sheet not in book.sheet_names:
                raise DataError(
                    label,
                    "",
                    found="the sheets " + ", ".join(book.sheet_names),
                    expected=f"a sheet {sheet!r}",
                    fix=nearest(sheet, book.sheet_names) + "Correct `table`.",
                )
            rows = book.get_sheet_by_name(sheet or book.sheet_names[0]).to_python(skip_empty_area=False)
    except (CalamineError, *DAMAGED) as error:
        other = what_it_is(path)
        kind = other[0] if other and "Excel" not in other[0] else first_line(error)
        raise DataError(
            label,
            "",
            found=f"a file that is no spreadsheet: {kind}",
            expected="an Excel or OpenDocument file",
            fix="Open it in a spreadsheet and save it as .xlsx, .ods or CSV.",
        ) from None
    return [[_cell(value) for value in row] for row in rows]


def _cell(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# JSON


@contextmanager
def open_json(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    """Open a list of records, one record a line, or an answer of an API that holds one list of records."""
    try:
        names = list(dict.fromkeys(name for record in _records(path) for name in record))
    except (ValueError, RecursionError, *DAMAGED) as error:
        raise DataError(
            label,
            "",
            found=f"a file that is no list of records: {error}",
            expected='[{"id": 1, ...}, ...], or one record a line',
            fix="Export it again, or as CSV.",
        ) from None
    if not names:
        raise DataError(label, "", found="no record", expected="a list of records", fix="Export the file again.")
    rows = ([record.get(name, "") for name in names] for record in _records(path))
    yield RawTable(label, names, [pa.string()] * len(names), _batches(names, rows))


def _records(path: Path) -> Iterator[dict[str, str]]:
    with open_bytes(path) as file:
        if {".jsonl", ".ndjson"} & {suffix.lower() for suffix in unpacked_name(path).suffixes}:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _flat(_parsed(line, f"line {number}"))
            return
        tree = _parsed(file.read(), "the file")
    lists = [tree] if isinstance(tree, list) else [part for part in tree.values() if isinstance(part, list)]
    if len(lists) != 1:
        raise ValueError(f"{len(lists)} lists in it")
    yield from map(_flat, lists[0])


def _parsed(text: bytes, what: str) -> Any:
    try:
        tree = json.loads(text.decode("utf-8-sig"), parse_float=str, parse_int=str)
    except ValueError as error:
        raise ValueError(f"{what} is no JSON ({error})") from None
    if not isinstance(tree, dict | list):
        raise ValueError(f"{what} is neither a record nor a list")
    return tree


def _flat(record: Any, prefix: str = "", depth: int = 1) -> dict[str, str]:
    """The values of a record as text; those of records within it under their joined names, such as `owner.name`."""
    if not isinstance(record, dict):
        raise ValueError(f"{record!r:.40} is no record")
    values: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, dict) and depth < DEEPEST:
            values |= _flat(value, f"{prefix}{key}.", depth + 1)
        elif isinstance(value, str):
            values[prefix + key] = value
        else:
            values[prefix + key] = "" if value is None else json.dumps(value, ensure_ascii=False)
    return values


def _batches(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([pa.field(str(index), pa.string()) for index in range(len(names))])
    iterator = iter(rows)
    while part := list(islice(iterator, BATCH)):
        columns = [pa.array([row[index] for row in part], pa.string()) for index in range(len(names))]
        yield pa.record_batch(columns, schema=schema)


# What was posted to `leadscore serve`

POSTED = {
    "leads": """SELECT lead_id, created_at, attributes FROM leads JOIN lead_edits USING (lead_id) WHERE number IN (
        SELECT max(number) FROM lead_edits GROUP BY lead_id) ORDER BY lead_id""",
    "attribute_history": "SELECT lead_id, valid_from, attributes FROM lead_edits ORDER BY number",
    "events": """SELECT lead_id, event_at, known_at, event_type, direction, channel, value FROM events
        ORDER BY known_at, id""",
}


@contextmanager
def open_posted(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    """Open the facts of a server as they are at this moment, while it goes on; events are known from their arrival."""
    if source.table not in POSTED:
        raise DataError(label, "", found=f"table {source.table!r}", expected=f"one of {', '.join(POSTED)}",
                        fix="Name one of them in `table`.")  # fmt: skip
    try:
        address = f"{path.resolve().as_uri()}?mode=ro"
        # DuckDB reads the stream in a thread of its own, and nobody else does meanwhile.
        with closing(sqlite3.connect(address, uri=True, check_same_thread=False)) as database:
            database.execute("BEGIN")  # all that is read is of one moment
            names, nested = _posted_names(database, POSTED[source.table])
            rows = (_posted_row(row, nested) for row in database.execute(POSTED[source.table]))
            yield RawTable(label, names, [pa.string()] * len(names), _batches(names, rows))
    except sqlite3.Error as error:
        raise DataError(
            label,
            "",
            found=f"a file that holds no facts of a server ({error})",
            expected="the SQLite file of `leadscore serve`",
            fix="Correct its path or format.",
        ) from None


def _posted_names(database: sqlite3.Connection, query: str) -> tuple[list[str], list[str]]:
    """Return the columns, and which of them, the last ones, are attributes: in place of the JSON that holds them."""
    plain = [name for name, *_ in database.execute(f"SELECT * FROM ({query}) LIMIT 0").description]
    if "attributes" not in plain:
        return plain, []
    keys = "SELECT DISTINCT key FROM lead_edits, json_each(lead_edits.attributes) ORDER BY key"
    attributes = [key for (key,) in database.execute(keys)]
    return [*plain[: -1 if attributes else None], *attributes], attributes


def _posted_row(row: Sequence[Any], attributes: Sequence[str]) -> list[str]:
    """Return the cells as text, "" where nothing is known; numbers with every digit."""
    cells = list(row)
    if attributes:
        held = json.loads(cells.pop())
        cells += [held.get(name) for name in attributes]
    return ["" if cell is None else cell if isinstance(cell, str) else repr(cell) for cell in cells]
