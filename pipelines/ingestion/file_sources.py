"""The user's own files, read as streams: nothing is typed here, and no table is loaded at once."""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from features.schema.cells import CellKind
from features.schema.errors import DataError, ParamsError
from pipelines.storage.duckdb import NO_EXTENSIONS

if TYPE_CHECKING:
    from pipelines.config.source import TableSource

BATCH = 131_072
BLOCK_BYTES = 1 << 23  # of CSV text parsed at once; no single row may be longer
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


@dataclass(frozen=True)
class Ragged:
    """A CSV row whose number of fields is not the header's."""

    row: int
    reason: str
    text: str


@dataclass
class RawTable:
    """One source table as a stream.

    Attributes
    ----------
    label
        How errors call the table.
    names, types
        The source's columns, and the type that each is read as.
    batches
        The rows as they come, ragged ones left out.
    ragged
        Rows that do not fit the header; complete once the stream has been read.
    rows
        How many rows have been read so far, ragged ones aside.
    failure
        The error that ended the stream early, if any.
    """

    label: str
    names: list[str]
    types: list[pa.DataType]
    batches: Iterable[pa.RecordBatch]
    ragged: list[Ragged] = field(default_factory=list)
    rows: int = 0
    failure: DataError | None = None

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(
                self.label,
                twice[0],
                found=f"{self.names.count(twice[0])} columns of that name",
                expected="one",
                fix="Rename or remove the others in the file.",
            )

    @property
    def kinds(self) -> list[CellKind]:
        """What the cells of each column hold."""
        return [_cell_kind(kind) for kind in self.types]

    def reader(self) -> pa.RecordBatchReader:
        """The rows with columns `0#`, `1#` and so on, in the order of `names`, and the 1-based data row as `row#`.

        Names of files may differ only in case, which SQL cannot tell apart; numbers always differ.
        """
        columns = [pa.field(f"{index}#", kind) for index, kind in enumerate(self.types)]
        numbered = pa.schema([*columns, pa.field("row#", pa.int64())])
        return pa.RecordBatchReader.from_batches(numbered, self._numbered(numbered))

    def _numbered(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        following, passed = 1, 0
        for batch in self.batches:
            columns = [column.cast(kind, safe=False) for column, kind in zip(batch.columns, self.types, strict=True)]
            ragged = [bad.row for bad in self.ragged[passed:]]  # they have taken their numbers
            candidates = np.arange(following, following + batch.num_rows + len(ragged), dtype=np.int64)
            numbers = np.setdiff1d(candidates, ragged, assume_unique=True)[: batch.num_rows]
            following = int(numbers[-1]) + 1 if batch.num_rows else following
            passed += sum(row < following for row in ragged)
            self.rows += batch.num_rows
            yield pa.record_batch([*columns, pa.array(numbers)], schema=schema)

    def cell(self, column: str, key: str) -> tuple[str, CellKind]:
        """The SQL name and the kind of a column.

        Raises
        ------
        DataError
            Where there is no such column; lists those there are, and the nearest spelling.
        """
        if column in self.names:
            index = self.names.index(column)
            return f'"{index}#"', self.kinds[index]
        raise DataError(
            self.label,
            column,
            found="only the columns " + ", ".join(repr(name) for name in self.names),
            expected=f"a column of that name, as {key} says",
            fix=_wrong_separator(self.names) or nearest(column, self.names) + f"Correct {key}.",
        )


def _wrong_separator(names: list[str]) -> str:
    inside = [f"set separator: {mark!r}" for mark in SEPARATORS if len(names) == 1 and mark in names[0]]
    return f"The fields are not split: {inside[0]}." if inside else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """The question whether the nearest spelling was meant, or nothing where none is near."""
    lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"Did you mean {lower[close[0]]!r}? " if close else ""


@contextmanager
def open_table(source: TableSource, data: Path, label: str) -> Iterator[RawTable]:
    """Open one table of the user's as a stream of record batches.

    Parameters
    ----------
    source
        Where the table is and how it is written.
    data
        The folder that `source.path` is relative to.
    label
        How errors call the table, such as `source.events[0] (clicks.csv)`.

    Raises
    ------
    DataError
        Where the file is missing, empty, or not what its format says.
    """
    path = data / source.path
    if not path.is_file():
        raise _missing_file(source.path, path, label)
    opened = {"csv": _open_csv, "parquet": _open_parquet, "duckdb": _open_duckdb}[source.format]
    with opened(path, source, label) as raw:
        yield raw


def _missing_file(shown: str, path: Path, label: str) -> DataError:
    there = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file()) if path.parent.is_dir() else []
    listed = ", ".join(there[:12]) + (", ..." if len(there) > 12 else "")
    return DataError(
        label,
        "",
        found=f"no file {shown!r} in the data folder" + (f", which holds {listed}" if there else ""),
        expected="a file",
        fix=nearest(path.name, there) + "Correct its path or --data.",
    )


