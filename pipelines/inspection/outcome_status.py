"""Find the column of an unknown file that says won, lost or open, and the date on which a deal was closed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import pandas as pd

from features.schema.errors import DataError
from features.schema.lead_status import means_closed, means_lost, means_won
from models.leakage.suspicious_names import words
from pipelines.inspection.column_facts import FILL_GAP
from pipelines.inspection.column_roles import LabelColumn, find_join
from pipelines.inspection.file_format import FileSample
from pipelines.inspection.names import named_outcome
from pipelines.inspection.outcome_column import PERHAPS, find_label, label_of_chosen, perhaps_outcomes

CLOSING = {"close", "closed", "closing", "closedate", "won", "end", "ended", "decided", "resolved"}
CLOSING_STEMS = (
    *("abschluss", "abgeschloss", "geschloss", "entschied", "beendet", "cierre", "cerrad", "clotur", "chius"),
    *("fechad", "gesloten", "afgesloten", "zamkni", "uzavr", "afslut"),
)
CLOSING_ELSEWHERE = ("закрыт", "成交时间", "成交日期", "关闭", "成約日", "受注日")
MOST_VALUES = 60  # of a status
QUALIFIED = "qualified"  # where no value says won, and others say lost: what leads of Dynamics become
EVERY = 0.99  # share of a status' rows from which all of them have a date
FILLED = 0.5  # share of a status' rows that have a date, from which it dates them


@dataclass(frozen=True)
class Status:
    """A column of statuses with the values that mean won and lost, and the column that dates both, or ""."""

    column: str
    won: tuple[str, ...]
    lost: tuple[str, ...]
    closed_at: str


def find_status(sample: FileSample, taken: Collection[str] = (), *, lost_too: bool = True) -> Status | None:
    """The column with values for won and, if `lost_too`, for lost; of several that with the fewest other values."""
    found = []
    for name in (name for name in map(str, sample.frame) if name not in taken and name not in sample.times):
        values = sorted(sample.frame[name].dropna().unique()) if sample.frame[name].nunique() <= MOST_VALUES else []
        won, lost = tuple(filter(means_won, values)), tuple(filter(means_lost, values))
        won = won or tuple(value for value in values if value.strip().lower() == QUALIFIED)
        if won and (lost or not lost_too):
            found.append((len(values), Status(name, won, lost, "")))
    if not found:
        return None
    _, status = min(found, key=lambda one: one[0])
    return Status(status.column, status.won, status.lost, _closing_date(sample, status))


def _closing_date(sample: FileSample, status: Status) -> str:
    """The date that won deals have and lost ones too, named like a closing."""
    cells = sample.frame[status.column]
    won, lost = cells.isin(status.won), cells.isin(status.lost)
    for name in sample.times:
        filled = sample.frame[name].notna()
        if _names_a_closing(name) and filled[won].mean() >= FILLED and filled[lost].mean() >= FILLED:
            return name
    return ""


def _names_a_closing(name: str) -> bool:
    named = bool(CLOSING & set(words(name))) or any(word.startswith(CLOSING_STEMS) for word in words(name))
    return named or any(mark in name.lower() for mark in CLOSING_ELSEWHERE)


def find_outcome(leads: FileSample, outcomes: FileSample | None, lead_id: str, chosen: str = "") -> LabelColumn:
    """The outcome: by a status where a date alone would count lost deals as won, or where nothing else says it.

    Parameters
    ----------
    chosen
        One of the candidates that a person chose; "" takes the most likely.

    Raises
    ------
    DataError
        Where no column can be it, or the chosen one cannot.
    """
    try:
        label = _most_likely(leads, outcomes, lead_id)
    except DataError:
        if not chosen:
            raise
        label = None
    if label and chosen in ("", label.candidates[0]):
        return label
    sample, rest = outcomes or leads, [name for name in (label.candidates if label else []) if name != chosen]
    found = _chosen(leads, outcomes, lead_id, chosen, rest)
    if found is None or found.candidates[0] != chosen:
        raise DataError(
            sample.path.name,
            chosen,
            found="no date of some leads alone, no yes and no, and no status with won and lost",
            expected=f"the outcome: {', '.join(rest or perhaps_outcomes(sample)) or 'a column that may be it'}",
            fix="Choose one of these.",
        )
    return replace(found, sample=sample, passed_over=tuple(f"{name}: not chosen" for name in rest))


def _chosen(
    leads: FileSample, outcomes: FileSample | None, lead_id: str, chosen: str, rest: Collection[str]
) -> LabelColumn | None:
    """The outcome by a column that a person named, the rest of those that may be it hidden."""
    sample = outcomes or leads
    if chosen not in sample.frame:
        return None
    hidden = replace(
        sample,
        frame=sample.frame.drop(columns=[*rest], errors="ignore"),
        times={name: time for name, time in sample.times.items() if name not in rest},
    )
    try:
        found = _most_likely(leads if outcomes else hidden, hidden if outcomes else None, lead_id)
    except DataError:
        found = None
    if found and found.candidates[0] == chosen:
        return found
    join = find_join(outcomes, leads, lead_id)[0] if outcomes is not None else lead_id
    named = label_of_chosen(sample, join, chosen)
    return named and replace(named, of_leads="" if outcomes is not None else chosen)


def _most_likely(leads: FileSample, outcomes: FileSample | None, lead_id: str) -> LabelColumn:
    sample = outcomes or leads
    status = find_status(sample, {lead_id}) or _of_a_closing_date(leads, outcomes, lead_id)
    if status is None:
        return find_label(leads, outcomes, lead_id)
    passed_over: tuple[str, ...] = ()
    try:
        label = find_label(leads, outcomes, lead_id)
        if not _is_better(status, label):
            said = f"{status.column}: a status; {label.column} says which leads converted"
            return replace(label, passed_over=(*label.passed_over, said))
        if label.column not in (status.column, status.closed_at):
            passed_over = (f"{label.column}: leads that are not won have one too",) if label.dated else ()
    except DataError:
        pass  # no other column can be it
    join = find_join(outcomes, leads, lead_id)[0] if outcomes is not None else lead_id
    dates = f", dated by {status.closed_at}" if status.closed_at else ""
    both = "won and lost" if status.lost else "won, and no value for lost; name those in lost_values"
    return LabelColumn(
        sample,
        join,
        status.closed_at,
        bool(status.closed_at),
        f"{status.column}: a status with {both}{dates}",
        of_leads="" if outcomes is not None else status.closed_at or status.column,
        passed_over=passed_over,
        status=status.column,
        won_values=status.won,
        lost_values=status.lost,
    )


def _of_a_closing_date(leads: FileSample, outcomes: FileSample | None, lead_id: str) -> Status | None:
    """A status with won alone, where the most likely outcome is a closing date that others have too: they are lost."""
    sample = outcomes or leads
    try:
        label = find_label(leads, outcomes, lead_id)
    except DataError:
        return None
    if not label.dated or named_outcome(label.column) > PERHAPS or not _names_a_closing(label.column):
        return None
    status = find_status(sample, {lead_id, label.column}, lost_too=False)
    return replace(status, closed_at=label.column) if status and _is_better(status, label) else None


def find_created_by_status(leads: FileSample, label: LabelColumn) -> tuple[str, str, list[str]]:
    """The date of creation that only some statuses have, the reason, and those statuses; "" where there is none.

    A deal that nobody works yet has often no date: `where` leaves such deals out.
    """
    if not label.status or not label.of_leads:
        return "", "", []
    status = leads.frame[label.status]
    for name in (name for name in leads.times if name != label.column):
        shares = leads.frame[name].notna().groupby(status).mean()
        dated = shares.index[shares >= EVERY].tolist()
        if len(dated) + (shares <= 1 - EVERY).sum() == len(shares) and set(label.won_values) <= set(dated):
            rest = ", ".join(sorted(set(shares.index) - set(dated)))
            return name, f"{name}: a date that all have but {label.status} {rest}", dated
    return "", "", []


def _is_better(status: Status, label: LabelColumn) -> bool:
    """Whether the other candidate dates lost and open leads too, is the status itself, or has no date and this has."""
    if label.dated:
        rest = ~label.sample.frame[status.column].isin(status.won)
        filled = label.sample.frame[label.column].notna()
        return bool(filled[rest].mean() >= 0.05) if rest.any() else False
    return label.column == status.column or (bool(status.closed_at) and not label.dated)


def filled_at_closing(cells: pd.Series[str], label: LabelColumn) -> list[str]:
    """The reason why a column looks leaky: it is filled when a deal closes, won or lost."""
    if not label.status:
        return []
    closed = label.sample.frame[label.status].isin(label.won_values + label.lost_values)
    if not closed.any() or closed.all() or len(closed) != len(cells):
        return []
    filled, open_ = cells.notna()[closed.to_numpy()].mean(), cells.notna()[~closed.to_numpy()].mean()
    if filled - open_ < FILL_GAP:
        return []
    return [f"it is filled for {filled:.0%} of the closed deals and for {open_:.0%} of the open ones"]


def closed_values(name: str, cells: pd.Series[str]) -> dict[str, int]:
    """The values of a column that mean a closed lead, with their rows."""
    counts = cells.value_counts()
    counts = counts if len(counts) <= MOST_VALUES else counts.iloc[:0]
    return {str(value): int(n) for value, n in counts.items() if means_closed(name, str(value))}
