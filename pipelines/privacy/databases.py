"""Databases that hold rows of leads: history tables of delivered scores, and the outboxes of CRMs."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from features.schema.cells import identifier
from features.schema.errors import DeliveryError, first_line
from pipelines.config.delivery import DuckdbTables, PostgresTables
from pipelines.storage.duckdb import NO_EXTENSIONS
from pipelines.storage.files import staged_file
from pipelines.storage.postgres import connect, driver, why

OUTBOX = ("held", "outbox", "notices", "announced")  # its tables with a lead_id
NAMED = ("held", "outbox")  # of them, those that have the name of a notice in its place
POSTED = ("arrivals", "events", "lead_edits", "leads")  # the same of `serve`, those that point at others first


def forget_in_duckdb(ids: Sequence[str], tables: DuckdbTables) -> int:
    """Delete a lead's rows, by its spellings, and write the file again: deleted rows stay in a file's free blocks."""
    path = Path(tables.database)
    if not path.is_file():
        return 0
    history = f"{identifier(tables.schema_name)}.{identifier(tables.history)}"
    there = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?"
    try:
        with duckdb.connect(path, config=dict(NO_EXTENSIONS)) as connection:
            if not connection.execute(there, [tables.schema_name, tables.history]).fetchall()[0][0]:
                return 0
            (gone,) = connection.execute(
                f"DELETE FROM {history} WHERE list_contains(?, lead_id)", [list(ids)]
            ).fetchall()[0]
        if gone:
            _write_again(path)
    except duckdb.Error as error:
        raise DeliveryError(f"{path}: {first_line(error)}; close what uses it, and run it again") from None
    return int(gone)


def _write_again(path: Path) -> None:
    with staged_file(path) as staged, duckdb.connect(config=dict(NO_EXTENSIONS)) as connection:
        for name, file, options in (("old", path, " (READ_ONLY)"), ("new", staged, "")):
            text = str(file).replace("'", "''")
            connection.execute(f"ATTACH '{text}' AS {identifier(name)}{options}")
        connection.execute("COPY FROM DATABASE old TO new")
        connection.execute("DETACH new")


def forget_in_outboxes(ids: Sequence[str], folder: Path) -> int:
    """Delete what is remembered of a lead's record at each CRM, and what waits to be sent to it."""
    return sum(_forget_in_sqlite(ids, path, OUTBOX) for path in sorted(folder.glob("*.sqlite")))


def forget_posted(ids: Sequence[str], path: Path) -> int:
    """Delete what was posted of a lead to `leadscore serve`, where its state is a file."""
    return _forget_in_sqlite(ids, path, POSTED) if path.is_file() else 0


def _forget_in_sqlite(ids: Sequence[str], path: Path, tables: Sequence[str]) -> int:
    gone = 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=1.0)) as database:
            database.execute("PRAGMA secure_delete = ON")
            there = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            for table in [name for name in tables if name in there]:
                delete = f"DELETE FROM {table} WHERE lead_id = ?1"
                if table in NAMED and "notices" in there:
                    delete += " OR lead_id IN (SELECT name FROM notices WHERE lead_id = ?1)"
                gone += sum(database.execute(delete, [one]).rowcount for one in ids)
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise DeliveryError(f"{path}: {error}; wait until nothing uses it, and run it again") from None
    return gone


def forget_in_postgres(ids: Sequence[str], tables: PostgresTables) -> int:
    """Delete a lead's rows of the history, and let the server take their place for other rows."""
    psycopg = driver("delivery.postgres")
    history = psycopg.sql.Identifier(tables.schema_name, tables.history)
    try:
        with connect(tables.database, "delivery.postgres.database") as connection:
            connection.autocommit = True
            for name, seconds in {"lock_timeout": tables.lock_wait_s, "statement_timeout": tables.timeout_s}.items():
                connection.execute("SELECT set_config(%s, %s, false)", [name, f"{math.ceil(seconds * 1000)}"])
            there = connection.execute("SELECT to_regclass(%s)", [history.as_string(connection)]).fetchone()
            if there is None or there[0] is None:
                return 0
            delete = psycopg.sql.SQL("DELETE FROM {} WHERE lead_id = ANY(%s)").format(history)
            gone = connection.execute(delete, [list(ids)]).rowcount
            connection.execute(psycopg.sql.SQL("VACUUM {}").format(history))
    except psycopg.Error as error:
        raise DeliveryError(f"the database did not forget the lead: {why(error)}; run it again") from None
    return gone
