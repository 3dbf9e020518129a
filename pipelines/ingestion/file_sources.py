"""The user's own files, read as streams: nothing is typed here, and no table is loaded at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.schema.errors import DataError, first_line
from pipelines.ingestion.csv_source import open_csv
from pipelines.ingestion.document_sources import open_excel, open_json, open_posted
from pipelines.ingestion.raw_table import BATCH, Ragged, RawTable, nearest
from pipelines.storage.duckdb import SEALED

if TYPE_CHECKING:
    from pipelines.config.source import TableSource

VIEW_S = 600.0  # a view computes, maybe without end
FEW_BYTES = 3  # a value, below which a column's text is read as numbers of a list
PATTERN = frozenset("*?[")  # marks of a path that stands for several files


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
    files = files_of(source.path, data)
    if not files:
        raise _missing_file(source.path, data / source.path, label)
    if len(files) > 1:
        yield from _open_all([data / file for file in files], source, label)
        return
    with _open_one(data / files[0], source, label) as raw:
        yield raw


def files_of(path: str, data: Path) -> list[str]:
    """The files that a path of `source` stands for, relative to the data folder; a pattern may stand for several."""
    if (data / path).is_file():
        return [path]
    if not PATTERN & set(path):
        return []
    return sorted(found.relative_to(data).as_posix() for found in data.glob(path) if found.is_file())


@contextmanager
def _open_one(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    kinds = {"csv": open_csv, "excel": open_excel, "json": open_json, "serve": open_posted}
    opened = kinds | {"parquet": _open_parquet, "duckdb": _open_duckdb}
    with opened[source.format](path, source, label) as raw:
        yield raw


def _open_all(paths: Sequence[Path], source: TableSource, label: str) -> Iterator[RawTable]:
    """One table of several files with the same columns, in the order of their names."""
    with _open_one(paths[0], source, f"{label}: {paths[0].name}") as first:
        raw = RawTable(label, first.names, first.types, [])
    raw.batches = _batches_of_all(paths, source, raw)
    yield raw


def _batches_of_all(paths: Sequence[Path], source: TableSource, raw: RawTable) -> Iterator[pa.RecordBatch]:
    rows = 0
    for path in paths:
        with _open_one(path, source, f"{raw.label}: {path.name}") as one:
            try:
                _check_columns(one, raw.names, paths[0].name)
                read, passed = 0, 0
                wanted = [raw.names[index] for index in raw.wanted]
                index_of = {name: index for index, name in enumerate(one.names)}
                one.wanted = sorted(index_of[name] for name in wanted)
                order = [one.wanted.index(index_of[name]) for name in wanted]
                for batch in map(one.narrowed, one.batches):
                    new, passed = one.ragged[passed:], len(one.ragged)
                    raw.ragged += [Ragged(rows + bad.row, bad.reason, bad.text) for bad in new]
                    read += batch.num_rows
                    yield pa.record_batch([batch.column(index) for index in order], names=wanted)
                raw.ragged += [Ragged(rows + bad.row, bad.reason, bad.text) for bad in one.ragged[passed:]]
            except DataError as error:
                raw.failure = error
                raise
            rows += read + len(one.ragged)


def _check_columns(one: RawTable, names: Sequence[str], first: str) -> None:
    more, fewer = sorted(set(one.names) - set(names)), sorted(set(names) - set(one.names))
    if more or fewer:
        parts = [f"{', '.join(fewer)} missing" if fewer else "", f"{', '.join(more)} besides" if more else ""]
        raise DataError(
            one.label,
            "",
            found=" and ".join(filter(None, parts)),
            expected=f"the columns of {first}",
            fix="Export all files of a pattern with the same columns.",
        )


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


# Parquet and DuckDB


@contextmanager
def _open_parquet(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    try:
        with pq.ParquetFile(path) as file:
            of_few = _columns_of_few(file)
        file = pq.ParquetFile(path, read_dictionary=[file.schema_arrow.names[index] for index in of_few])
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise DataError(
            label,
            "",
            found=f"a file that is no Parquet: {first_line(error)}",
            expected="a Parquet file",
            fix="Correct its format: csv, parquet or duckdb.",
        ) from None
    with file:
        types = [_plain(kind) for kind in file.schema_arrow.types]
        raw = RawTable(label, file.schema_arrow.names, types, [])
        raw.of_few = frozenset(of_few)
        raw.batches = _parquet_batches(file, raw)
        yield raw


def _columns_of_few(file: pq.ParquetFile) -> list[int]:
    """Columns of text, by their number, that take few bytes a value, because the file holds each value once."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes: Counter[str] = Counter()
    for group in groups:
        for index in range(group.num_columns):
            sizes[group.column(index).path_in_schema] += group.column(index).total_uncompressed_size
    few = {name for name, size in sizes.items() if size < FEW_BYTES * metadata.num_rows}
    columns = enumerate(file.schema_arrow)
    texts = [index for index, one in columns if _plain(one.type) == pa.string() and not pa.types.is_null(one.type)]
    return [index for index in texts if file.schema_arrow.names[index] in few]


