"""Whether time runs as the mapping says: rows in their order, days and years of two digits each, changes of clocks.

Whatever contradicts it is refused, or said where only a person can know.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from features.schema.cells import Field, identifier
from features.schema.errors import DataError
from pipelines.ingestion.mapping import Entry
from pipelines.ingestion.staging import Staging

log = logging.getLogger("leadscore")
FORMATS = ["%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%Y%m%d"]
FORMATS += ["%Y/%m/%d", "%d-%m-%Y"]
DAY_FIRST = ["%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%y"]
MONTH_FIRST = ["%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%m/%d/%y"]
LOOKED_AT, FEWEST = 2000, 20  # rows, evenly over the file; too few of them show no direction
DATES = 0.9  # share of a column's values that are dates
ALONG = 0.5  # correlation of a column of dates with the rows' numbers, from which the rows run along it
CREATED = {"created", "create", "creation", "registered", "added", "date", "datum", "erstellt", "timestamp"}


def check_direction(staging: Staging, entry: Entry) -> None:
    """Refuse rows that run from newest to oldest, because a model would be tested on the earliest of them.

    Raises
    ------
    DataError
        Naming the column of dates, and its value in the first and the last row.
    """
    if staging.source.order != "rows" or staging.source.by_creation:
        return
    found = {name: said for name in _columns(staging, entry) if (said := _along(staging, entry, name))}
    if any(correlation > ALONG for correlation, _, _ in found.values()):
        return
    for name, (correlation, first, last) in found.items():
        if correlation < -ALONG:
            raise DataError(
                entry.label,
                name,
                found=f"rows from newest to oldest, {first!r} in the first and {last!r} in the last",
                expected="rows in the order of time, as order: rows says",
                fix=f"Map it: {entry.key}.columns: {{created_at: {name}}}; leads are then ordered by it.",
            )
        if CREATED & set(re.split(r"[^a-z]+", name.lower())):
            log.warning("%s: rows are not in the order of %s; map it as created_at where it is", entry.label, name)


def _columns(staging: Staging, entry: Entry) -> list[str]:
    keys = staging.rows(f'SELECT json_keys("content#") FROM "{entry.table}#" ORDER BY "row#" LIMIT 1')
    return [str(key) for key in keys[0][0]] if keys else []


def _along(staging: Staging, entry: Entry, column: str) -> tuple[float, str, str] | None:
    """How the dates of a column go with the rows' numbers, and the first and last of them; None without dates.

    Where day and month may be either, the reading counts that goes along with the rows the more, either way.
    """
    readings = [_read_as(staging, entry, column, FORMATS + slashes) for slashes in (DAY_FIRST, MONTH_FIRST)]
    return max((one for one in readings if one), key=lambda one: abs(one[0]), default=None)


def _read_as(staging: Staging, entry: Entry, column: str, formats: list[str]) -> tuple[float, str, str] | None:
    pointer = "/" + column.replace("~", "~0").replace("/", "~1")
    every = max(1, entry.read // LOOKED_AT)
    rows = staging.rows(
        f"""WITH cells AS (SELECT "row#", "content#" ->> ? AS cell FROM "{entry.table}#" WHERE "row#" % {every} = 0),
                 times AS (SELECT *, CASE WHEN cell LIKE '%-%' THEN TRY_CAST(cell AS TIMESTAMP) END AS iso,
                                  try_strptime(cell, ?) AS other FROM cells WHERE cell <> '')
            SELECT count(*), count(coalesce(iso, other)), corr("row#", epoch(coalesce(iso, other))),
                   arg_min(cell, "row#"), arg_max(cell, "row#") FROM times""",
        pointer,
        formats,
    )
    filled, dates, correlation, first, last = rows[0]
    if dates < FEWEST or dates < DATES * filled or correlation is None:
        return None
    return float(correlation), str(first), str(last)


def warn_of_other_century(staging: Staging, entry: Entry, times: Sequence[str]) -> None:
    """Say where dates such as 20-10-16 may begin with the year as well as with the day, and then span less time.

    Parameters
    ----------
    times
        The contract's columns of times that the table has as text.
    """
    short = [one for one in entry.source.time_formats if re.fullmatch(r"%([dy])(\W)%m\2%(?!\1)[dy].*", one)]
    if len(entry.source.time_formats) != 1 or not short:
        return
    other = short[0].translate(str.maketrans("dy", "yd"))
    for name in times:
        span, shorter, given, turned = staging.rows(f"""
            WITH times AS (SELECT {identifier(name)} AS t FROM "{entry.table}#" WHERE "source#" = {entry.index}),
                 read AS (SELECT t, TRY_CAST(2000 + day(t) || '-' || month(t) || '-' || year(t) % 100 AS DATE) AS o
                          FROM times WHERE t IS NOT NULL)
            SELECT date_diff('year', min(t), max(t)),
                   CASE WHEN count(*) = count(o) THEN date_diff('year', min(o), max(o)) END,
                   strftime(min(t), '%Y-%m-%d') || ' to ' || strftime(max(t), '%Y-%m-%d'),
                   strftime(min(o), '%Y-%m-%d') || ' to ' || strftime(max(o), '%Y-%m-%d') FROM read""")[0]
        if shorter is not None and shorter < span:
            said = f"fit {short[0]}, {given}, and {other} as well, {turned}; set time_format to the one that is meant"
            log.warning("%s: all values of %s %s", entry.label, entry.mapped.get(name) or name, said)


def warn_of_clock_changes(staging: Staging, entry: Entry, fields: Sequence[Field]) -> None:
    """Say how many times without an offset the source's time zone does not have, or has twice."""
    zone = staging.source.timezone
    for code, count, row in staging.rows(f"""SELECT "clock#", count(*), min("row#") FROM "{entry.table}#"
            WHERE "clock#" IS NOT NULL AND "source#" = {entry.index} GROUP BY 1 ORDER BY 1"""):
        name = fields[code // 2].name
        log.warning(
            "%s: %s values of %s %s; export times with their offset",
            entry.label,
            f"{count:,}",
            entry.mapped.get(name) or name,
            f"come twice in {zone}, as clocks went back, first in row {row:,}: taken for the later hour"
            if code % 2
            else f"do not exist in {zone}, as clocks went forward, first in row {row:,}: read an hour later",
        )
