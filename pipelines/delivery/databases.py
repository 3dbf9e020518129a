"""Finished scores in a database: a history table of every list, and a view of the newest one.

A list goes in within one transaction and replaces an earlier list of the same day, so that delivering it
again changes nothing, and readers see all of it or none. The view holds the newest day alone: a lead that is no longer
on the list is not in it, and stays in the history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.cohort.moments import is_day, moment_text
from features.schema.cells import identifier
from features.schema.errors import DataError, DeliveryError, ParamsError, first_line
from pipelines.storage.duckdb import NO_EXTENSIONS
from pipelines.storage.postgres import connect, driver, why

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Identifier

    from pipelines.config.delivery import DuckdbTables, PostgresTables

KEY = ("lead_id", "as_of")
ROWS = 20_000  # held at once
LONGEST_KEY = 2000  # bytes of an id; an index of PostgreSQL takes 2,704 of all its columns


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
        raise DataError("scores", "", found=f"a file that cannot be read ({first_line(error)})",
                        expected="what score writes", fix="Run score again.") from None  # fmt: skip
    days = keys["as_of"].drop_duplicates()
    if keys["lead_id"].isna().any() or keys["lead_id"].duplicated().any() or len(days) != 1:
        raise DataError("scores", "lead_id", found=f"{len(keys):,} rows of {keys['lead_id'].nunique():,} leads and "
                        f"{len(days):,} days", expected="one row a lead, all of one day",
                        fix="Run score again.")  # fmt: skip
    day = days.iloc[0]
    if not pd.isna(day) and not is_day(pd.Timestamp(day)):
        raise DataError("scores", "as_of", found=f"a list of a moment, {moment_text(pd.Timestamp(day))}",
                        expected="the list of a day, by which lists are kept where they are delivered",
                        fix="Score with a day in score.as_of or --as-of.")  # fmt: skip
    return ScoreList(path, None if pd.isna(day) else pd.Timestamp(day), len(keys))


def _reject_undated(scores: ScoreList) -> None:
    if scores.as_of is None:
        raise DataError("scores", "as_of", found="no day", expected="the day of the list, the key of the history",
                        fix="Deliver scores of leads with dates, or read scores.parquet itself.")  # fmt: skip


# PostgreSQL


def to_postgres(scores: ScoreList, tables: PostgresTables) -> int:
    """Write a list into the history table and return how many rows came, changed or went.

    Raises
    ------
    DataError
        Where the list has no day.
    ParamsError
        Where the table or the view of that name is not one that this wrote; nothing was written then.
    DeliveryError
        Where the database did not take it; nothing of it was written then. Or where it takes all but some rows.
    """
    _reject_undated(scores)
    psycopg = driver("delivery.postgres")
    history = psycopg.sql.Identifier(tables.schema_name, tables.history)
    try:
        with connect(tables.database, "delivery.postgres.database") as connection, connection.transaction():
            _begin(connection, tables, history)
            _prepare(connection, scores.schema, tables, history)
            set_aside = _load(connection, scores, history)
            changed = _replace_day(connection, scores, history)
    except psycopg.Error as error:
        raise _not_taken(why(error)) from None
    if set_aside:
        named = ", ".join(f"{row:,}" for row in set_aside[:5]) + (" and others" if len(set_aside) > 5 else "")
        raise DeliveryError(
            f"{len(set_aside):,} of {scores.rows:,} leads were set aside: PostgreSQL takes no NUL character in a text "
            f"and no id above {LONGEST_KEY:,} bytes, found in row {named} of scores.parquet; the others were written"
        )
    return changed


def _not_taken(reason: str) -> DeliveryError:
    return DeliveryError(f"the database did not take the scores: {reason}; nothing was written, run it again")


def _begin(connection: Connection[Any], tables: PostgresTables, history: Identifier) -> None:
    """Wait, not for ever, until no other delivery writes the same table; readers do not wait.

    Without nested loops no plan is quadratic: statistics do not know rows that have just come, so that a loop over
    them looks cheap.
    """
    from psycopg.sql import SQL, Literal

    settings = {"lock_timeout": tables.lock_wait_s, "statement_timeout": tables.timeout_s}
    for name, seconds in settings.items():
        connection.execute(SQL("SET LOCAL {} = {}").format(SQL(name), Literal(math.ceil(seconds * 1000))))
    connection.execute("SET LOCAL enable_nestloop = off")
    table = history.as_string(connection)
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [table])


def _prepare(connection: Connection[Any], schema: pa.Schema, tables: PostgresTables, history: Identifier) -> None:
    """Make what is missing: the schema, the table, columns that newer scores have, and the view.

    Only then, as each change of a view waits for its readers.
    """
    from psycopg.sql import SQL, Identifier

    name = tables.schema_name
    if not connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = %s", [name]).fetchone():
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    there = _own_columns(connection, tables)
    added = [one for one in schema if one.name not in there]
    columns = [SQL("{} {}").format(Identifier(one.name), SQL(_sql_type(one.type))) for one in added]
    if not there:
        key = SQL("PRIMARY KEY (as_of, lead_id)")  # the view asks by day
        connection.execute(SQL("CREATE TABLE {} ({})").format(history, SQL(", ").join([*columns, key])))
    elif columns:
        more = SQL(", ").join(SQL("ADD COLUMN {}").format(column) for column in columns)
        connection.execute(SQL("ALTER TABLE {} {}").format(history, more))
    if not _own_view(connection, tables) or columns:
        view = SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {h} WHERE as_of = (SELECT max(as_of) FROM {h})")
        connection.execute(view.format(Identifier(name, tables.current), h=history))


def _own_columns(connection: Connection[Any], tables: PostgresTables) -> set[str]:
    """Return the columns of the history table, none where there is none; raises ParamsError where it is another's."""
    found = connection.execute(
        """SELECT relkind IN ('r', 'p') AND EXISTS (
               SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisunique AND indpred IS NULL AND ARRAY(
                   SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY(indkey) ORDER BY 1
               ) = ARRAY['as_of', 'lead_id']),
               ARRAY(SELECT attname::text FROM pg_attribute
                     WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped)
           FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s AND relname = %s""",
        [tables.schema_name, tables.history],
    ).fetchone()
    if found is None:
        return set()
    own, columns = found
    if not own:
        raise not_ours("postgres", "history", tables.history, f"a table with one row for each {' and '.join(KEY)}")
    return set(columns)


