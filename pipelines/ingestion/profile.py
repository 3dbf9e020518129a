"""The data profile: rows read, rejected and kept, what each column holds, and the first and last day."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.cohort.watermark import DaysOfRows
from features.events.event_log import DERIVED_COLUMNS, DERIVED_VERSION
from features.schema.cells import identifier
from features.schema.contract import TABLES
from features.schema.declarations import AttributeSpec
from pipelines.storage.data_profile import ColumnProfile, DataProfile, TableProfile
from pipelines.storage.files import ROW_GROUP

log = logging.getLogger("leadscore")
TOP_LEVELS = 20
AT_ONCE = 64  # columns of a wide table that are described together
LEVEL_ROWS = 5  # a value that fewer rows carry is not shown: it may name a person
LISTED = {
    ("events", "event_type"),
    ("events", "direction"),
    ("events", "channel"),
    ("stages", "stage"),
    ("contacts", "tier"),
    ("contacts", "explored"),
}


@dataclass(frozen=True)
class Tally:
    """What became of the rows of one contract table: read = kept + quarantined + copies + repeats.

    Attributes
    ----------
    filtered
        Rows that `where` left out; not among those read.
    copies
        Rows that say what another row says, and were dropped.
    repeats
        Later conversions of a lead that had converted before.
    """

    read: int
    filtered: int
    kept: int
    quarantined: Mapping[str, int]  # of the future, too
    copies: int
    repeats: int

    def line(self) -> str:
        """One line for the log."""
        bad = ", ".join(f"{reason}: {count:,}" for reason, count in self.quarantined.items())
        parts = [
            f"{self.read:,} rows read, {self.kept:,} kept",
            f"{self.filtered:,} left out by where" if self.filtered else "",
            f"{sum(self.quarantined.values()):,} quarantined ({bad})" if self.quarantined else "",
            f"{self.copies:,} copies dropped" if self.copies else "",
            f"{self.repeats:,} repeats of an earlier conversion" if self.repeats else "",
        ]
        return ", ".join(part for part in parts if part)


def profile(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    attributes: Mapping[str, AttributeSpec],
    tallies: Mapping[str, Tally],
) -> DataProfile:
    """Describe the contract tables in a folder without showing any single person.

    Parameters
    ----------
    connection
        A DuckDB to run the queries with.
    folder
        Holds one Parquet file for each contract table.
    attributes
        Which columns are categories, whose frequent values are listed.
    tallies
        What became of the rows of each table.

    Returns
    -------
    DataProfile
    """
    tables = {name: _table(connection, folder, name, attributes, tallies[name]) for name in TABLES}
    times = [
        str(bound)
        for name, table in tables.items()
        if name != "contacts"  # whom sales has called is no sign of how far outcomes are known
        for column, described in table.columns.items()
        for bound in (described.min, described.max)
        if described.type.startswith("timestamp") and column != "valid_from" and bound is not None
    ]
    data_until = max(times, default=None)
    return DataProfile(
        tables=tables,
        data_from=min(times, default=None),
        data_until=data_until,
        outcomes_until=_outcomes_until(connection, folder, data_until),
        fingerprint=fingerprint(folder),
        derived_version=DERIVED_VERSION,
    )


def _outcomes_until(connection: duckdb.DuckDBPyConnection, folder: Path, data_until: str | None) -> str | None:
    """The end of the data; of an outcome table that had stopped before, its own newest date."""
    connection.read_parquet(str(folder / "outcomes.parquet")).create_view("outcome_times#", replace=True)
    rows = connection.execute("""
        SELECT CAST("at" AS DATE) AS "day", count(*), max("at") FROM (
            SELECT unnest(["converted_at", "lost_at"]) AS "at" FROM "outcome_times#")
        WHERE "at" IS NOT NULL GROUP BY "day" ORDER BY "day\"""").fetchall()
    if not rows or data_until is None:
        return data_until
    days = DaysOfRows(np.array([day for day, _, _ in rows], "datetime64[D]"), np.array([count for _, count, _ in rows]))
    if not days.stopped_before(np.datetime64(data_until, "D")):
        return data_until
    newest: dt.datetime = rows[-1][2]
    log.warning(
        "outcomes: the newest is of %s, and the rest of the data goes on to %s: labels stop there; "
        "export the outcomes again, or what has converted since would count as not converted",
        newest.date(),
        data_until[:10],
    )
    return newest.isoformat()


