"""Every id of one person: those that `source.aliases` says were merged, read from the source, as ingest keeps none."""

from __future__ import annotations

from pathlib import Path

import duckdb

from features.schema.cells import as_text
from features.schema.errors import DataError, ParamsError, first_line
from features.schema.lead_ids import same_person
from pipelines.config.source import Source
from pipelines.ingestion.database_sources import Snapshots, open_snapshots
from pipelines.ingestion.mapping import Entry, entries_of, map_by_name
from pipelines.ingestion.staging import open_source, where_sql
from pipelines.storage.duckdb import NO_EXTENSIONS


def ids_of_person(lead_id: str, source: Source, data: Path) -> tuple[str, ...]:
    """The id that was given, and all that were merged with it, in their spellings.

    Raises
    ------
    DataError
        Where a table of aliases cannot be read: some ids would stay then.
    """
    with open_snapshots() as databases:
        merges = [pair for entry in entries_of(source, "aliases") for pair in _merges(entry, source, data, databases)]
    return same_person(lead_id, merges, source.normalise)


def _merges(entry: Entry, source: Source, data: Path, databases: Snapshots) -> list[tuple[str, str]]:
    with (
        open_source(entry, data=data, databases=databases) as raw,
        duckdb.connect(config=dict(NO_EXTENSIONS)) as connection,
    ):
        map_by_name(entry, source, raw.names)
        columns = entry.source.columns or {}
        if not {"lead_id", "merged_into"} <= set(columns):
            raise ParamsError(f"{entry.key}.columns maps not both lead_id and merged_into; forget needs them")
        raw.want([*columns.values(), *entry.source.where])
        cells = [as_text(*raw.cell(columns[name], entry.key)) for name in ("lead_id", "merged_into")]
        wanted = {f"where_{index}": values for index, values in enumerate(entry.source.where.values())}
        connection.register("raw#", raw.reader())
        rows = f'SELECT DISTINCT {", ".join(cells)} FROM "raw#" WHERE {where_sql(entry, raw)} ORDER BY ALL'
        try:
            found = connection.execute(rows, wanted).fetchall()
        except duckdb.Error as error:
            raise raw.failure or _unread(entry, error) from None
    missing = {None, *entry.source.missing}
    return [(old, new) for old, new in found if old not in missing and new not in missing]


def _unread(entry: Entry, error: duckdb.Error) -> DataError:
    found = f"rows that cannot be read ({first_line(error)})"
    return DataError(entry.label, "", found=found, expected="ids and what they were merged into", fix="Correct it.")
