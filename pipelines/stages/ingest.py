"""First stage: the user's files become the contract tables, a quarantine with reasons, and a profile.

Every source is streamed through one DuckDB statement that types its rows and finds the first fault of each, so an event
log larger than memory is processed like ten leads. The contract folder is replaced completely or not at all.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.console import Console

from features.events.event_log import DERIVED_COLUMNS, derive_columns, in_complete_leads, without_copies
from features.schema.cells import (
    CellKind,
    Field,
    Written,
    as_text,
    cell_name,
    clock_cases,
    identifier,
    typed,
    unless_missing,
)
from features.schema.contract import (
    SQL_TYPES,
    TABLES,
    Fault,
    arrow_schema,
    faults,
    kept_rows,
    key_of,
    schema,
    seen_fault,
    settled,
)
from features.schema.lead_ids import normal_sql
from pipelines.config.sections import Ingest, Project
from pipelines.config.source import OutcomeSource, Source
from pipelines.ingestion.left_out import LEFT_BY_WHERE, mark_future, mark_rows_of_left_leads, mark_unripe, merge_leads
from pipelines.ingestion.mapping import (
    Entry,
    check_mapping,
    display_columns,
    entries_of,
    fields_of,
    map_by_name,
    tables_read,
    written_fields,
)
from pipelines.ingestion.outcome_status import UNDATED_LOSS, cells_by_status, check_statuses, status_bindings
from pipelines.ingestion.profile import Tally, profile
from pipelines.ingestion.raw_table import RawTable
from pipelines.ingestion.rejections import (
    engine_error,
    reject_many_faults,
    reject_no_leads,
    reject_type,
    reject_uneven_history,
    reject_unfit_columns,
    warn_of_twins,
)
from pipelines.ingestion.row_order import check_direction, warn_of_clock_changes, warn_of_other_century
from pipelines.ingestion.staging import TYPED_ROW, Staging, open_source, open_staging, read_tombstones, where_sql
from pipelines.storage.data_profile import DataProfile, write_profile
from pipelines.storage.files import ROW_GROUP, disk_full, row_groups, staged_folder, write_parquet
from pipelines.storage.layout import Layout

log = logging.getLogger("leadscore")
EXAMPLE_ROWS = 1000  # the text of the first rows is kept, to show one that fits beside one that does not
Cells = dict[str, tuple[str, CellKind]]


def ingest(source: Source, limits: Ingest, project: Project, data: Path, layout: Layout) -> DataProfile:
    """Read the user's files and write the contract folder.

    Parameters
    ----------
    source
        How the user's files and columns map to the contract.
    limits
        How many bad rows stop the run.
    project
        Threads and memory of DuckDB; neither changes a byte of the result.
    data
        The folder that paths in `source` are relative to.
    layout
        Where the contract folder is.

    Returns
    -------
    DataProfile
        As written to profile.json.

    Raises
    ------
    ParamsError
        Where the mapping is not valid.
    DataError
        Where a table breaks the contract too much for a quarantine; the old contract folder stays.
    """
    check_mapping(source, project.memory_gb)
    if not source.attributes:
        log.warning("source names no attributes: of leads nothing but ids and dates is read; see `leadscore inspect`")
    with staged_folder(layout.contract) as folder:
        with (
            open_staging(folder, source, limits, project, data) as staging,
            Console(stderr=True).status("ingest") as status,
        ):
            staging.forgotten = read_tombstones(layout)
            for table in tables_read(source):
                status.update(f"ingest: {table}")
                _take(staging, table)
            if source.order == "dates" or source.by_creation:
                mark_future(staging)
                mark_unripe(staging)
            tallies = {}
            for table in TABLES:
                tallies[table] = _write(staging, table, folder / f"{table}.parquet")
                log.info("%s: %s", table, tallies[table].line())
            if source.leads.shown:
                write_parquet(staging.display_rows(), folder / layout.display.path.name)
            if source.overrides:
                _write(staging, "overrides", folder / layout.overrides.path.name)
            write_parquet(staging.quarantine(), folder / layout.quarantine.path.name)
            status.update("ingest: profile")
            result = profile(staging.connection, folder, source.attributes, tallies)
        write_profile(result, folder / layout.profile.path.name)
    return result


def _take(staging: Staging, table: str) -> None:
    """Type all rows of one contract table, find their faults, and stop where there are too many."""
    fields = fields_of(staging.source, table)
    columns = [f"{identifier(column.name)} {SQL_TYPES[column.kind]}" for column in fields]
    columns += [f'"{name}" VARCHAR' for name in display_columns(staging.source, table)]
    staging.connection.execute(f'CREATE TABLE "{table}#" ({", ".join(columns)}, {TYPED_ROW})')
    entries = entries_of(staging.source, table)
    for entry in entries:
        with open_source(entry, data=staging.data, databases=staging.databases) as raw:
            _load(staging, entry, fields, raw)
        reject_unfit_columns(staging, entry, fields)
        check_statuses(staging, entry)
    reject_uneven_history(table, entries, fields)
    _mark_conflicts(staging, table, entries, fields)
    for entry in entries:
        if table != "leads":
            mark_rows_of_left_leads(staging, entry)
        reject_many_faults(staging, entry, fields)
        if not entry.read + entry.filtered:
            log.warning("%s holds no row, only a header or not even that", entry.label)
    staging.entries += entries
    if table == "leads":
        reject_no_leads(staging, entries[0])
        check_direction(staging, entries[0])
        warn_of_twins(staging, entries[0])
        _name_leads(staging)
    if table == "aliases":
        merge_leads(staging)


def _name_leads(staging: Staging) -> None:
    """Create the tables of leads that other tables may refer to, and of those that `where` has left out."""
    created = '"created_at"' if staging.source.order == "dates" else "NULL"
    key = normal_sql('"lead_id"', staging.source.normalise)
    left = [code for code, fault in enumerate(staging.faults) if fault.left_out]
    staging.connection.execute(f"""
        CREATE TABLE "known#" AS SELECT DISTINCT "lead_id" AS "lead#", {key} AS "key#", {created} AS "created#",
            CAST(NULL AS TIMESTAMP) AS "merged#", false AS "alias#"
        FROM "leads#" WHERE "fault#" IS NULL""")
    staging.connection.execute(f"""
        CREATE TABLE "left#" AS SELECT DISTINCT {key} AS "lead_id"
        FROM "leads#" WHERE list_contains({left}, "fault#")""")


def _load(staging: Staging, entry: Entry, fields: Sequence[Field], raw: RawTable) -> None:
    """Stream one source table into its typed table."""
    map_by_name(entry, staging.source, raw.names)
    if entry.table != "events":  # copies of an event are told by all that its source says of it
        raw.want(entry.columns_read(staging.source, fields))
    cells = _cells(staging.source, entry, fields, raw)
    dated = staging.source.order == "dates"
    written = _written(staging.source, entry, fields)
    rules = faults(entry.table, fields, list(cells), entry.source.time_formats, dated=dated)
    if entry.table == "leads" and entry.source.where:  # kept in staging, so that their events are known to be theirs
        rules.insert(0, replace(LEFT_BY_WHERE, test=f"NOT coalesce({where_sql(entry, raw)}, false)"))
    rules[:0] = staging.forgotten_fault()
    if entry.by_status and dated:
        rules.append(UNDATED_LOSS)
    statement = _statement(staging.source, entry, written, cells, raw, {staging.code(rule): rule for rule in rules})
    staging.connection.register("raw#", raw.reader())
    try:
        staging.connection.execute(statement, _bindings(staging.source, entry, written, raw, statement))
    except duckdb.Error as error:
        if disk_full(error):
            raise
        raise raw.failure or engine_error(entry, error) from None
    finally:
        staging.connection.unregister("raw#")
    times = [one.name for one in fields if one.kind == "time" and one.name in cells]
    warn_of_other_century(staging, entry, [name for name in times if cells[name][1] == "text"])
    warn_of_clock_changes(staging, entry, fields)
    entry.read = staging.count_read(entry)
    entry.filtered = raw.rows - entry.read
    staging.add_ragged(entry, raw)


def _cells(source: Source, entry: Entry, fields: Sequence[Field], raw: RawTable) -> Cells:
    """Map each field of the contract to its SQL in this source and the type of its cells."""
    cells: Cells = cells_by_status(entry, raw) if entry.by_status else {}
    columns = entry.source.columns or {}
    for column in fields:
        name, spec = column.name, source.attributes.get(column.name)
        if name in cells:
            reject_type(entry, column, cells[name][1])
            continue
        if name in entry.source.constants:
            cells[name] = f"$constant_{name}", "text"
        elif name in columns:
            cells[name] = raw.cell(columns[name], f"{entry.key}.columns.{name}")
        elif name == "lead_id":
            cells[name] = 'CAST("row#" AS VARCHAR)', "text"
        elif spec and (entry.table == "leads" or spec.column in raw.names):
            cells[name] = raw.cell(spec.column, f"source.attributes.{name}.column")
        if name in cells:
            entry.mapped[name] = spec.column if spec else columns.get(name, "")
            reject_type(entry, column, cells[name][1])
    return cells


def _written(source: Source, entry: Entry, fields: Sequence[Field]) -> dict[Field, Written]:
    """How each field is written in this source."""
    own = {name: spec.number_format for name, spec in source.attributes.items()}
    return {
        column: Written(
            times=entry.source.time_formats,
            numbers=own.get(column.name) or entry.source.number_format,
            key=str(index),
            zone=source.timezone,
        )
        for index, column in enumerate(fields)
    }


def _statement(
    source: Source,
    entry: Entry,
    written: dict[Field, Written],
    cells: Cells,
    raw: RawTable,
    rules: dict[int, Fault],
) -> str:
    """Build the statement of one pass: untyped cells, typed values, first fault, and the row's text where needed."""
    where = "true" if entry.table == "leads" else where_sql(entry, raw)
    key = normal_sql('"lead_id"', source.normalise)
    untyped, values, final, clocks = [], [], [], []
    for index, (column, form) in enumerate(written.items()):
        if column.name in cells:
            cell, kind = cells[column.name]
            known = unless_missing(cell, kind, f"$missing_{index}", _missing(source, entry, column))
            untyped.append(f"{known} AS {cell_name(column)}")
            values.append(f"{typed(column, kind, form)} AS {identifier(column.name)}")
            clocks += clock_cases(column, kind, form, 2 * index) if source.timezone != "UTC" else []
        final.append(f"{settled(entry.table, column, column.name in cells)} AS {identifier(column.name)}")
    for staged, shown in display_columns(source, entry.table).items():
        cell = as_text(*raw.cell(shown, "source.leads.display"))
        known = unless_missing(cell, "text", "$missing_display", entry.source.missing)
        final.append(f"nullif(trim({known}), '') AS \"{staged}\"")
    if entry.table != "leads":
        final[0] = f'coalesce("lead#", {key}) AS "lead_id"'  # as leads spell it
    fault = " ".join(f"WHEN {rule.test} THEN {code}" for code, rule in rules.items())
    content = ", ".join(f'$name_{index}, CAST("{index}#" AS VARCHAR)' for index in raw.wanted)
    later = entry.table == "aliases" or key_of(entry.table, list(cells))  # judged by other rows
    kept = "true" if later else f'"fault#" IS NOT NULL OR "row#" <= {EXAMPLE_ROWS}'
    return f"""
        INSERT INTO "{entry.table}#" BY NAME
        WITH cells AS (SELECT *, {", ".join(untyped)} FROM "raw#" WHERE {where}),
             typed AS (SELECT *, {", ".join(values)} FROM cells),
             judged AS (SELECT *, CASE {fault} END AS "fault#" FROM {_with_leads(source, entry.table, key)})
        SELECT {", ".join(final)}, {entry.index} AS "source#", "row#", "fault#",
               hash({", ".join(f'"{index}#"' for index in raw.wanted)}) AS "hash#",
               CASE WHEN {kept} THEN json_object({content}) END AS "content#",
               CASE {" ".join(clocks) or "WHEN false THEN 0"} END AS "clock#"
        FROM judged"""


