"""Tables of databases, whose secrets stay out of params and messages.

PostgreSQL is read as streams of one snapshot; any other database that Ibis knows, table by table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from features.schema.errors import DataError, ParamsError
from pipelines.config.secrets import from_environment
from pipelines.ingestion.csv_source import BLOCK_BYTES
from pipelines.ingestion.raw_table import BATCH, RawTable, nearest
from pipelines.storage.postgres import connect, driver, why

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed, Identifier

    from pipelines.config.source import TableSource

DAY, MOMENT, ZONED = 1082, 1114, 1184  # PostgreSQL's own numbers of its types, never changed (pg_type.dat)
ARROW = {
    16: pa.bool_(),
    20: pa.int64(), 21: pa.int64(), 23: pa.int64(), 26: pa.int64(),
    700: pa.float64(), 701: pa.float64(),
    DAY: pa.date32(), MOMENT: pa.timestamp("us"), ZONED: pa.timestamp("us", "UTC"),
    114: pa.string(), 1700: pa.string(), 2950: pa.string(), 3802: pa.string(),  # json, numeric (exact), uuid, jsonb
}  # fmt: skip
TEXT_CATEGORIES = ("S", "E", "I")  # texts, enumerations, network addresses
ENDS = ("0001-01-01", "9999-12-31")  # what Arrow can hold; every other time is out of the contract's range anyway
EXTRAS = {"bigquery": "bigquery", "snowflake": "snowflake", "postgres": "redshift", "postgresql": "redshift"}  # by URL
SESSION = (
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL extra_float_digits = 1",
)


# Reading


@dataclass
class Snapshots:
    """One read-only snapshot of each database, taken when its first table is opened, the same for all its tables."""

    stack: ExitStack
    connections: dict[str, Connection[Any]] = field(default_factory=dict)

    def connection(self, variable: str, key: str) -> Connection[Any]:
        """The connection whose transaction sees the snapshot."""
        if variable not in self.connections:
            connection = self.stack.enter_context(connect(variable, key))
            connection.isolation_level = driver(key).IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            for setting in SESSION:
                connection.execute(setting)
            self.connections[variable] = connection
        return self.connections[variable]


@contextmanager
def open_snapshots() -> Iterator[Snapshots]:
    """Hold the snapshots of one ingest; nothing is connected before a table is opened."""
    with ExitStack() as stack:
        yield Snapshots(stack)


@contextmanager
def open_postgres(source: TableSource, snapshots: Snapshots, key: str, label: str) -> Iterator[RawTable]:
    """Open one table or view as a stream of record batches, in the order of its primary key.

    Without a primary key the rows come in the order of their columns' texts, so that the same rows are always read
    alike. Numbers of any precision (`numeric`) stay text; what has no plain text, such as arrays and bytes, is kept
    apart as binary and refused where it is mapped.

    Raises
    ------
    DataError
        Where the database does not answer, or has no such table; lists those there are.
    """
    try:
        connection = snapshots.connection(source.path, f"{key}.path")
        table = _find_table(connection, source, label)
        names, kinds, query = _described(connection, table)
    except driver(f"{key}.path").Error as error:
        raise _failed(label, why(error)) from None
    raw = RawTable(label, names, kinds, [])
    raw.batches = _batches(connection, query, raw)
    yield raw


def _failed(label: str, reason: str) -> DataError:
    return DataError(
        label,
        "",
        found=reason,
        expected="a PostgreSQL database that answers to the end",
        fix="Check the connection string, the user's rights and the server, and run it again.",
    )


def _find_table(connection: Connection[Any], source: TableSource, label: str) -> Identifier:
    """The table's schema and name, as they stand in the catalogue."""
    from psycopg.sql import Identifier

    readable = connection.execute("""
        SELECT nspname, relname, pg_table_is_visible(pg_class.oid)
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
          AND has_schema_privilege(pg_namespace.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
        ORDER BY nspname, relname""").fetchall()
    visible = {name: (schema, name) for schema, name, in_path in readable if in_path}
    qualified = {f"{schema}.{name}": (schema, name) for schema, name, _ in readable}
    match = (visible | qualified).get(source.table)
    if match is None:
        raise DataError(
            label,
            "",
            found="the tables " + (", ".join(qualified) or "(none that this user may read)"),
            expected=f"a table {source.table!r}" if source.table else "the name of one of them in `table`",
            fix=nearest(source.table, [*visible, *qualified]) + "Correct `table`.",
        )
    return Identifier(*match)


def _described(connection: Connection[Any], table: Identifier) -> tuple[list[str], list[pa.DataType], Composed]:
    """Names and types of a table's columns, and the COPY that streams its rows as CSV."""
    from psycopg.sql import SQL, Identifier

    described = connection.execute(SQL("SELECT * FROM {} LIMIT 0").format(table)).description or []
    codes = {column.name: column.type_code for column in described}
    listed = "SELECT oid, typcategory FROM pg_type WHERE oid = ANY(%s)"
    category = dict(connection.execute(listed, [list(codes.values())]).fetchall())
    textual = {name for name, code in codes.items() if category[code] in TEXT_CATEGORIES}
    kinds = [pa.string() if name in textual else ARROW.get(code, pa.binary()) for name, code in codes.items()]
    cells = [_cell(name, code) for name, code in codes.items()]
    key = _primary_key(connection, table)
    by_text = SQL('{}::text COLLATE "C"')
    order = [(by_text if not key or name in textual else SQL("{}")).format(Identifier(name)) for name in key or codes]
    query = SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv)")
    return list(codes), kinds, query.format(SQL(", ").join(cells), table, SQL(", ").join(order))


