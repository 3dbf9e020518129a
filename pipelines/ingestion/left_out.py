"""Rows that are left out although nothing is wrong with them: of the future, of leads left out, of merged leads.

They are marked once all tables are typed, because a table alone does not say where the data end.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from features.cohort.watermark import DaysOfRows
from features.schema.cells import identifier
from features.schema.contract import KNOWN_EARLY, NOT_IN_LEADS, RECORDED, Fault, before, day_of, is_day
from features.schema.errors import DataError, ParamsError
from features.schema.lead_ids import normal_sql
from pipelines.ingestion.mapping import Entry
from pipelines.ingestion.staging import Staging

log = logging.getLogger("leadscore")
LEFT_BY_WHERE = Fault("", "left out by where", "", left_out="where")
EVENT_TIMES = {"events": ("event_at",), "attribute_history": ("valid_from",), "contacts": ("contacted_at",)}
QUARTER = 900_000_000  # microseconds; days begin at a quarter of an hour in every zone since 1972
MOST_LEADS = 0.5  # more leads of the future say that the day of the export is wrong


def mark_rows_of_left_leads(staging: Staging, entry: Entry) -> None:
    """Count the rows of leads that `where` leaves out with those that `where` leaves out, not as bad rows."""
    if not staging.count('SELECT count(*) FROM "left#"'):
        return
    unknown = [code for code, fault in enumerate(staging.faults) if fault.reason == NOT_IN_LEADS]
    code = staging.code(LEFT_BY_WHERE)
    marked = staging.count(
        f'''UPDATE "{entry.table}#" SET "fault#" = {code} WHERE "source#" = ? AND list_contains(?, "fault#")
            AND "lead_id" IN (SELECT "lead_id" FROM "left#")''',
        entry.index,
        unknown,
    )
    entry.read, entry.filtered = entry.read - marked, entry.filtered + marked


def merge_leads(staging: Staging) -> None:
    """Let merged ids stand for the lead that they were merged into, and leave out the rows of the old leads.

    Raises
    ------
    DataError
        Where an id was merged into two leads, or ids were merged in a circle.
    """
    key, connection = normal_sql('"lead_id"', staging.source.normalise), staging.connection
    steps = _merges(staging)
    ends = {old: _end(staging, old, steps) for old in steps}
    merged = pa.table(
        {
            "lead_id": pa.array(list(ends), pa.string()),
            "into#": pa.array([end.into for end in ends.values()], pa.string()),
            "merged#": pa.array([end.at for end in ends.values()], pa.timestamp("us")),
        }
    )
    connection.register("ends#", merged)
    connection.execute(f"""
        CREATE TABLE "alias#" AS SELECT "lead#", {key} AS "key#", "created#", "ends#"."merged#", true AS "alias#"
        FROM "ends#" JOIN "known#" ON "lead#" = "into#\"""")
    connection.unregister("ends#")
    connection.execute('DELETE FROM "known#" WHERE "key#" IN (SELECT "key#" FROM "alias#")')
    connection.execute('INSERT INTO "known#" BY NAME SELECT * FROM "alias#"')
    gone = Fault("lead_id", "merged into another lead", "", left_out="merged")
    nobody = Fault("merged_into", "merged_into is not in leads", "", left_out="merged")
    left = _leave_out(staging, "leads", gone, f'{key} IN (SELECT "key#" FROM "alias#")')
    lost = _leave_out(staging, "aliases", nobody, f'{key} NOT IN (SELECT "key#" FROM "alias#")')
    log.info(
        "aliases: %s ids stand for %s leads; %s leads left out as merged, %s ids merged into none of the leads",
        *(f"{count:,}" for count in staging.rows('SELECT count(*), count(DISTINCT "lead#") FROM "alias#"')[0]),
        f"{left:,}",
        f"{lost:,}",
    )


@dataclass(frozen=True)
class Merge:
    """What an id was merged into, and when; `at` is None where it always was that lead."""

    into: str
    at: dt.datetime | None
    entry: Entry
    row: int


def _merges(staging: Staging) -> dict[str, Merge]:
    """Each merged id with its one target, both as leads spell them."""
    entries = {entry.index: entry for entry in staging.entries if entry.table == "aliases"}
    target = normal_sql('"merged_into"', staging.source.normalise)
    steps: dict[str, Merge] = {}
    for old, into, at, index, row in staging.rows(f"""
        SELECT "lead_id", coalesce("lead#", {target}), "merged_at", "source#", "row#" FROM "aliases#"
        LEFT JOIN "known#" ON "key#" = {target} WHERE "fault#" IS NULL ORDER BY "source#", "row#\""""):
        known = steps.setdefault(old, Merge(into, at, entries[index], row))
        if known.into != into:
            found = f"{old!r} merged into {known.into!r} in row {known.row} and into {into!r} in row {row}"
            raise _no_merge(entries[index], found, "one lead for each old id", "Leave one of them out.")
    return steps


