"""Look at files nobody has described yet: propose a `source` mapping, with the reason for every line, and warn.

Nothing is assumed: what may mean "not known", and whatever looks as if it gave the outcome away, is left for a person
to confirm in the text, which params.yaml takes as an overlay.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.cohort.watermark import DaysOfRows
from features.schema.declarations import SnapshotParams
from features.schema.errors import DataError
from features.schema.number_guess import guess_numbers
from models.evaluation.list_coverage import DAILY
from models.evaluation.wins_on_no_list import DatedWins
from models.leakage.suspicious_names import words
from pipelines.ingestion.row_order import ALONG, FEWEST
from pipelines.inspection.attributes import attribute_lines, display_lines, flow
from pipelines.inspection.column_roles import (
    LabelColumn,
    doubt_dropped,
    doubt_mail_ids,
    find_created,
    find_event_columns,
    find_join,
    find_lead_id,
    with_alike_ids,
)
from pipelines.inspection.file_format import SAMPLE_ROWS, FileSample, sniff_filled
from pipelines.inspection.names import said_yes
from pipelines.inspection.outcome_status import find_created_by_status, find_outcome
from pipelines.inspection.report import NOTHING, Inspection, Told, lack_lines, quoted
from pipelines.inspection.time_columns import TimeColumn

MOSTLY_LATER = 0.5  # share of times after the file was written, from which the file's own time means nothing
MANY_EARLY = 0.1  # share of wins before any weekly list, above which daily lists are proposed
NO_USE = "events are of no use without dates of leads and outcomes"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FEWEST_MONTHS = 3  # different ones, that show which way they run
FEW_RUNS = 0.05  # share of the runs that shuffled rows would have, below which rows are in some order


def inspect(leads: Path, events: Path | None, outcomes: Path | None, told: Told = NOTHING) -> Inspection:
    """Look at a file of leads, and at events and outcomes where there are any.

    Parameters
    ----------
    leads, events, outcomes
        CSV (gz too), Parquet, or DuckDB files with one table. Without outcomes, a column of leads is the outcome.
    told
        What a person said of them.

    Raises
    ------
    DataError
        Where a file cannot be read, or no column can be the outcome or a lead's id.
    """
    given, empty = sniff_filled([path for path in (leads, events, outcomes) if path], may_be_empty=events)
    lead_sample, *others = given.values()
    lead_id, id_why = find_lead_id(lead_sample, others)
    (lead_sample, *others), normalise = with_alike_ids(lead_sample, lead_id, others)
    samples = dict(zip(given, [lead_sample, *others], strict=True))
    event_sample, outcome_sample = (samples.get(path) if path else None for path in (events, outcomes))
    label = find_outcome(lead_sample, outcome_sample, lead_id, told.outcome)
    inspection = Inspection(told, warnings=[*empty, *doubt_mail_ids(lead_sample, lead_id)], outcomes=label.candidates)
    created, created_why = find_created(lead_sample, label)
    where = ""
    if not created:
        created, created_why, statuses = find_created_by_status(lead_sample, label)
        listed = ", ".join(map(quoted, statuses))
        where = f"where: {{{quoted(label.status)}: [{listed}]}}  # the others have no {created}" if created else ""
    dated = inspection.dated = bool(created) and label.dated
    roles = {"lead_id": lead_id} | ({"created_at": created} if created else {})
    lines = [
        f"# Proposed from the first rows of {', '.join(sample.path.name for sample in (lead_sample, *others))}.",
        f"# Read every line and its reason, and correct it; paths are relative to the folder of {leads.name}.",
        "source:",
        *_order(inspection, lead_sample, label, created, dated),
        *_exported_at(inspection, lead_sample, event_sample, label, created),
        "  timezone: UTC  # of times without an offset; nothing in a file says which, so set your own",
        "  leads:",
        *_table(lead_sample, lead_sample, roles, [id_why, created_why], where),
        *_normalise(inspection, normalise),
        *display_lines(lead_sample),
        *attribute_lines(inspection, lead_sample, label, lead_id, created, dated),
        *_events(inspection, lead_sample, event_sample, lead_id, dated),
        *_outcomes(inspection, lead_sample, label, lead_id),
        "  stages: []",
        "  attribute_history: []  # edits of what the CRM overwrites, where it keeps them",
        *_tiers(inspection),
        *lack_lines(dated, event_sample is not None, bool(label.lost_values)),
        *(_snapshots(inspection, lead_sample, label, lead_id, created) if dated else []),
    ]
    for sample in (lead_sample, *others):
        _warn_of_sample(inspection, sample)
    # A comment ends where its line does.
    inspection.mapping = "".join(" ".join(line.splitlines()) + "\n" for line in lines)
    return inspection


def _normalise(inspection: Inspection, normalise: Sequence[str]) -> list[str]:
    if not normalise:
        return []
    inspection.warnings.append(f"ids are spelled in more than one way; they are compared after {', '.join(normalise)}")
    return [f"    normalise: [{', '.join(normalise)}]  # ids differ in spelling; scores keep that of leads"]


def _order(inspection: Inspection, leads: FileSample, label: LabelColumn, created: str, dated: bool) -> list[str]:
    if dated:
        return ["  order: dates  # leads and outcomes carry dates"]
    if created:
        inspection.warnings.append(
            f"{leads.path.name}: the outcome {(label.column or label.status)!r} has no date, so leads are ordered and "
            f"split by {created!r}, and every answer counts as final; where a lead may still convert, set "
            "outcome_after_days"
        )
        return [
            "  order: rows  # outcomes carry no dates; leads are ordered by created_at",
            "  outcome_after_days: 0  # this many days after its creation a no is final; 0: every answer is",
        ]
    runs, ways = _runs(leads.frame), directions(leads, label.of_leads)
    if runs:
        first = f"{ways[0]}; {runs}" if ways else f"{runs}; if the rows are in the order of time, set order: rows"
        ways = [first, *ways[1:]]
    inspection.warnings += [f"{leads.path.name}: {said}" for said in ways]
    return [f"  order: none  # no dates to go by{'; rows, where their order is time: ' + runs if runs else ''}"]


def _exported_at(
    inspection: Inspection, leads: FileSample, events: FileSample | None, label: LabelColumn, created: str
) -> list[str]:
    if not created:
        return []
    happened = [(events, name) for name in events.times] if events else []
    closed = [(label.sample, label.column)] if label.dated else []
    lines, warnings = propose_export([(leads, created), *happened, *closed])
    inspection.warnings += warnings
    return lines


def propose_export(columns: Iterable[tuple[FileSample, str]]) -> tuple[list[str], list[str]]:
    """The line `exported_at` where times lie after the day their file was written, and warnings of times of the future.

    Parameters
    ----------
    columns
        The files with their columns of what has happened.
    """
    lines: list[str] = []
    warnings: list[str] = []
    ends: list[tuple[str, DaysOfRows, np.datetime64]] = []
    for sample, column in columns:
        times, written = sample.moments(column).dropna(), _written_on(sample)
        late = times[times >= written + pd.Timedelta(days=1)]
        if len(late) and len(late) <= MOSTLY_LATER * len(times):
            what = f"{len(late):,} of {column} lie after the day {sample.path.name} was written, {written:%Y-%m-%d}"
            lines = lines or [f"  exported_at: file  # {what}: planned, not happened, so they are left out"]
            warnings.append(f"{sample.path.name}: {what} (newest {late.max():%Y-%m-%d}): left out as the future")
            times = times.drop(late.index)
        counts = times.dt.normalize().value_counts().sort_index()
        days = DaysOfRows(counts.index.to_numpy("datetime64[D]"), counts.to_numpy())
        if len(days.days):
            ends.append((f"{sample.path.name}: {column!r}", days, days.end))
    last = max((end for _, _, end in ends), default=np.datetime64("NaT", "D"))
    for name, days, _ in ends:
        if strays := int(days.rows[days.days > last].sum()):
            warnings.append(
                f"{name} holds {strays:,} times after {last}, where the data end (newest {days.days[-1]}): left out as "
                "the future; where they had happened, set source.exported_at"
            )
    return lines, warnings


def _written_on(sample: FileSample) -> pd.Timestamp:
    written = dt.datetime.fromtimestamp(max(file.stat().st_mtime for file in sample.files), dt.UTC)
    return pd.Timestamp(written.date()).as_unit("us")


def directions(leads: FileSample, outcome: str) -> list[str]:
    """Say which way the rows run, by each column of dates, of years or of names of months."""
    ways: dict[str, list[str]] = {"run oldest first": [], "run newest first": [], "are mixed": []}
    for name in (name for name in map(str, leads.frame) if name != outcome):
        along = _along_rows(leads, name)
        if along is not None:
            way = "run oldest first" if along > ALONG else "run newest first" if along < -ALONG else "are mixed"
            ends = leads.frame[name].dropna()
            ways[way].append(f"{name!r} ({ends.iloc[0]} in the first, {ends.iloc[-1]} in the last)")
    advice = {
        "run oldest first": "so order: rows tests on the latest of them",
        "run newest first": "so turn them round before order: rows, which would test on the earliest of them",
        "are mixed": "so their order cannot stand in for time",
    }
    mixed_alone = not ways["run oldest first"] + ways["run newest first"]
    return [
        f"the rows {way} by {', '.join(names)}, {advice[way]}"
        for way, names in ways.items()
        if names and (mixed_alone or way != "are mixed")
    ]


def _along_rows(leads: FileSample, name: str) -> float | None:
    """How a column's times go with the rows, -1 to 1; None where it holds none, or too few to say."""
    cells = leads.frame[name]
    if name in leads.times:
        return _rank_correlation(leads.moments(name))
    if {"year", "jahr"} & set(words(name)) and cells.dropna().str.fullmatch("(19|20)[0-9]{2}").all():
        return _rank_correlation(pd.to_numeric(cells))
    months = cells.dropna().str.strip().str.lower().str[:3].map({month: n for n, month in enumerate(MONTHS)})
    steps = months.diff()[lambda step: step != 0].dropna() % len(MONTHS)
    if months.isna().any() or months.nunique() < FEWEST_MONTHS:
        return None
    return float((steps < len(MONTHS) / 2).mean() - (steps > len(MONTHS) / 2).mean())


