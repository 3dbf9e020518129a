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
    found = _along(staging, entry)
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


def _along(staging: Staging, entry: Entry) -> dict[str, tuple[float, str, str]]:
    """How the dates of each column go with the rows' numbers, and the first and last of them.

    Where day and month may be either, the reading counts that goes along with the rows the more, either way.
    """
    every = max(1, entry.read // LOOKED_AT)
    rows = staging.rows(
        f"""WITH looked_at AS (SELECT "row#", from_json("content#", '"MAP(VARCHAR, VARCHAR)"') AS content
                               FROM "{entry.table}#" WHERE "row#" % {every} = 0),
                 cells AS (SELECT "row#", unnest(map_entries(content)) AS cell,
                                  unnest(range(cardinality(content)::BIGINT)) AS nth FROM looked_at),
                 filled AS (SELECT "row#", nth, cell.key AS name, cell.value AS cell,
                                   CASE WHEN cell.value LIKE '%-%' THEN TRY_CAST(cell.value AS TIMESTAMP) END AS iso
                            FROM cells WHERE cell.value <> ''),
                 times AS (SELECT *, unnest([coalesce(iso, try_strptime(cell, $1)),
                                             coalesce(iso, try_strptime(cell, $2))]) AS t, unnest([1, 2]) AS reading
                           FROM filled)
            SELECT name, corr("row#", epoch(t)) AS along, arg_min(cell, "row#"), arg_max(cell, "row#")
            FROM times GROUP BY name, reading
            HAVING count(t) >= {FEWEST} AND count(t) >= {DATES} * count(*) AND along IS NOT NULL
            ORDER BY min(nth), abs(along), reading DESC""",
        FORMATS + DAY_FIRST,
        FORMATS + MONTH_FIRST,
    )
    return {name: (float(along), str(first), str(last)) for name, along, first, last in rows}


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
