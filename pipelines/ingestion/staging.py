"""The DuckDB connection of one ingest: typed rows on disk, their faults by number, and small questions about them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import ValidationError

from features.schema.cells import as_text, identifier
from features.schema.contract import QUARANTINE, Fault
from features.schema.errors import DataError, ParamsError
from features.schema.lead_ids import Tombstones, normal_sql
from pipelines.config.sections import Ingest, Project
from pipelines.config.source import LEAD, Source
from pipelines.ingestion.database_sources import Snapshots, open_ibis, open_postgres, open_snapshots
from pipelines.ingestion.file_sources import open_table
from pipelines.ingestion.mapping import Entry, tables_read
from pipelines.ingestion.raw_table import RawTable
from pipelines.storage.duckdb import NO_EXTENSIONS, memory_limit
from pipelines.storage.files import ROW_GROUP
from pipelines.storage.layout import Layout

SHOWN_CELLS = 500  # bad cells that tell what to set
TYPED_ROW = (
    '"source#" SMALLINT, "row#" BIGINT, "fault#" SMALLINT, "hash#" UBIGINT, "content#" VARCHAR, "clock#" SMALLINT'
)


@dataclass
class Staging:
    """The staging tables, where rows are typed and checked before any is written.

    Each contract table has a table of the same name with `#`: its columns and, of each row, the source and row it
    came from, the number of its first fault or NULL, a hash of the source row, its text where that is needed, and of a
    time at a change of clocks twice the number of its column, plus one where it came twice.
    """

    connection: duckdb.DuckDBPyConnection
    source: Source
    data: Path
    max_share: float
    databases: Snapshots
    forgotten: Tombstones | None = None
    entries: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def code(self, fault: Fault) -> int:
        """The number by which typed rows name a fault from now on."""
        self.faults.append(fault)
        return len(self.faults) - 1

    def forgotten_fault(self) -> list[Fault]:
        """The fault of rows of leads that are to stay forgotten; they are in no table and no quarantine."""
        key = normal_sql('"lead_id"', self.source.normalise)
        return [Fault("", "forgotten", self.forgotten.sql(key), left_out="where")] if self.forgotten else []

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        return self.connection.execute(sql, list(values)).fetchall()

    def count(self, sql: str, *values: object) -> int:
        """The one number of a result."""
        return int(self.rows(sql, *values)[0][0])

    def set_aside(self, entry: Entry) -> list[tuple[int, int]]:
        """Numbers of the faults in one source and how many rows have each, the most frequent first.

        Rows of the future are among them, those that `where` leaves out are not.
        """
        counts = f"""SELECT "fault#", count(*) FROM "{entry.table}#" WHERE "fault#" IS NOT NULL AND "source#" = ?
                     GROUP BY ALL ORDER BY 2 DESC, 1"""
        found = [(int(code), int(count)) for code, count in self.rows(counts, entry.index)]
        return [(code, count) for code, count in found if self.faults[code].left_out != "where"]

    def fault_counts(self, entry: Entry) -> list[tuple[int, int]]:
        """The same of rows that break the contract, without those that are left out on purpose."""
        return [(code, count) for code, count in self.set_aside(entry) if not self.faults[code].left_out]

    def count_read(self, entry: Entry) -> int:
        """How many rows of one source were taken; those that `where` leaves out are not."""
        filtered = [code for code, fault in enumerate(self.faults) if fault.left_out == "where"]
        kept = f"""SELECT count(*) FROM "{entry.table}#" WHERE "source#" = ?
                   AND NOT coalesce(list_contains({filtered}, "fault#"), false)"""
        return self.count(kept, entry.index)

    def add_ragged(self, entry: Entry, raw: RawTable) -> None:
        """Quarantine lines that could not be parsed as rows."""
        known, normalise = self.forgotten, self.source.normalise
        ragged = [bad for bad in raw.ragged if known is None or not known.mentioned(bad.text, normalise)]
        if not ragged:
            return
        codes = {reason: self.code(Fault("", reason, "")) for reason in sorted({bad.reason for bad in ragged})}
        bad = pa.table(
            {
                "source#": pa.array([entry.index] * len(ragged), pa.int16()),
                "row#": pa.array([row.row for row in ragged], pa.int64()),
                "fault#": pa.array([codes[row.reason] for row in ragged], pa.int16()),
                "content#": [json.dumps({"line": row.text}, ensure_ascii=False) for row in ragged],
            }
        )
        self.connection.register("ragged#", bad)
        self.connection.execute(f'INSERT INTO "{entry.table}#" BY NAME SELECT * FROM "ragged#"')
        self.connection.unregister("ragged#")
        entry.read += len(ragged)

    def display_rows(self) -> pa.RecordBatchReader:
        """What people are shown of each lead that is kept, by label, and `url`, its address."""
        leads = self.source.leads
        columns = [f'"display#{index}" AS {identifier(label)}' for index, label in enumerate(leads.display)]
        before, _, after = leads.url_template.partition(LEAD)
        columns += ['? || url_encode("lead_id") || ? AS "url"'] if leads.url_template else []
        rows = f"""SELECT DISTINCT ON ("lead_id") "lead_id", {", ".join(columns)} FROM "leads#"
                   WHERE "fault#" IS NULL ORDER BY "lead_id", "row#\""""
        address = [before, after] if leads.url_template else []
        return self.connection.sql(rows, params=address).to_arrow_reader(ROW_GROUP)

    def quarantine(self) -> pa.RecordBatchReader:
        """Return every rejected row with position, reason and text, in the order of sources and rows."""
        reasons = pa.table(
            {
                "code": pa.array(range(len(self.faults)), pa.int16()),
                "column": pa.array([fault.column for fault in self.faults], pa.string()),
                "reason": pa.array([fault.reason for fault in self.faults], pa.string()),
            }
        )
        paths = pa.table(
            {
                "rank": pa.array(range(len(self.entries)), pa.int16()),
                "table": pa.array([entry.table for entry in self.entries], pa.string()),
                "index": pa.array([entry.index for entry in self.entries], pa.int16()),
                "path": pa.array([entry.source.path for entry in self.entries], pa.string()),
            }
        )
        self.connection.register("reasons#", reasons)
        self.connection.register("paths#", paths)
        filtered = [code for code, fault in enumerate(self.faults) if fault.left_out == "where"]
        bad = " UNION ALL ".join(
            f'SELECT \'{table}\' AS "table", "source#" AS "index", "row#" AS "row", "fault#" AS "code", "content#" AS '
            f'"content" FROM "{table}#" WHERE "fault#" IS NOT NULL AND NOT list_contains({filtered}, "fault#")'
            for table in tables_read(self.source)
        )
        rows = self.connection.sql(f"""
            SELECT {", ".join(identifier(name) for name in QUARANTINE.names)}
            FROM ({bad}) JOIN "reasons#" USING ("code") JOIN "paths#" USING ("table", "index")
            ORDER BY "rank", "row\"""")
        reader = rows.to_arrow_reader(ROW_GROUP)
        return pa.RecordBatchReader.from_batches(QUARANTINE, (batch.cast(QUARANTINE) for batch in reader))

    def fitting(self, entry: Entry, code: int) -> int:
        """How many rows of one source hold a value in the column of a fault, and not that fault."""
        name = identifier(self.faults[code].column)
        fits = (
            f"""SELECT count({name}) FROM "{entry.table}#" WHERE "source#" = ? AND "fault#" IS DISTINCT FROM {code}"""
        )
        return self.count(fits, entry.index)

    def spellings(self, entry: Entry, column: str) -> list[str]:
        """The first ten values of one of the user's columns."""
        values = f"""SELECT DISTINCT "content#" ->> ? FROM "{entry.table}#"
                     WHERE "source#" = ? AND "content#" IS NOT NULL ORDER BY 1 LIMIT 10"""
        return [str(value) for (value,) in self.rows(values, _pointer(column), entry.index)]

    def bad_cells(self, entry: Entry, code: int) -> list[str]:
        """The first cells with a fault, in the order of their rows."""
        column = entry.mapped[self.faults[code].column]
        cells = f"""SELECT "content#" ->> ? FROM "{entry.table}#" WHERE "source#" = ? AND "fault#" = ?
                    AND "content#" IS NOT NULL ORDER BY "row#" LIMIT {SHOWN_CELLS}"""
        return [str(cell) for (cell,) in self.rows(cells, _pointer(column), entry.index, code)] if column else []

    def known_leads(self) -> list[str]:
        """The ids of leads, as many as show how they are written."""
        return [str(lead) for (lead,) in self.rows('SELECT "lead#" FROM "known#" ORDER BY 1 LIMIT 500000')]

    def example(self, entry: Entry, code: int) -> str:
        """The first cell with a fault and, where the table's first rows have one, a cell that fits."""
        column = self.faults[code].column
        if not entry.mapped[column]:
            return repr(entry.source.constants.get(column, ""))
        cell = f"""SELECT "row#", "content#" ->> ? FROM "{entry.table}#"
                   WHERE "source#" = ? AND "content#" IS NOT NULL AND"""
        values = _pointer(entry.mapped[column]), entry.index
        bad = self.rows(f'{cell} "fault#" = {code} ORDER BY 1 LIMIT 1', *values)[0]
        good = self.rows(f"{cell} {identifier(column)} IS NOT NULL ORDER BY 1 LIMIT 1", *values)
        fits = f" (while {good[0][1]!r} in row {good[0][0]} fits)" if good else ""
        return f"{bad[1]!r} in row {bad[0]}{fits}"