def _end(staging: Staging, old: str, steps: dict[str, Merge]) -> Merge:
    """Where a chain of merges ends, known from the last of them on."""
    path, last = [old], steps[old]
    times = [last.at]
    while last.into in steps and last.into not in path:
        path.append(last.into)
        last = steps[last.into]
        times.append(last.at)
    if last.into in path:
        circle = " into ".join(map(repr, [*path[path.index(last.into) :], last.into]))
        raise _no_merge(last.entry, f"a circle: {circle} (row {last.row})", "an end", "Leave one of them out.")
    return replace(last, at=max((time for time in times if time is not None), default=None))


def _no_merge(entry: Entry, found: str, expected: str, fix: str) -> DataError:
    return DataError(entry.label, entry.mapped["merged_into"], found=found, expected=expected, fix=fix)


def _leave_out(staging: Staging, table: str, fault: Fault, test: str) -> int:
    code = staging.code(fault)
    return staging.count(f'UPDATE "{table}#" SET "fault#" = {code} WHERE "fault#" IS NULL AND ({test})')


def mark_future(staging: Staging) -> None:
    """Leave out what had not happened when the files were exported, and all rows of leads created later.

    Raises
    ------
    ParamsError
        Where `source.exported_at` is `file` and a table has no file.
    DataError
        Where more than half of the leads would be left out.
    """
    exported_at = staging.source.exported_at
    by_data = _end_of_data(staging) if exported_at == "data" else None
    if exported_at == "data" and by_data is None:
        return
    for entry in staging.entries:
        if exported_at != "data" or entry.table in RECORDED:
            _mark_later(staging, entry, _last_moment(staging, entry, by_data))
    _mark_rows_of_future_leads(staging)


def _last_moment(staging: Staging, entry: Entry, by_data: np.datetime64 | None) -> str:
    """SQL for the last moment that a table can know of; midnight stands for its whole day."""
    exported_at = staging.source.exported_at
    if exported_at == "file":
        return _written_on(entry, staging)
    if isinstance(exported_at, dt.datetime):
        return f"timezone('UTC', TIMESTAMPTZ '{exported_at.isoformat(' ')}')"
    return f"TIMESTAMP '{by_data or exported_at}'"


def _written_on(entry: Entry, staging: Staging) -> str:
    if entry.source.in_database:
        raise ParamsError(
            f"source.exported_at is file, but {entry.key} is a table of a database; give the day of the export, or data"
        )
    written = dt.datetime.fromtimestamp((staging.data / entry.source.path).stat().st_mtime, dt.UTC)
    return f"TIMESTAMP '{written.date().isoformat()}'"


def _end_of_data(staging: Staging) -> np.datetime64 | None:
    ends = [days.end for table in RECORDED if (days := _days_of_rows(staging, table)) is not None]
    return max(ends, default=None)


def _days_of_rows(staging: Staging, table: str) -> DaysOfRows | None:
    columns = (f'SELECT {identifier(name)} AS time FROM "{table}#" WHERE "fault#" IS NULL' for name in RECORDED[table])
    rows = staging.rows(f"""
        SELECT {day_of("time")} AS day, CAST(sum(rows) AS BIGINT) FROM (
            SELECT min(time) AS time, count(time) AS rows FROM ({" UNION ALL ".join(columns)})
            GROUP BY epoch_us(time) // {QUARTER}, {is_day("time")})
        WHERE day IS NOT NULL GROUP BY day ORDER BY day""")
    if not rows:
        return None
    return DaysOfRows(np.array([day for day, _ in rows], "datetime64[D]"), np.array([count for _, count in rows]))


def _mark_later(staging: Staging, entry: Entry, limit: str) -> None:
    """Give the rows of one source that lie after the limit a fault of their own; of two dates the earlier decides."""
    names = EVENT_TIMES.get(entry.table, RECORDED.get(entry.table, ()))
    known = [name for name in (*names, *(("known_at",) if entry.table == "events" else ())) if name in entry.mapped]
    if not known:
        return
    times = [identifier(name) for name in known]
    early = [code for code, fault in enumerate(staging.faults) if fault.reason == KNOWN_EARLY]
    first_or_last = ("least" if entry.table == "outcomes" else "greatest") + f"({', '.join(times)})"
    later = f"coalesce({before(limit, first_or_last)}, false)"
    near = f"{first_or_last} > {limit} - INTERVAL 1 DAY"  # of the other rows none is later, and zones are not asked
    fault = Fault(known[0], f"{known[0]} lies after the end of the data", "", left_out="future")
    code = staging.code(fault)
    marked = staging.count(
        f'''UPDATE "{entry.table}#" SET "fault#" = {code} WHERE "source#" = ?
            AND CASE WHEN {near} THEN {later} AND ("fault#" IS NULL OR list_contains(?, "fault#")) ELSE false END''',
        entry.index,
        early,
    )
    if entry.table == "outcomes":
        _clear_later(staging, entry, times, limit)
    if marked:
        _say(staging, entry, code, times[0], limit, marked)


