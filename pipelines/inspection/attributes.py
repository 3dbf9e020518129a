"""The attributes of a proposed mapping: a line for each column that is read, and the reason why another is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial

import pandas as pd
import yaml

from features.schema.number_format import NumberFormat
from features.schema.number_guess import plain_number
from models.leakage.suspicious_names import words
from pipelines.config.source import SCORED
from pipelines.ingestion.mapping import RESERVED
from pipelines.inspection.column_facts import (
    MOSTLY,
    ColumnFacts,
    decimal_mark,
    describe,
    doubts,
    late_dates,
    leaks,
)
from pipelines.inspection.column_roles import Contacts, LabelColumn, find_contacts, find_repeats, named_owner
from pipelines.inspection.file_format import FileSample
from pipelines.inspection.outcome_status import closed_values, filled_at_closing
from pipelines.inspection.report import Inspection, quoted

NOT_READ = {"id": "an id", "constant": "tells nothing", "empty": "empty", "text": "free text", "time": "a date"}
NOT_READ |= {"mixed": "no plain numbers"}
COUNTS_ON = "it counts on until the day of the export; give what leads do as events"
ASSIGNED = "who works a lead is decided after its creation and changes; with its edits it may be known: history"
LONE_FIRMS = 0.5  # different names for each filled row, above which the name of a firm says little
FEW_HOURS = 0.1  # share of times with a time of day, below which the hour says nothing
TWO_YEARS = 730  # days, below which a month of the year is no season, but a moment
ENGAGEMENT_WORDS = "visit visits visited session sessions open opens opened page pages pageviews views click clicks"
ENGAGEMENT_WORDS += " clicked minutes downloads webinars email emails messages chats calls meetings replies activities"
ENGAGEMENT_WORDS += " besuche sitzungen anrufe klicks aktivitaten visites appels clics visitas llamadas bezoeken"
ENGAGEMENT = {*ENGAGEMENT_WORDS.split()}


def display_lines(leads: FileSample) -> list[str]:
    """The line of what people are shown of a lead; the columns' own names, but where the scores have one like it."""
    shown = {name.lower(): name for name in find_contacts(leads).shown if name.isprintable()}
    labels = [f"crm {name}" if lower in SCORED else name for lower, name in shown.items()]
    pairs = ", ".join(f"{quoted(label)}: {quoted(name)}" for label, name in zip(labels, shown.values(), strict=True))
    owner = next((label for label, name in zip(labels, shown.values(), strict=True) if named_owner(name)), "")
    lists = f"; a list for each owner: lists.owner: {quoted(owner)}" if owner else ""
    return [f"    display: {{{pairs}}}  # beside the scores, for people; no feature, no log{lists}"] if pairs else []


def attribute_lines(
    inspection: Inspection, leads: FileSample, label: LabelColumn, lead_id: str, created: str, dated: bool
) -> list[str]:
    taken = {lead_id, created, label.of_leads, *((label.lost, label.status) if label.of_leads else ())}
    open_to_use = [str(name) for name in leads.frame if name not in taken]
    mark = decimal_mark(leads.frame[name] for name in open_to_use if name not in leads.times)
    facts = [describe(name, leads.frame[name], name in leads.times, mark) for name in open_to_use]
    private = _private(leads.frame, find_contacts(leads))
    useful = [one for one in facts if one.look not in NOT_READ and one.missing_share <= MOSTLY]
    read = [one for one in useful if one.name not in private]
    suspects = leaks(_plain(leads.frame, read), [one.name for one in read], label.converted(leads.frame, lead_id))
    names = _names(read)
    for one in read:
        suspects[one.name] = suspects.get(one.name, []) + filled_at_closing(leads.frame[one.name], label)
        suspects[one.name] += _propose_exclusion(inspection, leads, one, names[one.name])
        suspects[one.name] += [COUNTS_ON] if dated and _counts_on(one) else []
        suspects[one.name] += [ASSIGNED] if named_owner(one.name) else []
        suspects[one.name] += ["it is filled in later, as you said"] if one.name in inspection.told.late else []
    inspection.at_creation = [one.name for one in read if not suspects[one.name]]
    suspects = {name: reasons for name, reasons in suspects.items() if reasons}
    _warn_of_dates(inspection, leads, label.converted_at(leads.frame, lead_id), facts)
    for name, reasons in suspects.items():
        inspection.warnings.append(f"{leads.path.name}: {name!r} looks leaky: {'; '.join(reasons)}")
    inspection.warnings += [f"{leads.path.name}: {said}" for one in facts for said in doubts(one)]
    if repeats := find_repeats(leads):
        inspection.warnings.append(f"{leads.path.name}: {repeats}")
    known = "creation" if dated else "export"
    lines = [
        "  attributes:"
        + ("" if read or (created and not dated) else " {}")
        + (f"  # known: {known} unless it looks leaky; check when each is written" if read else "")
    ]
    for one in read:
        lines += _attribute(one, names[one.name], suspects.get(one.name, []), known)
    if created and not dated:
        lines += _parts_of(leads, created, names)
    return lines + [
        f"    # not read: {one.name} ({private.get(one.name) or _not_read(one)})" for one in facts if one not in read
    ]


def _private(frame: pd.DataFrame, who: Contacts) -> dict[str, str]:
    """Columns that say who a lead is and tell nothing of others, with the reason; a firm of many leads tells."""
    private = dict.fromkeys(who.person, "a person's name") | ({who.phone: "a phone number"} if who.phone else {})
    alone = who.company and frame[who.company].nunique() > LONE_FIRMS * frame[who.company].notna().sum()
    return private | ({who.company: "a name that most rows have alone"} if alone else {})