def _table(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    name: str,
    attributes: Mapping[str, AttributeSpec],
    tally: Tally,
) -> TableProfile:
    file = folder / f"{name}.parquet"
    described = [one for one in pq.read_schema(file) if one.name not in DERIVED_COLUMNS.names]
    kind = "TABLE" if tally.kept <= ROW_GROUP or len(described) > AT_ONCE else "VIEW"
    columns = {}
    for start in range(0, len(described), AT_ONCE):
        some = described[start : start + AT_ONCE]
        if tally.kept:
            rows = connection.read_parquet(str(file)).project(", ".join(identifier(one.name) for one in some))
            _name(connection, rows, kind)
        for column in some:
            spec = attributes.get(column.name)
            listed = (name, column.name) in LISTED or (spec is not None and spec.kind == "category")
            columns[column.name] = _column(connection, column, tally.kept, listed)
    connection.execute(f'DROP {kind} IF EXISTS "profiled#"')
    return TableProfile(**vars(tally), columns=columns)


def _name(connection: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation, kind: str) -> None:
    """Name what is described; a small or wide file is copied, as each query would open and plan all of it anew."""
    if kind == "VIEW":
        rows.create_view("profiled#", replace=True)
        return
    connection.execute('DROP TABLE IF EXISTS "profiled#"')
    rows.create("profiled#")


def _column(connection: duckdb.DuckDBPyConnection, column: pa.Field, rows: int, listed: bool) -> ColumnProfile:
    name = identifier(column.name)
    ranged = pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_timestamp(column.type)
    ends = f", min({name}), max({name})" if ranged else ""
    asked = f'SELECT count({name}){ends} FROM "profiled#"'
    filled, *limits = connection.execute(asked).fetchall()[0] if rows else (0, None, None)
    count_distinct = _count_sorted if ranged and rows > ROW_GROUP else _count_distinct
    described: dict[str, Any] = {
        "type": str(column.type),
        "missing": rows - filled,
        "missing_share": round((rows - filled) / rows, 6) if rows else 0.0,
        "distinct": count_distinct(connection, f'{name} FROM "profiled#" WHERE {name} IS NOT NULL') if filled else 0,
    }
    if ranged:
        described |= dict(zip(("min", "max"), map(_plain, limits), strict=True))
    levels = _levels(connection, name) if listed and rows else {}
    return ColumnProfile(**described | ({"levels": levels} if listed else {}))


def _count_distinct(connection: duckdb.DuckDBPyConnection, values: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {values})").fetchall()[0][0])


def _count_sorted(connection: duckdb.DuckDBPyConnection, values: str) -> int:
    """The same of values that are cheap to sort, and of which most are distinct, as times are."""
    count, last = 0, np.array([])
    for batch in connection.sql(f"SELECT {values} ORDER BY 1").to_arrow_reader(ROW_GROUP):
        column = batch.column(0).to_numpy(zero_copy_only=False)
        count += int((column[1:] != column[:-1]).sum()) + int(not np.array_equal(last, column[:1]))
        last = column[-1:]
    return count


def _plain(value: object) -> object:
    """A value for JSON; the least of a Parquet column may be -0.0 where the column holds 0.0."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return value + 0.0 if isinstance(value, float) else value


def _levels(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, int]:
    rows = connection.execute(f"""
        SELECT {name}, count(*) FROM "profiled#" WHERE {name} IS NOT NULL GROUP BY ALL
        HAVING count(*) >= {LEVEL_ROWS} ORDER BY 2 DESC, 1 LIMIT {TOP_LEVELS}""")
    return {str(level): int(count) for level, count in rows.fetchall()}


def fingerprint(folder: Path) -> str:
    """SHA-256 over the contract tables' bytes, in the order of `TABLES`."""
    digest = hashlib.sha256()
    for name in TABLES:
        with (folder / f"{name}.parquet").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