def _clear_later(staging: Staging, entry: Entry, times: Sequence[str], limit: str) -> None:
    """A lead that was lost is lost, whatever date its conversion was expected on, and the other way round."""
    for time in times:
        staging.connection.execute(
            f'''UPDATE "{entry.table}#" SET {time} = NULL WHERE "source#" = ? AND "fault#" IS NULL
                AND coalesce({before(limit, time)}, false)''',
            [entry.index],
        )


def _say(staging: Staging, entry: Entry, code: int, time: str, limit: str, marked: int) -> None:
    row, newest, end = staging.rows(
        f'''SELECT min("row#"), CAST(max({time}) AS DATE), CAST({limit} AS DATE) FROM "{entry.table}#"
            WHERE "source#" = ? AND "fault#" = {code}''',
        entry.index,
    )[0]
    if entry.table == "leads" and marked > MOST_LEADS * entry.read:
        raise DataError(
            entry.label,
            entry.mapped["created_at"],
            found=f"{marked:,} of {entry.read:,} leads created after {end}, such as row {row}",
            expected=f"leads created by the day of the export (source.exported_at: {staging.source.exported_at})",
            fix="Correct source.exported_at, or leave it out.",
        )
    rows = f"{marked:,} rows lie" if marked > 1 else "1 row lies"
    hint = "" if staging.source.exported_at != "data" else "; where they had happened, set source.exported_at"
    log.warning(
        "%s: %s after the end of the data, %s (first row %d, newest %s): left out as the future%s",
        entry.label,
        rows,
        end,
        row,
        newest,
        hint,
    )


def _mark_rows_of_future_leads(staging: Staging) -> None:
    future = [code for code, fault in enumerate(staging.faults) if fault.left_out == "future"]
    ids = f"""SELECT "lead_id" FROM "leads#" WHERE list_contains({future}, "fault#")
              EXCEPT SELECT "lead_id" FROM "leads#" WHERE "fault#" IS NULL"""
    if not future or not staging.count(f"SELECT count(*) FROM ({ids})"):
        return
    for entry in staging.entries:
        if entry.table != "leads":
            code = staging.code(Fault("lead_id", "its lead lies after the end of the data", "", left_out="future"))
            staging.connection.execute(
                f'''UPDATE "{entry.table}#" SET "fault#" = {code}
                    WHERE "source#" = ? AND "fault#" IS NULL AND "lead_id" IN ({ids})''',
                [entry.index],
            )


def mark_unripe(staging: Staging) -> None:
    """Take back the answers of leads that are younger than `outcome_after_days` at the end of the data.

    Those that have not converted are open. Those that have are left out, because they are no lead to call any more, and
    of their age they alone would teach.
    """
    days = staging.source.outcome_after_days
    if not days:
        return
    ((end,),) = staging.rows('SELECT max("created_at") FROM "leads#" WHERE "fault#" IS NULL')
    if isinstance(staging.source.exported_at, dt.date):  # a moment is one, too
        end = staging.rows(f"SELECT CAST({_last_moment(staging, staging.entries[0], None)} AS TIMESTAMP)")[0][0]
    young = f"""SELECT "lead_id" FROM "leads#" WHERE "fault#" IS NULL
                AND "created_at" > TIMESTAMP '{end}' - to_days({days})"""
    still_open = staging.count(f"""
        UPDATE "outcomes#" SET "converted" = NULL
        WHERE "fault#" IS NULL AND NOT "converted" AND "lead_id" IN ({young})""")
    code = staging.code(Fault("", "converted, but too young for outcome_after_days", "", left_out="future"))
    won = f"""SELECT "lead_id" FROM "outcomes#" WHERE "fault#" IS NULL AND "converted" AND "lead_id" IN ({young})"""
    staging.connection.execute(f'CREATE TEMP TABLE "early#" AS {won}')
    for table in ("outcomes", "leads"):
        staging.connection.execute(
            f"""UPDATE "{table}#" SET "fault#" = {code}
                WHERE "fault#" IS NULL AND "lead_id" IN (SELECT "lead_id" FROM "early#")"""
        )
    left = staging.count('SELECT count(DISTINCT "lead_id") FROM "early#"')
    log.info(
        "outcomes: of leads younger than %d days, %s that have not converted are open, %s that have are left out",
        days,
        f"{still_open:,}",
        f"{left:,}",
    )
