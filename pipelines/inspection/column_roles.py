"""Guess the roles of columns in an unknown file: lead id, date of creation, outcome, parts of an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from features.attributes.duplicates import company_key, groups_of, mail_key, name_key, phone_key
from features.schema.cells import SPELLED
from features.schema.errors import DataError
from features.schema.lead_ids import NORMALISERS, Normaliser, find_normalisers, normal, reason
from features.schema.number_guess import guess_numbers
from models.leakage.suspicious_names import words
from pipelines.inspection.file_format import FileSample
from pipelines.inspection.names import OTHERS_IDS, named_created, named_id, said_no, said_yes

TYPE = {"type", "event", "action", "activity", "kind", "art", "typ", "ereignis", "aktivitat", "aktion", "tipo"}
VALUE = {"value", "amount", "minutes", "seconds", "duration", "result", "quantity", "wert", "dauer", "minuten", "menge"}
VALUE |= {"duree", "duracion", "duracao", "durata", "duur"}
KNOWN = {"known", "received", "loaded", "synced", "ingested", "erfasst"}
DIRECTIONS = {word for choice in ("inbound", "outbound") for word in SPELLED[choice]}
LEAD = ("lead", "prospect", "contact", "kontakt", "customer", "client", "kunde", "interessent", "person")
SEVERAL = 1.2  # rows a lead, from which a table is no list of leads
MAX_TYPES = 500  # event types; a column with more values is something else
JOINED = 0.5  # share of a column's values that are leads, from which the column may be the lead's id
FULL = 0.95  # share of filled cells that a date of creation has
MOSTLY = 0.95  # share of different values that an id has
HEAD_ROWS = 20_000  # of another file, that tell whether it joins
PHONE = {"phone", "mobile", "telephone", "telefon", "tel", "handy", "mobil", "telefono", "telefone", "cell"}
OWNER = {
    "owner",
    "zustandig",
    "zustandiger",
    "betreuer",
    "bearbeiter",
    "verantwortlich",
    "verantwortlicher",
    "propietario",
}
OWNER |= {
    "ownerid",
    "assigned",
    "assignee",
    "salesperson",
    "responsible",
    "rep",
    "vendedor",
    "proprietario",
    "eigenaar",
}
COMPANY = {"company", "account", "firma", "firm", "organization", "organisation", "unternehmen", "empresa", "azienda"}
FIRST_NAME = [{"first", "name"}, {"firstname"}, {"vorname"}, {"given", "name"}, {"nombre"}, {"prenom"}]
LAST_NAME = [{"last", "name"}, {"lastname"}, {"surname"}, {"nachname"}, {"family", "name"}, {"apellido"}, {"nom"}]
FULL_NAME = [{"name"}, {"full", "name"}, {"fullname"}, {"contact", "name"}, {"lead", "name"}, {"contact", "person"}]
DROPPED = {"canceled", "cancelled", "deleted", "storniert", "abgesagt", "geloscht", "annule", "cancelado"}
CODE = r"(?=.*[0-9])[A-Za-z0-9][\w./:-]*"  # what an id of no telling name looks like; no mail address, no words


@dataclass(frozen=True)
class LabelColumn:
    """The column with the outcome.

    Attributes
    ----------
    sample, lead_id, column
        The file, its column of lead ids ("" where there is none), and the column of the outcome.
    dated
        Whether it is a date; else a yes/no, with its two spellings.
    status, won_values, lost_values
        The column that says whether the date, where there is one, is of a won or a lost lead, and its spellings.
    of_leads
        The column again where it is in the leads' own table, else "".
    flag
        With a date, the yes/no that agrees with it in most rows but not in all.
    passed_over
        Columns that may seem to be the outcome, each with the reason why they were not chosen.
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
    flag: str = ""
    passed_over: tuple[str, ...] = ()
    status: str = ""
    won_values: tuple[str, ...] = ()
    lost_values: tuple[str, ...] = ()

    @property
    def candidates(self) -> list[str]:
        """The columns that may be the outcome, this one first."""
        return [self.status or self.column, *(reason.rsplit(": ", 1)[0] for reason in self.passed_over)]

    def converted(self, leads: pd.DataFrame, lead_id: str) -> pd.Series[bool]:
        """Whether each lead has converted, as far as the sample shows."""
        frame = self.sample.frame
        if self.status:
            won = frame[self.status].isin(self.won_values)
        else:
            cells = frame[self.column]
            won = cells.notna() if self.dated else cells.str.strip().str.lower() == self.yes.strip().lower()
        return won if self.of_leads else leads[lead_id].isin(self.sample.frame.loc[won, self.lead_id])

    def converted_at(self, leads: pd.DataFrame, lead_id: str) -> pd.Series[pd.Timestamp] | None:
        """When each lead converted first, NaT where it did not; None where the outcome has no date."""
        if not self.dated:
            return None
        times = self.sample.moments(self.column)
        if self.status:
            times = times.where(self.sample.frame[self.status].isin(self.won_values))
        return times if self.of_leads else leads[lead_id].map(times.groupby(self.sample.frame[self.lead_id]).min())