# CSV


@contextmanager
def _open_csv(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    names = _header(path, source, label)
    raw = RawTable(label, names, [pa.string()] * len(names), [])
    with open_bytes(path) as file:
        if _has_rows(path, source):
            raw.batches = _guarded(_csv_batches(file, source, raw), path, source, raw)
        yield raw


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file that is compressed where its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # GzipFile reads like a file


@contextmanager
def _rows_of_text(path: Path, source: TableSource) -> Iterator[Iterator[list[str]]]:
    encoding = "utf-8-sig" if codecs.lookup(source.encoding).name == "utf-8" else source.encoding
    with open_bytes(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
        yield (row for row in csv.reader(text, delimiter=source.separator) if row)


def _header(path: Path, source: TableSource, label: str) -> list[str]:
    if len(source.separator) != 1:
        raise ParamsError(f'{label}: separator is {source.separator!r}; expected one character (a tab is "\\t")')
    try:
        with _rows_of_text(path, source) as rows:
            names = next(rows, [])
    except LookupError:
        raise ParamsError(f"{label}: no encoding is called {source.encoding!r}; try utf-8, latin-1 or cp1252") from None
    except (UnicodeError, OSError, EOFError, csv.Error) as error:
        raise _unreadable(path, source, label, error) from None
    if not names:
        raise DataError(label, "", found="an empty file", expected="a header and rows", fix="Export the file again.")
    return names


def _has_rows(path: Path, source: TableSource) -> bool:
    try:
        with _rows_of_text(path, source) as rows:
            next(rows)
            return next(rows, None) is not None
    except (UnicodeError, OSError, EOFError, csv.Error):
        return True  # the rows are at fault; reading them says how


def _csv_batches(file: IO[bytes], source: TableSource, raw: RawTable) -> Iterator[pa.RecordBatch]:
    def keep_ragged(row: pa_csv.InvalidRow) -> str:
        more = "more" if row.actual_columns > row.expected_columns else "fewer"
        raw.ragged.append(Ragged(row.number - 1, f"row has {more} fields than the header", row.text))
        return "skip"

    yield from pa_csv.open_csv(
        file,
        pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, encoding=source.encoding),
        pa_csv.ParseOptions(delimiter=source.separator, newlines_in_values=True, invalid_row_handler=keep_ragged),
        pa_csv.ConvertOptions(column_types={name: pa.string() for name in raw.names}, strings_can_be_null=False),
    )


def _guarded(
    batches: Iterator[pa.RecordBatch], path: Path, source: TableSource, raw: RawTable
) -> Iterator[pa.RecordBatch]:
    """The same batches; an error on the way is kept on `raw`, because the engine that reads them hides it."""
    last = ""
    try:
        for batch in batches:
            if batch.num_rows:
                last = batch.columns[-1][-1].as_py()
            yield batch
        _reject_open_quote(path, source, raw, last)
    except DataError as error:
        raw.failure = error
        raise
    except (pa.ArrowInvalid, UnicodeError, OSError, EOFError) as error:
        raw.failure = _unreadable(path, source, raw.label, error)
        raise raw.failure from None


def _reject_open_quote(path: Path, source: TableSource, raw: RawTable, last: str) -> None:
    """Check for a quote that is never closed, which would read the rest of the file as one value."""
    tail = raw.ragged[-1].text if raw.ragged else ""
    swallowed = "\n" in last and not _ends_with_quote(path)
    if swallowed or ("\n" in tail and tail.count('"') % 2 == 1):
        raise DataError(
            raw.label,
            "",
            found="a quote that is opened and never closed, so that the rest of the file is one value",
            expected='each " that opens a value to be closed, and " inside a value to be doubled',
            fix="Fix the file's last rows or export it again.",
        )


def _ends_with_quote(path: Path) -> bool:
    tail = b""
    with open_bytes(path) as file:
        while chunk := file.read(1 << 20):
            tail = (tail + chunk)[-8:]
    return tail.rstrip(b"\r\n\x00").endswith(b'"')


def _unreadable(path: Path, source: TableSource, label: str, error: Exception) -> DataError:
    bad = first_bad_byte(path, source.encoding)
    if bad is not None:
        offset, line, value = bad
        return DataError(
            label,
            "",
            found=f"byte 0x{value:02x} at offset {offset} (line {line}), which is no {source.encoding}",
            expected=f"text in {source.encoding}",
            fix="Set encoding: latin-1 or cp1252 if a spreadsheet wrote the file.",
        )
    return DataError(
        label,
        "",
        found=f"a file that cannot be read: {str(error).splitlines()[0]}",
        expected=f"a CSV with {SEPARATORS.get(source.separator, repr(source.separator))} between fields",
        fix="Check format, separator and quotes; a quote left open makes one row of many.",
    )


def first_bad_byte(path: Path, encoding: str) -> tuple[int, int, int] | None:
    """Offset, line and value of the first byte that the encoding does not know, or None."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done, lines = 0, 1
    try:
        with open_bytes(path) as file:
            while chunk := file.read(1 << 20):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    held = len(error.object) - len(chunk)
                    lines += chunk[: max(error.start - held, 0)].count(b"\n")
                    return done - held + error.start, lines, error.object[error.start]
                done, lines = done + len(chunk), lines + chunk.count(b"\n")
    except (OSError, EOFError):
        return None
    return None


# Parquet and DuckDB


@contextmanager
def _open_parquet(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            label,
            "",
            found=f"a file that is no Parquet: {str(error).splitlines()[0]}",
            expected="a Parquet file",
            fix="Correct its format: csv, parquet or duckdb.",
        ) from None
    with file:
        types = [_plain(kind) for kind in file.schema_arrow.types]
        yield RawTable(label, file.schema_arrow.names, types, file.iter_batches(batch_size=BATCH))


@contextmanager
def _open_duckdb(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    try:
        connection = duckdb.connect(path, read_only=True, config=dict(NO_EXTENSIONS))
    except duckdb.Error as error:
        raise DataError(
            label,
            "",
            found=f"a file that DuckDB does not open: {str(error).splitlines()[0]}",
            expected="a DuckDB file that no other program is writing",
            fix="Correct its path or format, or close the other program.",
        ) from None
    with connection:
        reader = connection.sql(f"SELECT * FROM {_table_name(connection, source, label)}").to_arrow_reader(BATCH)
        yield RawTable(label, reader.schema.names, [_plain(kind) for kind in reader.schema.types], reader)


def _table_name(connection: duckdb.DuckDBPyConnection, source: TableSource, label: str) -> str:
    listed = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
    tables = {name: (schema, name) for schema, name in connection.execute(listed).fetchall()}
    qualified = {f"{schema}.{name}": (schema, name) for schema, name in tables.values()}
    parts = (tables | qualified).get(source.table)
    if parts is None:
        raise DataError(
            label,
            "",
            found="the tables " + (", ".join(sorted(tables)) or "(none)"),
            expected=f"a table {source.table!r}" if source.table else "the name of one of them in `table`",
            fix=nearest(source.table, tables) + "Correct `table`.",
        )
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _plain(kind: pa.DataType) -> pa.DataType:
    """One type for each meaning: text, times in microseconds (finer ones are cut), days."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_date(kind):
        return pa.date32()
    return pa.string() if pa.types.is_null(kind) else kind


def _cell_kind(kind: pa.DataType) -> CellKind:
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "real"
    if pa.types.is_boolean(kind):
        return "truth"
    if pa.types.is_date(kind):
        return "day"
    return "moment" if pa.types.is_timestamp(kind) else "other"