def _rank_correlation(times: pd.Series) -> float | None:
    ranks = times.rank().dropna()
    if len(ranks) < FEWEST or ranks.min() == ranks.max():
        return None
    return float(ranks.corr(pd.Series(ranks.index, ranks.index)))


def _runs(frame: pd.DataFrame) -> str:
    """Say which column comes in far fewer runs than shuffled rows would give."""
    for name, cells in frame.items():
        shares = cells.value_counts(normalize=True, dropna=False)
        expected = len(cells) * (1 - float((shares**2).sum()))
        runs = int((cells.fillna("") != cells.fillna("").shift()).sum())
        if 3 <= len(shares) <= 100 and runs < FEW_RUNS * expected:
            return f"the rows come in only {runs:,} runs of {str(name)!r}"
    return ""


def _table(
    leads: FileSample, sample: FileSample, columns: dict[str, str], reasons: Iterable[str], constants: str = ""
) -> list[str]:
    """The lines of one table below its key, four spaces in."""
    source, path = sample.source, Path(os.path.relpath(sample.path, leads.folder)).as_posix()
    mapped = {name: column for name, column in columns.items() if column}
    times = {column: sample.times[column] for column in mapped.values() if column in sample.times}
    lines = [f"path: {quoted(path)}"]
    if source.format != "csv":
        lines += [f"format: {source.format}", *([f"table: {quoted(source.table)}"] if source.table else [])]
    if source.skip_rows:
        lines.append(f"skip_rows: {source.skip_rows}  # lines above the header")
    if source.separator != ",":
        lines.append(f"separator: {quoted(source.separator)}  # cuts every row into the same number of fields")
    if source.encoding != "utf-8":
        lines.append(f"encoding: {source.encoding}  # the file holds bytes that are no utf-8")
    lines += _time_format(sample, times)
    comment = "; ".join(reason for reason in reasons if reason)
    pairs = ", ".join(f"{name}: {quoted(column)}" for name, column in mapped.items())
    lines.append(f"columns: {{{pairs}}}" + (f"  # {comment}" if comment else ""))
    return ["    " + line for line in [*lines, *([constants] if constants else [])]]


