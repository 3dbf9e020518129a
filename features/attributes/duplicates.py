"""Which leads may be one: those that share a mail address, a phone number, or a name and a company.

A guess for a person to confirm. What many share, such as a switchboard, and the mailbox of a whole firm tell nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pandas as pd

ROLES = {"info", "office", "sales", "contact", "kontakt", "mail", "admin", "support", "hello", "hallo", "team"}
ROLES |= {"service", "post", "vertrieb", "einkauf", "marketing", "noreply", "no-reply", "enquiries", "contacto"}
GMAIL = {"gmail.com", "googlemail.com"}
LEGAL = {"gmbh", "mbh", "ag", "kg", "ohg", "ug", "co", "company", "inc", "incorporated", "ltd", "limited", "llc"}
LEGAL |= {"llp", "corp", "corporation", "plc", "sa", "sarl", "sas", "srl", "spa", "bv", "nv", "ab", "as", "oy", "sl"}
FEWEST_DIGITS = 7  # of a phone number
LAST_DIGITS = 9  # that tell numbers apart, with and without the country
MOST = 5  # leads that may be one; more of them share a switchboard or a mailbox
BRACKETS = re.compile(r"\(0\)|(ext|x|durchwahl)\W*\d+\s*$", re.IGNORECASE)  # of a phone number, told apart by no key


def mail_key(text: str) -> str | None:
    """A mail address without case, tag and Gmail's dots; None where it is none, or a firm's own mailbox."""
    local, _, host = text.strip().lower().removeprefix("mailto:").rpartition("@")
    local = local.partition("+")[0]
    if not local or "." not in host or local in ROLES or re.search(r"\s", local + host):
        return None
    return f"{local.replace('.', '')}@gmail.com" if host in GMAIL else f"{local}@{host}"


def phone_key(text: str) -> str | None:
    """The last digits of a phone number, None where there are too few, or all are the same."""
    digits = re.sub(r"\D", "", BRACKETS.sub("", text)).lstrip("0")
    return digits[-LAST_DIGITS:] if len(digits) >= FEWEST_DIGITS and len(set(digits)) > 1 else None


def name_key(text: str) -> str | None:
    """The words of a person's name in any order, without case, accents and marks; None where there is one at most."""
    parts = _words(text)
    return " ".join(sorted(parts)) if len(parts) > 1 else None


def company_key(text: str) -> str | None:
    """A company's name without case, accents, marks and legal form; None where nothing is left."""
    return " ".join(word for word in _words(text) if word not in LEGAL) or None


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    return re.findall(r"[a-z0-9]+", re.sub(r"['.]", "", plain))


def groups_of(*cells: tuple[pd.Series[str], Callable[[str], str | None]]) -> pd.Series[int]:
    """Number the groups of rows that are alike in all columns by their keys; rows alone or in doubt are left out.

    Parameters
    ----------
    cells
        Columns as text, None where empty, each with the function that gives its key.

    Returns
    -------
    Series
        The group of each row that shares one; the index is a part of the cells'.
    """
    keys = pd.DataFrame({number: column.map(key, "ignore") for number, (column, key) in enumerate(cells)}).dropna()
    if keys.empty:
        return pd.Series(dtype="int64")
    grouped = keys.groupby(list(keys))
    size = grouped[0].transform("size")
    return grouped.ngroup()[(size > 1) & (size <= MOST)]