def find_lead_id(leads: FileSample, others: Sequence[FileSample]) -> tuple[str, str]:
    """The column that tells leads apart and the reason; "" without one, where the row number stands in.

    A column named like an id may hold a few repeats, which ingest names; any other must be joined by another file, or
    be a code that differs in every row.

    Raises
    ------
    DataError
        Where other files are there and no column can join them.
    """
    frame = leads.frame
    shares = {str(name): _unique_share(frame[name]) for name in frame if name not in leads.times}
    joined = {name for name, share in shares.items() if share >= MOSTLY and _joins(frame[name], name, others)}
    candidates = [name for name, share in shares.items() if share >= MOSTLY and (named_id(name) or name in joined)]
    codes = [name for name, share in shares.items() if share == 1 and frame[name].str.fullmatch(CODE).mean() == 1]
    if len(frame) < 2 or not (candidates or codes):
        if others or any(_names_a_lead(name) and 1 / share >= SEVERAL for name, share in shares.items() if share):
            raise _no_lead_id(leads, shares)
        return "", "no column has a different value in every row: the row number is used as the id"

    def likeness(name: str) -> tuple[bool, bool, bool, bool]:
        parts = set(words(name))
        return name in joined, "lead" in parts, named_id(name) and not OTHERS_IDS & parts, shares[name] == 1

    best = max(candidates or codes, key=likeness)
    repeats = int(frame[best].notna().sum() - frame[best].nunique())
    empty = int(frame[best].isna().sum())
    if not repeats and not empty:
        return best, f"{best}: a different value in every row"
    few = [f"{repeats:,} repeated" if repeats else "", f"{empty:,} empty" if empty else ""]
    return best, f"{best}: named like an id, with {' and '.join(filter(None, few))} of {len(frame):,}"


def _names_a_lead(name: str) -> bool:
    """Whether a name says that a column tells leads apart, and nothing else."""
    parts = set(words(name))
    of_leads = any(part.startswith(LEAD) for part in parts)
    return parts == {"id"} or (named_id(name) and of_leads and not OTHERS_IDS & parts)


def doubt_mail_ids(leads: FileSample, lead_id: str) -> list[str]:
    """Say that ids are mail addresses, which people should not have to see everywhere."""
    if not lead_id or leads.frame[lead_id].dropna().str.contains("@").mean() < JOINED:
        return []
    said = f"{leads.path.name}: leads are told apart by {lead_id!r}, which are mail addresses and stand on every list"
    return [f"{said}; export the lead's id in every file where you can"]


def doubt_dropped(sample: FileSample) -> list[str]:
    """Say where rows are marked as canceled or deleted, which never happened or are not meant any more."""
    said = []
    for name in (name for name in map(str, sample.frame) if DROPPED & set(words(name))):
        dropped = sample.frame[name].dropna().map(said_yes)
        kept = sorted(set(sample.frame[name].dropna()[~dropped]))
        if dropped.any() and len(kept) == 1 and said_no(kept[0]):
            where = f"{dropped.sum():,} of {len(sample.frame):,} rows; leave them out: where: {{{name}: [{kept[0]}]}}"
            said.append(f"{sample.path.name}: {name!r} says yes in {where}")
    return said