def _time_format(sample: FileSample, times: Mapping[str, TimeColumn]) -> list[str]:
    """The lines with the formats of a table's times, where they are not ISO alone, and with spellings of no date."""
    formats = list(dict.fromkeys(name for one in times.values() for name in one.formats))
    orders = {name: one.day_first for name, one in times.items() if one.day_first is not None}
    if len(set(orders.values())) > 1:
        shown = " and ".join(f"{name!r} has {'days' if first else 'months'} first" for name, first in orders.items())
        raise DataError(
            sample.path.name,
            "",
            found=f"two orders of day and month: {shown}",
            expected="one order in a table",
            fix="Export its dates as 2024-12-31.",
        )
    unknown = sorted({spelling for one in times.values() for spelling in one.unknown})
    missing = [f"missing: ['', {', '.join(map(quoted, unknown))}]  # no date"] if unknown else []
    if formats in ([], ["iso"]):
        return missing
    doubts = {one.swapped for one in times.values()} - {""}
    doubt = f"; {min(doubts)} fits as well: no day is above 12" if doubts else ""
    bad = f"all but {sum(one.bad for one in times.values()):,}" if any(one.bad for one in times.values()) else "all"
    shown = quoted(formats[0]) if len(formats) == 1 else f"[{', '.join(map(quoted, formats))}]"
    return [f"time_format: {shown}  # {bad} values fit{doubt}", *missing]