def _counts_on(one: ColumnFacts) -> bool:
    """Whether a column is named like a count of what leads do."""
    return one.look == "number" and bool(ENGAGEMENT & set(words(one.name)))


def _propose_exclusion(inspection: Inspection, leads: FileSample, one: ColumnFacts, name: str) -> list[str]:
    """Leave leads that the CRM calls closed off the list; return the reason why the column is no feature."""
    closed = closed_values(one.name, leads.frame[one.name]) if one.look == "category" else {}
    if not closed:
        return []
    said, values = ", ".join(map(repr, closed)), ", ".join(map(quoted, closed))
    inspection.exclusions.append(
        f"    - {{name: {quoted(f'closed by {name}')}, when: {{attribute: {_key(name)}, test: is, value: [{values}]}}, "
        f"tier: excluded}}  # {sum(closed.values()):,} of {one.rows:,} rows"
    )
    inspection.warnings.append(
        f"{leads.path.name}: {one.name!r} says {said} in {sum(closed.values()):,} of {one.rows:,} rows; such leads "
        "teach, and tiers.exclusions keeps them off the list"
    )
    return [f"{said} say what became of the lead"]


def _plain(frame: pd.DataFrame, facts: Iterable[ColumnFacts]) -> pd.DataFrame:
    """The leads with their numbers written plainly."""
    forms = {one.name: one.numbers.written for one in facts if one.numbers and one.numbers.written}
    plain = {name: frame[name].map(partial(plain_number, written=form), "ignore") for name, form in forms.items()}
    return frame.assign(**{name: cells.astype("str") for name, cells in plain.items()})


def _parts_of(leads: FileSample, created: str, names: dict[str, str]) -> list[str]:
    """The lines of what the date of creation says besides the order."""
    times = leads.moments(created).dropna()
    parts = ["weekday", *(["hour"] if (times.dt.normalize() != times).mean() > FEW_HOURS else [])]
    parts += ["month"] if len(times) and (times.max() - times.min()).days > TWO_YEARS else []
    return [
        f"    created_{part}: {{column: {quoted(created)}, part: {part}, known: creation, "
        f"label: {quoted(f'{part} of creation')}}}"
        for part in parts
        if f"created_{part}" not in names.values()
    ]


def _not_read(one: ColumnFacts) -> str:
    return f"{NOT_READ[one.look]}: {one.why}" if one.look in NOT_READ else f"{one.missing_share:.0%} empty"


def _attribute(one: ColumnFacts, name: str, suspicion: list[str], known: str) -> list[str]:
    parts = [f"column: {quoted(one.name)}"]
    if one.look != "category" or one.is_coded:
        parts.append(f"kind: {one.look}")
    if one.numbers and one.numbers.written:
        parts.append(f"number_format: {flow(one.numbers.written)}")
    if one.numbers and one.absent:
        parts.append(f"missing: [{', '.join(map(quoted, one.absent))}]")
    if _counts_on(one):
        parts.append("group: engagement")
    parts += [f"known: {'outcome' if suspicion else known}", f"label: {quoted(label_of(one.name) or name)}"]
    if suspicion:
        parts.append(f"why: {quoted('; '.join(suspicion))}")
    empty = f", {one.missing_share:.0%} empty" if one.filled < one.rows else ""
    lines = [f"    {_key(name)}: {{{', '.join(parts)}}}  # {one.why}{empty}"]
    for spelling, count in one.placeholders.items():
        if spelling in one.absent:
            continue
        also = " (NA is Namibia too)" if spelling == "NA" else ""
        where = f"{spelling!r} stands in {count:,} rows{also}"
        lines.append(f"    #   {where}; where it means not known: missing: [{quoted(spelling)}]")
    return lines


def label_of(name: str) -> str:
    """What reports call a column: its words in small letters, umlauts and accents kept."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return " ".join(part.lower() for part in re.split(r"[\W_]+", parted) if part)


def _names(facts: Iterable[ColumnFacts]) -> dict[str, str]:
    """A name for each column: its words, made different where they are not."""
    taken, names = set(RESERVED), {}
    for one in facts:
        stem = re.sub(r"^[^a-z]+", "", "_".join(words(one.name))) or "column"
        name = next(name for name in (stem, *(f"{stem}_{number}" for number in range(2, 10_000))) if name not in taken)
        taken.add(name)
        names[one.name] = name
    return names


def _key(name: str) -> str:
    """A name as a YAML key; `no` and `y` are truth values unless quoted."""
    return name if yaml.safe_load(name) == name else quoted(name)


def _warn_of_dates(
    inspection: Inspection,
    leads: FileSample,
    converted_at: pd.Series[pd.Timestamp] | None,
    facts: Iterable[ColumnFacts],
) -> None:
    """Dates of leads that lie after the lead's own conversion were written after it."""
    for one in facts:
        if one.look == "time" and converted_at is not None:
            for reason in late_dates(leads.moments(one.name), converted_at):
                inspection.warnings.append(f"{leads.path.name}: {one.name!r} looks leaky: {reason}")


def flow(written: NumberFormat) -> str:
    """A number format as YAML on one line."""
    given = written.model_dump(exclude_defaults=True)
    parts = {"ignore": lambda words: f"[{', '.join(map(quoted, words))}]", "multiples": _factors}
    return "{" + ", ".join(f"{key}: {parts.get(key, quoted)(value)}" for key, value in given.items()) + "}"


def _factors(multiples: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{quoted(name)}: {factor:.0f}" for name, factor in multiples.items()) + "}"