def _unique_share(cells: pd.Series[str]) -> float:
    return cells.nunique() / max(len(cells), 1)


def _joins(cells: pd.Series[str], name: str, others: Sequence[FileSample]) -> bool:
    """Whether another file has a column of that name, or one whose values are mostly these."""
    if any(name in other.frame for other in others):
        return True
    known = set(_small_mails(cells.dropna()))
    texts = (column.dropna().head(HEAD_ROWS) for other in others for _, column in other.frame.items())
    return any(len(text) > 0 and _small_mails(text).isin(known).mean() >= JOINED for text in texts)


def _small_mails(cells: pd.Series[str]) -> pd.Series[str]:
    return cells.str.lower() if cells.str.contains("@", regex=False).mean() >= JOINED else cells


def _no_lead_id(leads: FileSample, shares: dict[str, float]) -> DataError:
    named = {name: share for name, share in shares.items() if named_id(name)}
    best = max(named, key=lambda name: named[name], default="")
    repeated = f": {best!r} has {named[best]:.0%} different values, so there are several rows a lead" if best else ""
    return DataError(
        leads.path.name,
        "",
        found=f"no column with a different value in (nearly) every row{repeated}",
        expected="the lead's id",
        fix="Export one row a lead with its id; what leads did goes into a file of events.",
    )


def find_repeats(leads: FileSample) -> str:
    """Say how many leads may be others once more, by mail, phone, and name with company; "" where none seems to be."""
    frame = leads.frame
    who = find_contacts(leads)
    groups = {"mail": groups_of((frame[who.mail], mail_key))} if who.mail else {}
    groups |= {"phone": groups_of((frame[who.phone], phone_key))} if who.phone else {}
    if who.person and who.company:
        person = frame[who.person[0]] if len(who.person) == 1 else frame[who.person[0]] + " " + frame[who.person[1]]
        groups["name and company"] = groups_of((person, name_key), (frame[who.company], company_key))
    again = {way: group.index[group.duplicated()] for way, group in groups.items()}
    every = {row for rows in again.values() for row in rows}
    said = ", ".join(f"{len(rows):,} by {way}" for way, rows in again.items() if len(rows))
    advice = "where they are, merge them in the CRM, or list old and new ids in source.aliases"
    return f"{len(every):,} leads may be others once more ({said}); {advice}" if every else ""


@dataclass(frozen=True)
class Contacts:
    """The columns that say who a lead is and how to reach it: one of its name, or the first and the last; else ""."""

    person: tuple[str, ...]
    company: str
    mail: str
    phone: str
    owner: str

    @property
    def shown(self) -> list[str]:
        """What somebody who calls a lead wants to see."""
        return [name for name in (*self.person, self.company, self.phone, self.mail, self.owner) if name]


def find_contacts(leads: FileSample) -> Contacts:
    """Find who leads are, by the names of columns and by the @ of addresses."""
    frame = leads.frame
    texts = [str(name) for name in frame if name not in leads.times and frame[name].notna().any()]
    mail = next((name for name in texts if frame[name].dropna().str.contains("@").mean() >= JOINED), "")
    phone, company, owner = (
        next((name for name in texts if said & set(words(name)) and not named_id(name)), "")
        for said in (PHONE, COMPANY, OWNER)
    )
    return Contacts(_person(texts), company, mail, phone, owner)


def named_owner(name: str) -> bool:
    """Whether a name says that a column holds who works a lead."""
    return bool(OWNER & set(words(name)))


def _person(texts: Sequence[str]) -> tuple[str, ...]:
    first, last = (next((name for name in texts if set(words(name)) in ends), "") for ends in (FIRST_NAME, LAST_NAME))
    if first and last:
        return first, last
    return tuple(name for name in texts if set(words(name)) in FULL_NAME)[:1]


class JoinError(DataError):
    """No column of a table holds leads."""