def _events(
    inspection: Inspection, leads: FileSample, events: FileSample | None, lead_id: str, dated: bool
) -> list[str]:
    if events is None or not dated:
        inspection.warnings += [f"{events.path.name}: {NO_USE}"] if events else []
        return ["  events: []", "  event_labels: {}"]
    join, why = find_join(events, leads, lead_id)
    roles = find_event_columns(events, join)
    constants = ""
    if "event_type" not in roles:
        event_type = "_".join(words(events.path.name.split(".")[0]))
        constants = f"constants: {{event_type: {quoted(event_type)}}}  # no column has it; named after the file"
    flags = [str(name) for name in events.frame if set(events.frame[name].dropna()) == {"0", "1"}]
    lines = _table(leads, events, {"lead_id": join} | roles, [why], constants)
    values = guess_numbers(events.frame[roles["value"]].dropna().tolist()) if "value" in roles else None
    lines += [f"    number_format: {flow(values.written)}"] if values and values.written else []
    if flags:
        lines.append(f"    # {', '.join(flags)} hold 0 and 1; for one event type each, repeat the table with")
        lines.append(f'    # where: {{{quoted(flags[0])}: ["1"]}} and constants: {{event_type: {quoted(flags[0])}}}')
    listed = ["    - " + lines[0].strip(), *("  " + line for line in lines[1:])]
    return ["  events:", *listed, "  event_labels: {}  # event type: what reports call it"]


def _outcomes(inspection: Inspection, leads: FileSample, label: LabelColumn, lead_id: str) -> list[str]:
    columns = {"lead_id": label.lead_id, "converted_at" if label.dated else "converted": label.column}
    columns |= {"lost_at": label.lost} if label.lost else {}
    columns |= {"converted": label.flag} if label.flag else {}
    if label.status:
        columns = {"lead_id": label.lead_id, "status": label.status, "closed_at": label.column}
    lines = ["  outcomes:", *_table(leads, label.sample, columns, [label.why]), *_statuses(label)]
    lines += [f"    # not the outcome: {reason}" for reason in label.passed_over]
    if not label.of_leads:
        rest = [str(name) for name in label.sample.frame if name not in columns.values()]
        lines += [f"    # not read, known only with the outcome: {', '.join(rest)}"] if rest else []
    if label.yes and not said_yes(label.yes):
        read = f"{label.column!r} is read as converted where it says {label.yes!r}"
        inspection.warnings.append(f"{label.sample.path.name}: {read}")
    return [
        *lines,
        f"  yes_values: [{quoted(label.yes) if label.yes else ''}]",
        f"  no_values: [{quoted(label.no) if label.no else ''}]",
    ]


