"""Outcomes by a status: one column says won, lost or open, and one date says when the deal closed.

A closing date alone is no conversion: of the deals that have one, many are lost, and an open deal carries the date on
which somebody hopes to close it.
"""

from __future__ import annotations

import logging

from features.schema.cells import CellKind, as_text
from features.schema.contract import Fault
from features.schema.errors import DataError
from pipelines.config.source import OutcomeSource
from pipelines.ingestion.mapping import Entry
from pipelines.ingestion.raw_table import RawTable
from pipelines.ingestion.staging import Staging

log = logging.getLogger("leadscore")
WON, LOST = "won", "lost"  # as a status is written in a cell of `converted`
UNDATED_LOSS = Fault("lost_at", "lost without a date", 'NOT "converted" AND "lost_at" IS NULL')


def cells_by_status(entry: Entry, raw: RawTable) -> dict[str, tuple[str, CellKind]]:
    """Map converted, converted_at and lost_at to their SQL in a table with a status; also records them as mapped.

    Examples
    --------
    With won_values [Closed Won] and lost_values [Closed Lost]:

    ============ =========== == ========= ============ ==========
    status       closed_at      converted converted_at lost_at
    ============ =========== == ========= ============ ==========
    Closed Won   2024-03-01     won       2024-03-01
    Closed Lost  2024-03-02     lost                   2024-03-02
    Negotiation  2024-12-31
    ============ =========== == ========= ============ ==========
    """
    columns = entry.source.columns or {}
    status = f"lower(trim({as_text(*raw.cell(columns['status'], f'{entry.key}.columns.status'))}))"
    won, lost = f"list_contains($won, {status})", f"list_contains($lost, {status})"
    entry.mapped["converted"] = columns["status"]
    cells: dict[str, tuple[str, CellKind]] = {
        "converted": (f"CASE WHEN {won} THEN '{WON}' WHEN {lost} THEN '{LOST}' END", "text")
    }
    for name, holds in (("converted_at", won), ("lost_at", lost)):
        column = columns.get(name, columns.get("closed_at", ""))
        if column:
            cell, kind = raw.cell(column, f"{entry.key}.columns.{name if name in columns else 'closed_at'}")
            cells[name] = f"CASE WHEN {holds} THEN {cell} END", kind
            entry.mapped[name] = column
    return cells


def status_bindings(source: OutcomeSource) -> dict[str, object]:
    """Return the spellings for the parameters of the statement."""
    return {
        "won": [value.lower().strip() for value in source.won_values],
        "lost": [value.lower().strip() for value in source.lost_values],
        "yes": [WON],
        "no": [LOST],
    }


def check_statuses(staging: Staging, entry: Entry) -> None:
    """Say how many leads each status makes won, lost and open; raise DataError where none is won."""
    if not isinstance(entry.source, OutcomeSource) or not entry.source.by_status:
        return
    counts = (
        'SELECT count(*) FILTER ("converted"), count(*) FILTER (NOT "converted"), count(*) FILTER ("converted" IS NULL)'
    )
    ((won, lost, still_open),) = staging.rows(f'{counts} FROM "{entry.table}#" WHERE "source#" = ?', entry.index)
    column = entry.mapped["converted"]
    if won + lost + still_open and not won:
        raise DataError(
            entry.label,
            column,
            found="the values " + ", ".join(repr(value) for value in staging.spellings(entry, column)),
            expected=f"some of {entry.key}.won_values {entry.source.won_values}",
            fix=f"Write the values of a won lead into {entry.key}.won_values, those of a lost one into lost_values.",
        )
    others = [value for value in staging.spellings(entry, column) if not _listed(value, entry.source)]
    named = f" ({', '.join(others)})" if still_open and others else ""
    log.info(
        "%s: by %s %s won, %s lost, %s open%s", entry.label, column, f"{won:,}", f"{lost:,}", f"{still_open:,}", named
    )
    if entry.source.lost_values and not lost:
        log.warning("%s: no row has one of lost_values %s", entry.label, entry.source.lost_values)


def _listed(value: str, source: OutcomeSource) -> bool:
    return value.lower().strip() in {one.lower().strip() for one in source.won_values + source.lost_values}