def _own_view(connection: Connection[Any], tables: PostgresTables) -> bool:
    """Whether the view of the newest list is there; raises ParamsError where the name is another's."""
    found = connection.execute(
        """SELECT relkind = 'v' AND EXISTS (
               SELECT FROM pg_rewrite JOIN pg_depend ON objid = pg_rewrite.oid AND classid = 'pg_rewrite'::regclass
               WHERE ev_class = pg_class.oid AND refclassid = 'pg_class'::regclass AND refobjid = (
                   SELECT oid FROM pg_class AS history WHERE relname = %s AND relnamespace = pg_namespace.oid))
           FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s AND relname = %s""",
        [tables.history, tables.schema_name, tables.current],
    ).fetchone()
    if found is not None and not found[0]:
        raise not_ours("postgres", "current", tables.current, f"a view of {tables.history}")
    return found is not None


def not_ours(target: str, key: str, name: str, expected: str) -> ParamsError:
    """Refuse a table or view that another program made: it is not altered."""
    return ParamsError(
        f"delivery.{target}.{key}: {name} is there and is not {expected}; nothing was written; name one that deliver "
        "may make"
    )


def _load(connection: Connection[Any], scores: ScoreList, history: Identifier) -> list[int]:
    """Copy the list into a temporary table; return the places of rows that PostgreSQL does not take, from 1."""
    from psycopg.sql import SQL, Identifier

    columns = SQL(", ").join(map(Identifier, scores.schema.names))
    incoming = SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA")
    connection.execute(incoming.format(columns, history))
    set_aside: list[int] = []
    seen = 0
    with connection.cursor().copy(SQL("COPY incoming ({}) FROM STDIN").format(columns)) as copy:
        for batch in scores.batches():
            refused = _refused(batch)
            set_aside += (seen + 1 + np.flatnonzero(refused)).tolist()
            seen += len(batch)
            kept = batch.filter(pa.array(~refused)) if refused.any() else batch
            for row in zip(*(column.to_pylist() for column in kept.columns), strict=True):
                copy.write_row(row)
    return set_aside