def _with_leads(source: Source, table: str, key: str) -> str:
    """SQL for typed rows with what their leads say of them."""
    if table == "leads":
        return "typed"
    if table == "events" and not source.aliases and not source.normalise:  # known or not is all; faster than a join
        known = f'CASE WHEN {key} IN (SELECT "key#" FROM "known#") THEN {key} END'
        return f'(SELECT *, {known} AS "lead#", CAST(NULL AS TIMESTAMP) AS "merged#" FROM typed)'
    return f'typed LEFT JOIN "known#" ON "key#" = {key}'


def _bindings(
    source: Source, entry: Entry, written: dict[Field, Written], raw: RawTable, statement: str
) -> dict[str, object]:
    """Return the user's values for the parameters of the statement."""
    values: dict[str, object] = {
        "yes": [value.lower().strip() for value in source.yes_values],
        "no": [value.lower().strip() for value in source.no_values],
        "direction": source.event_defaults.direction,
        "channel": source.event_defaults.channel,
        "explored": "no",
        "missing_display": entry.source.missing,
    }
    if isinstance(entry.source, OutcomeSource) and entry.by_status:
        values |= status_bindings(entry.source)
    values |= {f"constant_{name}": value for name, value in entry.source.constants.items()}
    values |= {f"where_{index}": wanted for index, wanted in enumerate(entry.source.where.values())}
    values |= {f"name_{index}": name for index, name in enumerate(raw.names)}
    for index, (column, form) in enumerate(written.items()):
        values |= form.bindings()
        values[f"missing_{index}"] = _missing(source, entry, column)
    return {name: values[name] for name in set(re.findall(r"\$(\w+)", statement))}