def find_join(sample: FileSample, leads: FileSample, lead_id: str) -> tuple[str, str]:
    """The column of a table whose values are the leads of another, and the reason.

    Raises
    ------
    JoinError
        Where no column of the table holds leads.
    """
    known = {normal(text, NORMALISERS) for text in leads.frame[lead_id].dropna()}
    shares = {str(name): _known_share(cells, known) for name, cells in sample.frame.items() if cells.notna().any()}
    best = max(shares, key=lambda name: (shares[name] >= JOINED and name == lead_id, shares[name]), default="")
    if not best or shares[best] < JOINED:
        named = [name for name in shares if named_id(name)] or [best]
        ids = sorted(set(sample.frame[named[0]].dropna())) if best else []
        why = reason(ids, sorted(set(leads.frame[lead_id].dropna())))
        raise JoinError(
            sample.path.name,
            "",
            found="no column whose values are leads" + (f" ({best}: {shares[best]:.0%})" if best else ""),
            expected=f"the values of {lead_id!r} in {leads.path.name}",
            fix=why or "Export the lead's id with it.",
        )
    return best, f"{shares[best]:.0%} of {best} are leads"


def _known_share(cells: pd.Series[str], known: set[str]) -> float:
    counts = cells.dropna().value_counts()
    found = [normal(str(text), NORMALISERS) in known for text in counts.index]
    return float(counts.to_numpy()[found].sum() / counts.sum())


def with_alike_ids(
    leads: FileSample, lead_id: str, others: Sequence[FileSample]
) -> tuple[list[FileSample], tuple[Normaliser, ...]]:
    """The samples with their ids written alike, leads first, and the normalisers that it took."""
    joins = [find_join(other, leads, lead_id)[0] for other in others]
    known = sorted(set(leads.frame[lead_id].dropna())) if lead_id else []
    ids = [sorted(set(other.frame[join].dropna())) for other, join in zip(others, joins, strict=True)]
    used = {name for some in ids for name in find_normalisers(some, known)}
    normalise = tuple(name for name in NORMALISERS if name in used)
    if not normalise:
        return [leads, *others], ()
    pairs = zip([leads, *others], [lead_id, *joins], strict=True)
    return [
        replace(sample, frame=sample.frame.assign(**{column: _alike(sample.frame[column], normalise)}))
        for sample, column in pairs
    ], normalise


def _alike(cells: pd.Series[str], normalise: Sequence[Normaliser]) -> pd.Series[str]:
    return cells.map({text: normal(str(text), normalise) for text in cells.dropna().unique()}).astype("str")


def find_created(leads: FileSample, label: LabelColumn) -> tuple[str, str]:
    """The date of creation and the reason; "" where leads carry none.

    Raises
    ------
    DataError
        Where a column is named like one, and its values fit no format.
    """
    full = [name for name in leads.times if leads.frame[name].notna().mean() >= FULL and name != label.of_leads]
    named = sorted((name for name in full if named_created(name)), key=lambda name: -named_created(name))
    if named:
        return named[0], f"{named[0]}: a date named like a creation"
    for name, why in leads.unread.items():
        if named_created(name) == 2:
            raise DataError(
                leads.path.name, name, found=why, expected="dates of creation", fix="Export it as 2024-12-31."
            )
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
    for role, choices in (("direction", DIRECTIONS), ("channel", {"online", "offline"})):
        for name in texts:
            if set(frame[name].dropna().str.strip().str.lower()) <= choices and frame[name].notna().any():
                roles[role] = name
    rest = [name for name in texts if name not in roles.values()]
    numbers = [name for name in rest if frame[name].notna().any() and guess_numbers(frame[name].dropna().tolist())]
    several = {name for name in rest if name == "event_type" or 1 < frame[name].nunique() <= MAX_TYPES}
    kinds = [name for name in rest if name in several and name not in numbers and TYPE & set(words(name))]
    values = [name for name in numbers if VALUE & set(words(name))]
    roles |= {"event_type": kinds[0]} if kinds else {}
    return roles | ({"value": values[0]} if values else {})