def _cell(name: str, code: int) -> Composed:
    """A column as it is read; infinite times and those before Christ go to the nearest that Arrow can hold."""
    from psycopg.sql import SQL, Identifier, Literal

    column = Identifier(name)
    if code not in (DAY, MOMENT, ZONED):
        return SQL("{}").format(column)
    first, last = (Literal(end) for end in ENDS)
    bounded = "CASE WHEN {c} < {first} THEN {first} WHEN {c} > {last} THEN {last} ELSE {c} END"
    return SQL(bounded).format(c=column, first=first, last=last)


def _primary_key(connection: Connection[Any], table: Identifier) -> list[str]:
    columns = connection.execute(
        """SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
           WHERE indisprimary AND indrelid = %s::regclass ORDER BY array_position(indkey, attnum)""",
        [table.as_string(connection)],
    )
    return [name for (name,) in columns.fetchall()]


def _batches(connection: Connection[Any], query: Composed, raw: RawTable) -> Iterator[pa.RecordBatch]:
    """The rows as they come; an error on the way is kept on `raw`, because the engine that reads them hides it."""
    import psycopg

    try:
        with connection.cursor().copy(query) as copy:
            for text in _blocks(bytes(row) for row in copy):
                yield _parsed(text, raw.types)
    except (psycopg.Error, pa.ArrowInvalid) as error:
        reason = why(error) if isinstance(error, psycopg.Error) else f"text that is no UTF-8: {str(error)[:80]}"
        raw.failure = _failed(raw.label, reason)
        raise raw.failure from None


def _blocks(rows: Iterator[bytes]) -> Iterator[bytes]:
    """Whole rows together, as many as make a batch."""
    held: list[bytes] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row)
        if len(held) == BATCH or size >= BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _parsed(text: bytes, kinds: list[pa.DataType]) -> pa.RecordBatch:
    names = [str(index) for index in range(len(kinds))]
    rows = pa_csv.read_csv(
        pa.BufferReader(text),
        pa_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(text) + 1),
        pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pa_csv.ConvertOptions(
            column_types=dict(zip(names, kinds, strict=True)),
            null_values=[""],  # NULL is empty without quotes, the empty text has them
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    return rows.combine_chunks().to_batches()[0]


# Any other database


@contextmanager
def open_ibis(source: TableSource, key: str, label: str) -> Iterator[RawTable]:
    """Open one table or view of a database that Ibis knows, in the order of its columns' texts.

    Exact numbers stay text, and so do JSON and UUIDs. What a driver says is not repeated, because it may hold the
    secret; the kind of its error is.

    Raises
    ------
    DataError
        Where the database does not answer, its driver is missing, or it has no such table.
    """
    import ibis

    url = from_environment(source.path, f"{key}.path")
    try:
        backend = ibis.connect(url)
    except ImportError:
        kind = url.split(":", 1)[0]
        package = f"leadscore[{EXTRAS[kind]}]" if kind in EXTRAS else "ibis-framework[NAME]"
        raise _failed_in_ibis(label, f"no driver of {kind}", f"Install it: pip install '{package}'.") from None
    except (ParamsError, MemoryError):
        raise
    except Exception as error:  # each driver has errors of its own
        raise _failed_in_ibis(label, f"no connection ({type(error).__name__})", f"Check {source.path}.") from None
    try:
        table = _table_in_ibis(backend, source.table, label)
        schema = table.schema().to_pyarrow()
        batches = _batches_of_ibis(table, label)
    finally:
        backend.disconnect()
    yield RawTable(label, list(schema.names), list(schema.types), batches)


def _table_in_ibis(backend: Any, named: str, label: str) -> Any:
    """The table, its rows in the same order whenever they are the same."""
    database, _, name = named.rpartition(".")
    where = {"database": database} if database else {}
    try:
        there = sorted(backend.list_tables(**where))
        table = backend.table(name, **where) if name in there else None
    except Exception as error:
        raise _failed_in_ibis(label, f"no answer ({type(error).__name__})", "Check `table` and rights.") from None
    if table is None:
        raise _failed_in_ibis(label, f"the tables {', '.join(there)}", nearest(name, there) + "Correct `table`.")
    kinds = {column: table[column].type() for column in table.columns}
    exact = [column for column, kind in kinds.items() if kind.is_decimal() or kind.is_json() or kind.is_uuid()]
    table = table.mutate(**{column: table[column].cast("string") for column in exact}) if exact else table
    return table.order_by([table[column].cast("string") for column in table.columns])


def _batches_of_ibis(table: Any, label: str) -> list[pa.RecordBatch]:
    """All rows, in memory: some drivers, such as SQLite's, answer the thread alone that connected, and no engine's."""
    try:
        return list(table.to_pyarrow_batches(chunk_size=BATCH))
    except Exception as error:
        reason = f"rows that cannot be read ({type(error).__name__})"
        raise _failed_in_ibis(label, reason, "Run it again, or export the table to Parquet.") from None


def _failed_in_ibis(label: str, reason: str, fix: str) -> DataError:
    return DataError(label, "", found=reason, expected="a database that Ibis reads, with that table", fix=fix)
