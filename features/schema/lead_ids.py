"""Ids that differ only in how programs write them, and what makes them alike: `101.0` and `101`, `'K1` and `K1`.

And ids that are to stay forgotten.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field

from features.schema.spec import Spec

Normaliser = Literal["strip", "integer", "sf15", "mail"]
NORMALISERS: tuple[Normaliser, ...] = ("strip", "integer", "sf15", "mail")
MARKS = "\u00a0\u2007\u202f\u200b\ufeff\"'`’"  # spaces that are not seen, and quotes that spreadsheets put before text
INTEGER = r"0*(\d+)(?:[.,]0+)?"
SALESFORCE = r"[A-Za-z0-9]{15}[A-Z0-5]{3}"  # 15 characters that tell cases apart, and 3 that repeat the case
ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
CAPITALS, SMALL = string.ascii_uppercase, string.ascii_lowercase
GAIN = 0.02  # share of ids that must become leads for a normaliser to be proposed


def normal_sql(text: str, normalise: Sequence[Normaliser]) -> str:
    """SQL for an id as it is compared."""
    if "strip" in normalise:
        marks = MARKS.replace("'", "''")
        text = f"trim(translate({text}, '{marks}', '{' ' * len(MARKS)}'))"
    if "integer" in normalise:
        digits = f"regexp_extract({text}, '{INTEGER}', 1)"
        text = f"CASE WHEN regexp_full_match({text}, '{INTEGER}') THEN {digits} ELSE {text} END"
    if "sf15" in normalise:
        text = f"CASE WHEN regexp_full_match({text}, '{SALESFORCE}') THEN left({text}, 15) ELSE {text} END"
    if "mail" in normalise:
        text = f"CASE WHEN contains({text}, '@') THEN translate({text}, '{CAPITALS}', '{SMALL}') ELSE {text} END"
    return text


def normal(text: str, normalise: Collection[Normaliser]) -> str:
    """An id as it is compared; the same as `normal_sql`."""
    if "strip" in normalise:
        text = text.translate(dict.fromkeys(map(ord, MARKS), " ")).strip(" ")
    if "integer" in normalise and (found := re.fullmatch(INTEGER, text, re.ASCII)):
        text = found[1]
    if "sf15" in normalise and re.fullmatch(SALESFORCE, text):
        text = text[:15]
    if "mail" in normalise and "@" in text:
        text = text.translate(str.maketrans(CAPITALS, SMALL))
    return text


def same_person(lead_id: str, merges: Iterable[tuple[str, str]], normalise: Collection[Normaliser]) -> tuple[str, ...]:
    """The spellings of all ids that merges join with one, the given one first."""
    steps: dict[str, set[str]] = {}
    spellings: dict[str, set[str]] = {normal(lead_id, normalise): {lead_id}}
    for pair in merges:
        old, new = (normal(text, normalise) for text in pair)
        steps.setdefault(old, set()).add(new)
        steps.setdefault(new, set()).add(old)
        for text in pair:
            spellings.setdefault(normal(text, normalise), set()).add(text)
    todo = [normal(lead_id, normalise)]
    found = set(todo)
    while todo:
        more = steps.get(todo.pop(), set()) - found
        found |= more
        todo += more
    return (lead_id, *sorted({text for key in found for text in {key, *spellings[key]}} - {lead_id}))


def is_salesforce(text: str) -> bool:
    """Whether an id has 18 characters of which the last three repeat the case of the others."""
    if not re.fullmatch(SALESFORCE, text):
        return False
    bits = [sum(text[5 * part + index].isupper() << index for index in range(5)) for part in range(3)]
    return text[15:] == "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bit] for bit in bits)


def find_normalisers(ids: Collection[str], leads: Collection[str]) -> tuple[Normaliser, ...]:
    """The fewest normalisers with which clearly more ids are leads; none where they are leads as they stand."""
    known = set(leads)
    salesforce = all(map(is_salesforce, [text for text in (*ids, *known) if len(text) == 18]))
    usable = [name for name in NORMALISERS if name != "sf15" or salesforce]
    best: tuple[Normaliser, ...] = ()
    most = share(ids, known, ())
    for count in range(1, len(usable) + 1):
        for some in combinations(usable, count):
            if (now := share(ids, known, some)) >= most + GAIN:
                best, most = some, now
    return best


def share(ids: Collection[str], leads: Iterable[str], normalise: Collection[Normaliser]) -> float:
    """The share of ids that are leads, both written alike."""
    known = {normal(text, normalise) for text in leads}
    return sum(normal(text, normalise) in known for text in ids) / max(len(ids), 1)


def reason(ids: Collection[str], leads: Collection[str]) -> str:
    """Why ids are no leads though they look like some, and what to do; "" where nothing shows."""
    if normalise := find_normalisers(ids, leads):
        known = {normal(text, normalise): text for text in leads}
        strange = next(text for text in ids if text not in set(leads) and normal(text, normalise) in known)
        return (
            f"They differ in spelling, as {strange!r} and {known[normal(strange, normalise)]!r}: write "
            f"lead_id: {{column: ..., normalise: [{', '.join(normalise)}]}}."
        )
    if rounded := next((text for text in ids if ROUNDED.fullmatch(text)), ""):
        return f"A spreadsheet has rounded ids, as {rounded!r}, and their digits are lost: export the id as text."
    lower = {text.lower() for text in leads}
    if ids and sum(text.lower() in lower for text in ids) / len(ids) > share(ids, leads, ()) + GAIN:
        return "They differ in capital letters, which tell ids apart: export both files with the ids as they are."
    return ""


class Tombstones(Spec):
    """Leads that are to stay forgotten, by salted digests of their ids; whoever has no id cannot read one out of it."""

    salt: str = Field(pattern=r"^[0-9a-f]{64}$")
    digests: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()

    def digest(self, lead_id: str) -> str:
        """The digest of an id as it is compared."""
        return hashlib.sha256(f"{self.salt}{lead_id}".encode()).hexdigest()

    def sql(self, key: str) -> str:
        """SQL: whether an id as it is compared is one of them."""
        listed = ", ".join(f"'{digest}'" for digest in self.digests)
        return f"coalesce(sha256('{self.salt}' || {key}) IN ({listed}), false)" if listed else "false"

    def mentioned(self, line: str, normalise: Collection[Normaliser]) -> bool:
        """Whether a field of a line that could not be read as a row is one of them."""
        parts = re.split(r"[,;\t|]", line.strip("\r\n"))
        return any(self.digest(normal(part.strip('"'), normalise)) in self.digests for part in parts)