def _statuses(label: LabelColumn) -> list[str]:
    """The lines with the spellings of won and lost, and all others as a comment."""
    if not label.status:
        return []
    won, lost = label.won_values, label.lost_values
    counts = label.sample.frame[label.status].value_counts()
    others = ", ".join(f"{value} ({count:,})" for value, count in counts.items() if value not in won + lost)
    return [
        f"    won_values: [{', '.join(map(quoted, won))}]",
        f"    lost_values: [{', '.join(map(quoted, lost))}]  # read as open: {others or 'none'}",
    ]


def _tiers(inspection: Inspection) -> list[str]:
    """The lines of leads that teach and are not called; they are proposed with the attributes."""
    head = ["tiers:", "  exclusions:  # closed, as the CRM says today; they teach, and stand on no list"]
    return [*head, *inspection.exclusions] if inspection.exclusions else []


def _snapshots(inspection: Inspection, leads: FileSample, label: LabelColumn, lead_id: str, created: str) -> list[str]:
    """The section `snapshots` with lists as often as wins come soon after creation, and how soon they come."""
    horizon = inspection.told.horizon_days
    asked = "  # converts within this many days?"
    until_when = (
        f"  horizon_days: {horizon}" if horizon else f"  # horizon_days: {SnapshotParams().horizon_days}{asked}"
    )
    created_at, converted_at = leads.moments(created), label.converted_at(leads.frame, lead_id)
    both = pd.DataFrame({"lead_id": range(len(created_at)), "created_at": created_at, "converted_at": converted_at})
    both = both[both["converted_at"] >= both["created_at"]].astype(dict.fromkeys(both.columns[1:], "datetime64[us]"))
    if both.empty:
        return ["snapshots:", until_when] if horizon else []
    weekly, until = SnapshotParams(), both["converted_at"].max()
    wins = DatedWins.of(both, both.assign(lost_at=pd.Series(pd.NaT, both.index, "datetime64[us]")), weekly, until)
    early, daily = wins.before, wins.daily_before
    days, closer = wins.rows["age_days"], early > MANY_EARLY and daily < early
    chosen = weekly.model_copy(update=DAILY) if closer else weekly
    inspection.soon = f"half of the wins came within {days.median():.1f} days of creation"
    soon = f"{(days < 1).mean():.1%} within a day, {(days < 7).mean():.1%} within a week"
    missed = f"weekly lists from the age of a day on would come too late for {early:.1%}, daily ones for {daily:.1%}"
    return [
        f"snapshots:  # of {len(days):,} wins half came within {days.median():.1f} days of creation, {soon}",
        f"  every_days: {chosen.every_days}  # {missed}{'; capacity.per_period is leads a day then' if closer else ''}",
        f"  min_age_days: {chosen.min_age_days}",
        until_when,
    ]


def _warn_of_sample(inspection: Inspection, sample: FileSample) -> None:
    name = sample.path.name
    inspection.warnings += doubt_dropped(sample)
    if sample.cut:
        inspection.warnings.append(f"{name}: only the first {SAMPLE_ROWS:,} rows were looked at")
    if sample.source.encoding != "utf-8":
        inspection.warnings.append(
            f"{name}: read as {sample.source.encoding}; check that names with accents look right"
        )
    for column, one in sample.times.items():
        if one.swapped:
            inspection.warnings.append(
                f"{name}: {column!r} fits {one.formats[0]} and {one.swapped}: no day is above 12; check which"
            )
        if one.bad:
            inspection.warnings.append(
                f"{name}: {column!r} is a date with {one.bad:,} bad values of {one.filled:,}: {one.examples} fit no "
                f"{' or '.join(one.formats)}; rows with a bad date that is mapped go to the quarantine"
            )
    for column, why in sample.unread.items():
        inspection.warnings.append(f"{name}: {column!r} is named like a date, but {why}; set time_format to read it")