def _refused(batch: pa.RecordBatch) -> np.ndarray:
    """Flag rows that PostgreSQL does not take: a text with a NUL, or an id that is too long for an index."""
    refused = pc.binary_length(batch["lead_id"]).to_numpy(zero_copy_only=False) > LONGEST_KEY
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            refused |= pc.fill_null(pc.match_substring(column, "\0"), False).to_numpy(zero_copy_only=False)
    return refused


def _replace_day(connection: Connection[Any], scores: ScoreList, history: Identifier) -> int:
    """Bring one day's rows in line with the list: those not on it out, new ones in, other ones changed."""
    from psycopg.sql import SQL, Identifier, Literal

    left = SQL("""DELETE FROM {} AS kept WHERE as_of = {} AND NOT EXISTS
                  (SELECT FROM incoming WHERE incoming.lead_id = kept.lead_id)""")
    gone = connection.execute(left.format(history, Literal(scores.as_of)))
    names = scores.schema.names
    rest = [Identifier(name) for name in names if name not in KEY]
    changed = connection.execute(
        SQL("""INSERT INTO {} AS kept ({columns}) SELECT {columns} FROM incoming
               ON CONFLICT (lead_id, as_of) DO UPDATE SET {new}
               WHERE ({old}) IS DISTINCT FROM ({excluded})""").format(
            history,
            columns=SQL(", ").join(map(Identifier, names)),
            new=SQL(", ").join(SQL("{0} = excluded.{0}").format(name) for name in rest),
            old=SQL(", ").join(SQL("kept.{}").format(name) for name in rest),
            excluded=SQL(", ").join(SQL("excluded.{}").format(name) for name in rest),
        )
    )
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


def to_duckdb(scores: ScoreList, tables: DuckdbTables) -> int:
    """Write a list into the history table of a DuckDB file and return its rows; raises as `to_postgres` does."""
    _reject_undated(scores)
    schema, history, current = (identifier(name) for name in (tables.schema_name, tables.history, tables.current))
    listed = "SELECT * FROM read_parquet($path)"
    try:
        with duckdb.connect(tables.database, config=dict(NO_EXTENSIONS)) as connection:
            connection.execute("BEGIN")
            _look(connection, tables)
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
        raise _not_taken(first_line(error)) from None
    return scores.rows


def _look(connection: duckdb.DuckDBPyConnection, tables: DuckdbTables) -> None:
    """Refuse a table or a view of these names that another program made."""
    name = "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?"
    columns = dict(connection.execute(name, [tables.schema_name, tables.history]).fetchall())
    dated = columns.get("as_of", "").startswith(("TIMESTAMP", "DATE"))
    if columns and not (dated and columns.get("lead_id") == "VARCHAR"):
        raise not_ours("duckdb", "history", tables.history, f"a table with {' and '.join(KEY)}")
    relation = """SELECT sql FROM duckdb_views() WHERE schema_name = $schema AND view_name = $name UNION ALL
                  SELECT '' FROM duckdb_tables() WHERE schema_name = $schema AND table_name = $name"""
    there = connection.execute(relation, {"schema": tables.schema_name, "name": tables.current}).fetchone()
    if there is not None and "(SELECT max(as_of) FROM" not in there[0]:
        raise not_ours("duckdb", "current", tables.current, f"a view of {tables.history}")


DATABASES: Mapping[str, Callable[[ScoreList, Any], int]] = {"postgres": to_postgres, "duckdb": to_duckdb}
