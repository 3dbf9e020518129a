"""Finished scores in a database: a history table of every list, and a view of the newest one.

A list goes in within one transaction and replaces an earlier list of the same day, so that delivering it
again changes nothing, and readers see all of it or none. The view holds the newest day alone: a lead that is no longer
on the list is not in it, and stays in the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.schema.cells import identifier
from features.schema.errors import DataError, DeliveryError
from pipelines.storage.duckdb import NO_EXTENSIONS
from pipelines.storage.postgres import connect, driver, why

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Identifier

    from pipelines.config.delivery import ScoreTables

KEY = ("lead_id", "as_of")
ROWS = 20_000  # held at once


@dataclass(frozen=True)
class ScoreList:
    """The finished scores of one day: scores.parquet, one row a lead."""

    path: Path
    as_of: pd.Timestamp | None
    rows: int

    @property
    def day(self) -> str:
        """The day as 2026-11-01, or "" where the leads carry no dates."""
        return "" if self.as_of is None else self.as_of.date().isoformat()

    @property
    def schema(self) -> pa.Schema:
        return pq.read_schema(self.path)

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in the list's order; a few at a time."""
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(batch_size=ROWS, columns=columns)


def read_list(folder: Path) -> ScoreList:
    """Find the scores in a folder; raises DataError unless they are one row a lead, all of one day."""
    path = folder.resolve() / "scores.parquet"  # a link may point to another list before this one has been read
    if not path.is_file():
        raise DataError("scores", "", found=f"no scores.parquet in {folder}", expected="what score writes",
                        fix="Run score first, or correct --scores.")  # fmt: skip
    try:
        keys = pq.read_table(path, columns=list(KEY)).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError("scores", "", found=f"a file that cannot be read ({str(error).splitlines()[0]})",
                        expected="what score writes", fix="Run score again.") from None  # fmt: skip
    days = keys["as_of"].drop_duplicates()
    if keys["lead_id"].isna().any() or keys["lead_id"].duplicated().any() or len(days) != 1:
        raise DataError("scores", "lead_id", found=f"{len(keys):,} rows of {keys['lead_id'].nunique():,} leads and "
                        f"{len(days):,} days", expected="one row a lead, all of one day",
                        fix="Run score again.")  # fmt: skip
    day = days.iloc[0]
    return ScoreList(path, None if pd.isna(day) else pd.Timestamp(day), len(keys))


def _reject_undated(scores: ScoreList) -> None:
    if scores.as_of is None:
        raise DataError("scores", "as_of", found="no day", expected="the day of the list, the key of the history",
                        fix="Deliver scores of leads with dates, or read scores.parquet itself.")  # fmt: skip


# PostgreSQL


def to_postgres(scores: ScoreList, tables: ScoreTables) -> int:
    """Write a list into the history table and return how many rows came, changed or went.

    Raises
    ------
    DataError
        Where the list has no day.
    DeliveryError
        Where the database did not take it; nothing of it was written then.
    """
    _reject_undated(scores)
    psycopg = driver("delivery.postgres")
    history = psycopg.sql.Identifier(tables.schema_name, tables.history)
    try:
        with connect(tables.database, "delivery.postgres.database") as connection:
            with connection.transaction():
                _prepare(connection, scores.schema, tables, history)
            with connection.transaction():
                return _upsert(connection, scores, history)
    except psycopg.Error as error:
        raise _not_taken(why(error)) from None


def _not_taken(reason: str) -> DeliveryError:
    return DeliveryError(f"the database did not take the scores: {reason}; nothing was written, run it again")


def _prepare(connection: Connection[Any], schema: pa.Schema, tables: ScoreTables, history: Identifier) -> None:
    """Make what is missing: the schema, the table, columns that newer scores have, and the view.

    Only then, as each change of a view waits for its readers. What has been made stays: it holds no scores yet.
    """
    from psycopg.sql import SQL, Identifier

    _alone(connection, history)
    name = tables.schema_name
    if not connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = %s", [name]).fetchone():
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    relation = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    there = {column for (column,) in connection.execute(relation, [name, tables.history])}
    added = [one for one in schema if one.name not in there]
    columns = [SQL("{} {}").format(Identifier(one.name), SQL(_sql_type(one.type))) for one in added]
    if not there:
        key = SQL("PRIMARY KEY (as_of, lead_id)")  # the view asks by day
        connection.execute(SQL("CREATE TABLE {} ({})").format(history, SQL(", ").join([*columns, key])))
    elif columns:
        more = SQL(", ").join(SQL("ADD COLUMN {}").format(column) for column in columns)
        connection.execute(SQL("ALTER TABLE {} {}").format(history, more))
    if columns or not connection.execute(relation, [name, tables.current]).fetchone():
        view = SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {h} WHERE as_of = (SELECT max(as_of) FROM {h})")
        connection.execute(view.format(Identifier(name, tables.current), h=history))