def _parquet_batches(file: pq.ParquetFile, raw: RawTable) -> Iterator[pa.RecordBatch]:
    """The columns that are read, in batches of about as many cells whatever their number."""
    names = file.schema_arrow.names
    some = None if len(raw.wanted) == len(names) else [names[index] for index in raw.wanted]
    yield from file.iter_batches(batch_size=BATCH * 16 // max(16, len(raw.wanted)), columns=some)


@contextmanager
def _open_duckdb(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    try:
        connection = duckdb.connect(path, read_only=True, config=dict(SEALED))
    except duckdb.Error as error:
        raise DataError(
            label,
            "",
            found=f"a file that DuckDB does not open: {first_line(error)}",
            expected="a DuckDB file that no other program is writing",
            fix="Correct its path or format, or close the other program.",
        ) from None
    with connection:
        name, is_view = _table_name(connection, source, label)
        with _interrupted(connection, VIEW_S) if is_view else nullcontext():
            try:
                schema = connection.sql(f"SELECT * FROM {name} LIMIT 0").to_arrow_table().schema
            except duckdb.Error as error:
                raise _unread(source, label, error) from None
            raw = RawTable(label, schema.names, [_plain(kind) for kind in schema.types], [])
            raw.batches = _duckdb_batches(connection, name, source, raw)
            yield raw


@contextmanager
def _interrupted(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """End what a connection does after some time; again and again, as an interrupt between two queries is lost."""
    done = Event()

    def watch() -> None:
        done.wait(seconds)
        while not done.wait(0.2):
            connection.interrupt()

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _duckdb_batches(
    connection: duckdb.DuckDBPyConnection, table: str, source: TableSource, raw: RawTable
) -> Iterator[pa.RecordBatch]:
    """The columns that are read, by their number."""
    columns = ", ".join(f"#{index + 1}" for index in raw.wanted)
    try:
        yield from connection.sql(f"SELECT {columns} FROM {table}").to_arrow_reader(BATCH)
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise _unread(source, raw.label, error) from None


def _unread(source: TableSource, label: str, error: Exception) -> DataError:
    message = first_line(error)
    if "INTERRUPT" in message:
        message = f"a view may take {VIEW_S:g} s"
    return DataError(
        label,
        "",
        found=f"a table {source.table!r} that cannot be read: {message}",
        expected="a whole table, or a view of tables in the same file",
        fix="Make it a table of that file, or correct `table`.",
    )


def _table_name(connection: duckdb.DuckDBPyConnection, source: TableSource, label: str) -> tuple[str, bool]:
    """The table's name for SQL, and whether it is a view; `table` has to name it."""
    listed = "SELECT table_schema, table_name, table_type = 'VIEW' FROM information_schema.tables ORDER BY ALL"
    rows = connection.execute(listed).fetchall()
    tables = {name: (schema, name, is_view) for schema, name, is_view in rows}
    qualified = {f"{schema}.{name}": (schema, name, is_view) for schema, name, is_view in rows}
    found = (tables | qualified).get(source.table)
    if found is None:
        raise DataError(
            label,
            "",
            found="the tables " + (", ".join(sorted(tables)) or "(none)"),
            expected=f"a table {source.table!r}" if source.table else "the name of one of them in `table`",
            fix=nearest(source.table, tables) + "Correct `table`.",
        )
    *parts, is_view = found
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts), is_view


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