def open_source(entry: Entry, *, data: Path, databases: Snapshots) -> AbstractContextManager[RawTable]:
    """Open one of the user's tables, wherever it is."""
    if entry.source.format == "postgres":
        return open_postgres(entry.source, databases, entry.key, entry.label)
    if entry.source.format == "ibis":
        return open_ibis(entry.source, entry.key, entry.label)
    return open_table(entry.source, data, entry.label)


def where_sql(entry: Entry, raw: RawTable) -> str:
    """SQL for the rows that `where` keeps; its values are bound as `where_0`, `where_1` and so on."""
    cells = [as_text(*raw.cell(name, f"{entry.key}.where")) for name in entry.source.where]
    return " AND ".join(f"list_contains($where_{index}, {cell})" for index, cell in enumerate(cells)) or "true"


def tombstones_path(layout: Layout) -> Path:
    """Where the leads are recorded that are to stay forgotten: beside the contract, which is replaced as a whole."""
    return layout.data / "forgotten.json"


def read_tombstones(layout: Layout) -> Tombstones | None:
    """Read them; raises DataError where the file is damaged: without it, leads that were forgotten would come back."""
    path = tombstones_path(layout)
    if not path.exists():
        return None
    try:
        return Tombstones.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise DataError(
            "leads",
            "lead_id",
            found=f"{path} damaged, which holds the digests of forgotten leads",
            expected="what `leadscore lead forget` writes",
            fix="Restore it, or remove it and forget those leads again.",
        ) from None


def _pointer(column: str) -> str:
    """A column of a row's JSON text, as a JSON pointer (RFC 6901)."""
    return "/" + column.replace("~", "~0").replace("/", "~1")


@contextmanager
def open_staging(folder: Path, source: Source, limits: Ingest, project: Project, data: Path) -> Iterator[Staging]:
    """DuckDB in memory and, beyond it, on disk inside a folder, removed at the end; with no extension from outside."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        config: dict[str, Any] = NO_EXTENSIONS | {
            "threads": project.threads,
            "memory_limit": memory_limit(project),
            "temp_directory": str(Path(work) / "spill"),
            "preserve_insertion_order": "false",
        }
        with duckdb.connect(":memory:", config=config) as connection, open_snapshots() as databases:
            staging = Staging(connection, source, data, limits.max_quarantine_share, databases)
            if not staging.count("SELECT count(*) FROM pg_timezone_names() WHERE name = ?", source.timezone):
                raise ParamsError(f"source.timezone: no zone is called {source.timezone!r}; write UTC or Europe/Berlin")
            connection.execute(f"SET TimeZone = '{source.timezone}'")  # a name from DuckDB's own list
            yield staging