def _alone(connection: Connection[Any], history: Identifier) -> None:
    """Wait until no other delivery writes the same table; readers do not wait."""
    table = history.as_string(connection)
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [table])


def _upsert(connection: Connection[Any], scores: ScoreList, history: Identifier) -> int:
    """Bring one day's rows in line with the list: new ones in, other ones changed, those not on it out."""
    from psycopg.sql import SQL, Identifier, Literal

    _alone(connection, history)
    names = scores.schema.names
    columns = SQL(", ").join(map(Identifier, names))
    incoming = SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA")
    connection.execute(incoming.format(columns, history))
    with connection.cursor().copy(SQL("COPY incoming ({}) FROM STDIN").format(columns)) as copy:
        for batch in scores.batches():
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
    rest = [Identifier(name) for name in names if name not in KEY]
    changed = connection.execute(
        SQL("""INSERT INTO {} AS kept ({columns}) SELECT {columns} FROM incoming
               ON CONFLICT (lead_id, as_of) DO UPDATE SET {new}
               WHERE ({old}) IS DISTINCT FROM ({excluded})""").format(
            history,
            columns=columns,
            new=SQL(", ").join(SQL("{0} = excluded.{0}").format(name) for name in rest),
            old=SQL(", ").join(SQL("kept.{}").format(name) for name in rest),
            excluded=SQL(", ").join(SQL("excluded.{}").format(name) for name in rest),
        )
    )
    left = SQL("""DELETE FROM {} AS kept WHERE as_of = {} AND NOT EXISTS
                  (SELECT FROM incoming WHERE incoming.lead_id = kept.lead_id)""")
    gone = connection.execute(left.format(history, Literal(scores.as_of)))
    return changed.rowcount + gone.rowcount


def _sql_type(kind: pa.DataType) -> LiteralString:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "bigint"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    return "date" if pa.types.is_date(kind) else "text"


# DuckDB


def to_duckdb(scores: ScoreList, tables: ScoreTables) -> int:
    """Write a list into the history table of a DuckDB file and return its rows; raises as `to_postgres` does."""
    _reject_undated(scores)
    schema, history, current = (identifier(name) for name in (tables.schema_name, tables.history, tables.current))
    listed = "SELECT * FROM read_parquet($path)"
    try:
        with duckdb.connect(tables.database, config=dict(NO_EXTENSIONS)) as connection:
            connection.execute("BEGIN")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            path = {"path": str(scores.path)}
            connection.execute(f"CREATE TABLE IF NOT EXISTS {schema}.{history} AS {listed} LIMIT 0", path)
            there = {row[0] for row in connection.execute(f"DESCRIBE {schema}.{history}").fetchall()}
            for name, kind, *_ in connection.execute(f"DESCRIBE {listed}", path).fetchall():
                if name not in there:
                    connection.execute(f"ALTER TABLE {schema}.{history} ADD COLUMN {identifier(name)} {kind}")
            connection.execute(f"DELETE FROM {schema}.{history} WHERE as_of = ?", [scores.as_of])
            connection.execute(f"INSERT INTO {schema}.{history} BY NAME {listed}", path)
            newest = f"SELECT max(as_of) FROM {schema}.{history}"
            view = f"SELECT * FROM {schema}.{history} WHERE as_of = ({newest})"
            connection.execute(f"CREATE OR REPLACE VIEW {schema}.{current} AS {view}")
            connection.execute("COMMIT")
    except duckdb.Error as error:
        raise _not_taken(str(error).splitlines()[0]) from None
    return scores.rows


DATABASES: Mapping[str, Callable[[ScoreList, ScoreTables], int]] = {"postgres": to_postgres, "duckdb": to_duckdb}