def _missing(source: Source, entry: Entry, column: Field) -> list[str]:
    """The spellings of "not known" of a field in this source."""
    spec = source.attributes.get(column.name)
    return entry.source.missing + (spec.missing if spec else [])


def _mark_conflicts(staging: Staging, table: str, entries: Sequence[Entry], fields: Sequence[Field]) -> None:
    """Give a fault to rows whose key an earlier row carries with other values."""
    mapped = [name for entry in entries for name in entry.mapped]
    key = key_of(table, mapped) if entries and not any(entry.by_status for entry in entries) else ()
    if not key:
        return
    code = staging.code(seen_fault(key))
    alike = normal_sql('"lead_id"', staging.source.normalise)
    same = ", ".join(alike if name == "lead_id" else identifier(name) for name in key)
    values = "{" + ", ".join(f"'{index}': {identifier(column.name)}" for index, column in enumerate(fields)) + "}"
    staging.connection.execute(f"""
        UPDATE "{table}#" SET "fault#" = {code} FROM (
            SELECT "source#" AS source, "row#" AS row FROM "{table}#" WHERE "fault#" IS NULL
            WINDOW same AS (PARTITION BY {same} ORDER BY "source#", "row#")
            QUALIFY {values} IS DISTINCT FROM first_value({values}) OVER same
        ) AS later WHERE "source#" = later.source AND "row#" = later.row""")


