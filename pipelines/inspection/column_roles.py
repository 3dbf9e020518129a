"""Guess the roles of columns in an unknown file: lead id, date of creation, outcome, parts of an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from features.schema.errors import DataError
from models.leakage.suspicious_names import words
from pipelines.inspection.file_format import FileSample

YES, NO = ("1", "yes", "y", "true", "t", "won", "converted"), ("0", "no", "n", "false", "f", "lost", "open")
CREATED = {"created", "create", "registered", "registration", "signup", "signed", "first", "added", "inserted"}
OUTCOME = {
    "converted",
    "conversion",
    "convert",
    "target",
    "label",
    "outcome",
    "won",
    "subscribed",
    "bought",
    "purchased",
}
OUTCOME |= {"purchase", "customer", "closed", "close", "y", "response", "sold"}
TYPE = {"type", "event", "action", "activity", "kind"}
VALUE = {"value", "amount", "minutes", "seconds", "duration", "result", "quantity"}
KNOWN = {"known", "received", "loaded", "synced", "ingested"}
MAX_TYPES = 500  # event types; a column with more values is something else
JOINED = 0.5  # share of a column's values that are leads, from which the column may be the lead's id
FULL = 0.95  # share of filled cells that a date of creation has


@dataclass(frozen=True)
class LabelColumn:
    """The column with the outcome.

    Attributes
    ----------
    sample, lead_id, column
        The file, its column of lead ids ("" where there is none), and the column of the outcome.
    dated
        Whether it is a date; else a yes/no, with its two spellings.
    of_leads
        The column again where it is in the leads' own table, else "".
    """

    sample: FileSample
    lead_id: str
    column: str
    dated: bool
    why: str
    of_leads: str = ""
    yes: str = ""
    no: str = ""
    lost: str = ""

    def converted(self, leads: pd.DataFrame, lead_id: str) -> pd.Series[bool]:
        """Whether each lead has converted, as far as the sample shows."""
        cells = self.sample.frame[self.column]
        won = cells.notna() if self.dated else cells == self.yes
        return won if self.of_leads else leads[lead_id].isin(self.sample.frame.loc[won, self.lead_id])

    def converted_at(self, leads: pd.DataFrame, lead_id: str) -> pd.Series[pd.Timestamp] | None:
        """When each lead converted first, NaT where it did not; None where the outcome has no date."""
        if not self.dated:
            return None
        times = self.sample.moments(self.column)
        return times if self.of_leads else leads[lead_id].map(times.groupby(self.sample.frame[self.lead_id]).min())


def find_lead_id(leads: FileSample, others: Sequence[FileSample]) -> tuple[str, str]:
    """The column with a different value in every row that is named most like an id, and the reason; "" without one."""
    frame = leads.frame
    unique = [
        str(name) for name in frame if frame[name].notna().all() and frame[name].is_unique and name not in leads.times
    ]
    if not unique or (len(frame) < 2):
        if others:
            raise DataError(
                leads.path.name,
                "",
                found="no column with a different value in every row",
                expected="the lead's id",
                fix="Remove repeated leads, or export the id.",
            )
        return "", "no column has a different value in every row: the row number is used as the id"

    def likeness(name: str) -> tuple[bool, int]:
        parts = words(name)
        return any(name in other.frame for other in others), 2 * ("lead" in parts) + (
            {"id", "key"} & set(parts) != set()
        )

    best = max(unique, key=likeness)
    return best, f"{best}: a different value in every row"


def find_join(sample: FileSample, leads: FileSample, lead_id: str) -> tuple[str, str]:
    """The column of a table whose values are the leads of another, and the reason.

    Raises
    ------
    DataError
        Where no column of the table holds leads.
    """
    known = set(leads.frame[lead_id].dropna())
    shares = {
        str(name): float(cells.dropna().isin(known).mean())
        for name, cells in sample.frame.items()
        if cells.notna().any()
    }
    best = max(shares, key=lambda name: (shares[name] >= JOINED and name == lead_id, shares[name]), default="")
    if not best or shares[best] < JOINED:
        raise DataError(
            sample.path.name,
            "",
            found="no column whose values are leads" + (f" ({best}: {shares[best]:.0%})" if best else ""),
            expected=f"the values of {lead_id!r} in {leads.path.name}",
            fix="Export the lead's id with it.",
        )
    return best, f"{shares[best]:.0%} of {best} are leads"


def find_label(leads: FileSample, outcomes: FileSample | None, lead_id: str) -> LabelColumn:
    """The outcome: a date or a yes/no in the outcomes, or a yes/no or date in the leads' own table.

    Raises
    ------
    DataError
        Where no column can be it.
    """
    if outcomes is not None:
        join, _ = find_join(outcomes, leads, lead_id)
        return _dated_label(outcomes, join) or _flag(outcomes, join) or _no_label(outcomes)
    own = _flag(leads, lead_id) or _dated_label(leads, lead_id, sparse=True) or _no_label(leads)
    return replace(own, of_leads=own.column)


def _no_label(sample: FileSample) -> LabelColumn:
    raise DataError(
        sample.path.name,
        "",
        found="no column that looks like an outcome",
        expected="a date of conversion, or a yes/no named like one (converted, won, target, ...)",
        fix="Give the outcomes in a file of their own with --outcomes, or name the column converted.",
    )


def _dated_label(sample: FileSample, lead_id: str, sparse: bool = False) -> LabelColumn | None:
    """A date named like an outcome; in a table of outcomes also the only date. In leads it must have gaps."""
    lost = next((name for name in sample.times if "lost" in words(name)), "")
    times = [name for name in sample.times if name != lost and not CREATED & set(words(name))]
    if sparse:
        times = [name for name in times if sample.frame[name].notna().mean() < FULL]
    named = [name for name in times if OUTCOME & set(words(name))]
    column = (named or ([] if sparse or len(times) > 1 else times) or [""])[0]
    if not column:
        return None
    why = "a date named like an outcome" if named else "the only date"
    return LabelColumn(sample, lead_id, column, True, f"{column}: {why}", lost=lost)


def _flag(sample: FileSample, lead_id: str) -> LabelColumn | None:
    """A column with two values that is named like an outcome; else the last column, if its values are yes and no."""
    pairs = {str(name): sorted(cells.dropna().unique()) for name, cells in sample.frame.items() if cells.nunique() == 2}
    named = [name for name in pairs if OUTCOME & set(words(name))]
    last = str(sample.frame.columns[-1])
    spelled = last in pairs and all(value.lower() in YES + NO for value in pairs[last])
    column = (named or ([last] if spelled else []) or [""])[0]
    if not column:
        return None
    no, yes = _spelled(sample.frame[column], pairs[column])
    why = "two values, and named like an outcome" if named else "two values, and the last column: a guess"
    return LabelColumn(sample, lead_id, column, False, f"{column}: {why}", yes=yes, no=no)


def _spelled(cells: pd.Series[str], pair: list[str]) -> tuple[str, str]:
    """The spellings of no and yes; where neither is known, the rarer value is yes."""
    for no, yes in (pair, pair[::-1]):
        if yes.lower() in YES or no.lower() in NO:
            return no, yes
    common, rare = cells.value_counts().index
    return str(common), str(rare)


def find_created(leads: FileSample, label: LabelColumn) -> tuple[str, str]:
    """The date of creation and the reason; "" where leads carry none."""
    full = [name for name in leads.times if leads.frame[name].notna().mean() >= FULL and name != label.of_leads]
    named = [name for name in full if CREATED & set(words(name))]
    if named:
        return named[0], f"{named[0]}: a date named like a creation"
    return (full[0], f"{full[0]}: the only date") if len(full) == 1 else ("", "")


def find_event_columns(events: FileSample, join: str) -> dict[str, str]:
    """The columns of an event table with its time, type, direction, channel and value.

    Raises
    ------
    DataError
        Where there is no column of times.
    """
    frame = events.frame.drop(columns=join)
    if not events.times:
        raise DataError(
            events.path.name,
            "",
            found="no column of dates",
            expected="when each event happened",
            fix="Export the time.",
        )
    known = next((name for name in events.times if KNOWN & set(words(name))), "")
    roles = {"event_at": next((name for name in events.times if name != known), known)}
    if known and roles["event_at"] != known:
        roles["known_at"] = known
    texts = [str(name) for name in frame if name not in events.times]
    for role, choices in (("direction", {"inbound", "outbound"}), ("channel", {"online", "offline"})):
        for name in texts:
            if set(frame[name].dropna().str.lower()) <= choices and frame[name].notna().any():
                roles[role] = name
    rest = [name for name in texts if name not in roles.values()]
    numbers = [
        name for name in rest if pd.to_numeric(frame[name], errors="coerce").notna().sum() == frame[name].notna().sum()
    ]
    kinds = [n for n in rest if n not in numbers and TYPE & set(words(n)) and 1 < frame[n].nunique() <= MAX_TYPES]
    values = [name for name in numbers if VALUE & set(words(name))]
    roles |= {"event_type": kinds[0]} if kinds else {}
    return roles | ({"value": values[0]} if values else {})
