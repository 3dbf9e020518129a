"""Which column is the outcome: by its name, its values, and whether a date and a yes or no agree."""

from __future__ import annotations

from dataclasses import dataclass, replace

from features.schema.errors import DataError
from models.leakage.suspicious_names import words
from pipelines.inspection.column_roles import FULL, LabelColumn, find_join
from pipelines.inspection.file_format import FileSample
from pipelines.inspection.names import named_created, named_lost, named_outcome, said_no, said_yes
from pipelines.inspection.report import quoted

AGREE = 0.95  # share of rows where a date is filled if and only if the answer is yes
SHOWN = 5
PERHAPS, CLEARLY = 1, 2  # as `named_outcome` says


@dataclass(frozen=True)
class _Flag:
    """A column of two values, which of them is yes, and how clearly its name says that it is the outcome."""

    column: str
    yes: str
    no: str
    named: int
    spelled: bool


def find_label(leads: FileSample, outcomes: FileSample | None, lead_id: str) -> LabelColumn:
    """The outcome: a date or a yes/no in the outcomes, or in the leads' own table.

    Raises
    ------
    DataError
        Where no column can be it.
    """
    if outcomes is not None:
        return _label_of(outcomes, find_join(outcomes, leads, lead_id)[0], sparse=False)
    own = _label_of(leads, lead_id, sparse=True)
    return replace(own, of_leads=own.column)


def _label_of(sample: FileSample, lead_id: str, sparse: bool) -> LabelColumn:
    """The outcome of a table; where `sparse`, dates must have gaps, as not all leads have converted."""
    flags = _flags(sample)
    lost = next((name for name in sample.times if named_lost(name)), "")
    dates = [name for name in sample.times if name != lost and named_created(name) == 0]
    if sparse:
        dates = [name for name in dates if sample.frame[name].notna().mean() < FULL]
    named = sorted((name for name in dates if named_outcome(name)), key=lambda name: -named_outcome(name))
    label = _agreeing(sample, lead_id, flags, named)
    if label is None and not named:
        label = _agreeing_alone(sample, lead_id, [flag for flag in flags if flag.named], dates)
    label = label or _best(sample, lead_id, flags, named)
    if label is None and not sparse and len(dates) == 1:
        label = LabelColumn(sample, lead_id, dates[0], True, f"{dates[0]}: the only date")
    if label is None:
        raise _no_outcome(sample, perhaps_outcomes(sample) if sparse else [])
    passed = tuple(_passed_over(sample, label, flags, named))
    return replace(label, lost=lost if label.dated else "", passed_over=passed)


def perhaps_outcomes(leads: FileSample) -> list[str]:
    """Columns that no name explains, and that may be the outcome: dates of some leads alone, two answers, a status."""
    created = [name for name in leads.times if leads.frame[name].notna().mean() >= FULL]
    found = []
    for name in map(str, leads.frame):
        share = leads.frame[name].notna().mean()
        if name in leads.times:
            later = [(leads.moments(name) >= leads.moments(one))[leads.frame[name].notna()].mean() for one in created]
            found += [name] if 0 < share < FULL and all(one >= FULL for one in later) else []
        elif _as_flag(leads, name, ""):
            found.append(name)
    return found


def label_of_chosen(sample: FileSample, lead_id: str, name: str) -> LabelColumn | None:
    """The outcome that a person names: a date of some rows, or two answers; None where it is neither."""
    if name in sample.times:
        some = sample.frame[name].notna().mean() < FULL
        return LabelColumn(sample, lead_id, name, True, f"{name}: as you said") if some else None
    flag = _as_flag(sample, name, name)
    why = f"{name}: as you said"
    return LabelColumn(sample, lead_id, name, False, why, yes=flag.yes, no=flag.no) if flag else None


def _flags(sample: FileSample) -> list[_Flag]:
    """Columns of two values that may be the outcome, the best first; the last column if its values are yes and no."""
    last = str(sample.frame.columns[-1])
    flags = [flag for name in map(str, sample.frame) if (flag := _as_flag(sample, name, last))]
    return sorted(flags, key=lambda flag: (-flag.named, not flag.spelled))


def _as_flag(sample: FileSample, name: str, trusted: str) -> _Flag | None:
    """A column as a yes and no, None where it has not two values, or neither they nor its name say that it is one.

    The values of the column `trusted` need no such name; "" trusts any that are spelled as yes and no.
    """
    counts = sample.frame[name].dropna().str.strip().value_counts()
    spellings = {str(value).lower(): str(value) for value in reversed(counts.index)}
    if len(spellings) != 2 or name in sample.times:
        return None
    common, rare = list(spellings.values())[::-1]
    spelled = said_yes(common) != said_yes(rare) or said_no(common) != said_no(rare)
    turned = said_yes(common) or said_no(rare)
    yes, no = (common, rare) if turned else (rare, common)
    named_here = named_outcome(name)
    told = named_here >= CLEARLY or (spelled and (named_here or trusted in (name, "")))
    return _Flag(name, yes, no, named_here, spelled) if told else None