# Writing


def _write(staging: Staging, table: str, path: Path) -> Tally:
    """Write one contract table, sorted, each row group checked against the contract; count its rows by result."""
    fields = written_fields(staging.source, table)
    columns = arrow_schema(table, fields)
    rows = kept_rows(table, fields, by_row=not staging.source.by_creation)
    reader = staging.connection.sql(rows).to_arrow_reader(ROW_GROUP)
    groups = row_groups(reader)
    if table == "events":  # which `derive_columns` cuts anew
        pieces = (pa.Table.from_batches([batch]) for batch in reader if batch.num_rows)
        groups = without_copies(pieces, told_by="hash#")
    checked = _checked(groups, columns, table, fields)
    if table == "events":
        columns, checked = pa.schema([*columns, *DERIVED_COLUMNS]), map(derive_columns, in_complete_leads(checked))
    batches = (batch for rows in checked for batch in rows.to_batches())
    kept = write_parquet(pa.RecordBatchReader.from_batches(columns, batches), path)
    entries = [entry for entry in staging.entries if entry.table == table]
    quarantined: Counter[str] = Counter()
    for entry in entries:
        quarantined.update({staging.faults[code].reason: count for code, count in staging.set_aside(entry)})
    read, filtered = sum(entry.read for entry in entries), sum(entry.filtered for entry in entries)
    surplus = read - quarantined.total() - kept
    repeats = surplus if any("converted_at" in entry.mapped for entry in entries) else 0
    return Tally(read, filtered, kept, dict(quarantined), surplus - repeats, repeats)


def _checked(groups: Iterable[pa.Table], columns: pa.Schema, table: str, fields: Sequence[Field]) -> Iterator[pa.Table]:
    """The same rows in the contract's types; a row that breaks the contract here is a bug in this program."""
    contract = schema(table, fields)
    for group in groups:
        group = group.cast(columns)
        contract.validate(group.to_pandas())
        yield group