def _agreeing(sample: FileSample, lead_id: str, flags: list[_Flag], dates: list[str]) -> LabelColumn | None:
    """A date that is filled where a yes/no says yes: it says the same, and when."""
    for flag in flags:
        for date in dates:
            share = _agreement(sample, flag, date)
            if share >= AGREE:
                some = f" in {share:.1%} of the rows; the others go to the quarantine" if share < 1 else ""
                why = f"{date}: a date named like an outcome, and filled where {flag.column} is {flag.yes!r}{some}"
                mapped = flag.column if share < 1 else ""
                return LabelColumn(sample, lead_id, date, True, why, yes=flag.yes, no=flag.no, flag=mapped)
    return None


def _agreeing_alone(sample: FileSample, lead_id: str, named: list[_Flag], dates: list[str]) -> LabelColumn | None:
    """A date that is filled where a yes/no says yes, where only one pair is so; the date's name does not say it."""
    flags = named or [flag for name in map(str, sample.frame) if (flag := _as_flag(sample, name, ""))]
    pairs = [(flag, date) for flag in flags for date in dates if _agreement(sample, flag, date) == 1]
    if len(pairs) != 1:
        return None
    flag, date = pairs[0]
    why = f"{date}: a date that is filled where {flag.column} is {flag.yes!r}; no name says more: a guess"
    return LabelColumn(sample, lead_id, date, True, why, yes=flag.yes, no=flag.no)


def _agreement(sample: FileSample, flag: _Flag, date: str) -> float:
    answers = sample.frame[flag.column].str.strip().str.lower()
    return float((sample.frame[date].notna() == (answers == flag.yes.lower())).mean())


def _best(sample: FileSample, lead_id: str, flags: list[_Flag], dates: list[str]) -> LabelColumn | None:
    """The column that is named most like an outcome; a date where names say the same."""
    if dates and (not flags or named_outcome(dates[0]) >= flags[0].named):
        return LabelColumn(sample, lead_id, dates[0], True, f"{dates[0]}: a date named like an outcome")
    if not flags:
        return None
    flag = flags[0]
    why = "two values, and named like an outcome" if flag.named else "two values, and the last column: a guess"
    return LabelColumn(sample, lead_id, flag.column, False, f"{flag.column}: {why}", yes=flag.yes, no=flag.no)


def _passed_over(sample: FileSample, label: LabelColumn, flags: list[_Flag], dates: list[str]) -> list[str]:
    """Columns that may seem to be the outcome, and why they are not."""
    said = []
    for flag in flags:
        if flag.column not in (label.column, label.flag):
            agrees = _agreement(sample, flag, label.column) if label.dated else 0.0
            reason = f"says what {label.column} says, which has the date" if agrees >= AGREE else "named less like one"
            said.append(f"{flag.column}: {reason}")
    for date in dates:
        if date != label.column:
            reason = "named less like one" if label.dated else f"does not go with {label.column}"
            said.append(f"{date}: {reason}")
    taken = {label.column, label.flag, *(flag.column for flag in flags), *dates}
    for name, cells in sample.frame.items():
        parts = set(words(str(name)))
        if str(name) not in taken and cells.nunique() == 2 and {"customer", "client", "kunde", "converted"} & parts:
            said.append(f"{name}: {' and '.join(map(repr, sorted(cells.dropna().unique())))} are no yes and no of it")
    return said


def _no_outcome(sample: FileSample, perhaps: list[str]) -> DataError:
    unread = {name: why for name, why in sample.unread.items() if named_outcome(name)}
    for name, why in unread.items():
        return DataError(
            sample.path.name, name, found=f"{why}", expected="dates of conversion", fix="Export it as 2024-12-31."
        )
    for name in (str(name) for name in sample.frame if named_outcome(str(name)) >= CLEARLY):
        cells = sample.frame[name]
        values = ", ".join(map(repr, cells.dropna().unique()[:SHOWN])) or "nothing"
        if name not in sample.times:
            return DataError(
                sample.path.name,
                name,
                found=f"{cells.nunique():,} different values ({values}), and {cells.isna().sum():,} empty cells",
                expected="a date of conversion, or two values for yes and no; an empty cell is an open lead",
                fix="Where an empty cell means no, fill it with no.",
            )
    listed = ", ".join(map(quoted, perhaps))
    return DataError(
        sample.path.name,
        "",
        found="no column that looks like an outcome" + (f"; {listed} may be it" if perhaps else ""),
        expected="a date of conversion, or a yes/no named like one (converted, won, target, ...)",
        fix=(f"Where one is, say so: --outcome-column {quoted(perhaps[0])}. " if perhaps else "")
        + "Give the outcomes in a file of their own with --outcomes, or name the column converted.",
    )
