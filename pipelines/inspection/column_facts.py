"""What a column of unknown meaning looks like: what it holds, what it may mean, and whether it gives the outcome away.

Everything here is a guess with its reason, for a person to confirm. Pure: frames in, facts out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from features.schema.number_format import NumberFormat
from features.schema.number_guess import NumberGuess, guess_numbers, numeric_share, units
from models.leakage.predictive_power import BINS, level_of, univariate_strength
from models.leakage.suspicious_names import named_leaky, words

Look = Literal["empty", "constant", "time", "id", "number", "domain", "title", "text", "mixed", "category"]

DOMAIN = r"(?:[^@\s]+@)?[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"
PLACEHOLDERS = [
    "select",
    "unknown",
    "not known",
    "n/a",
    "na",
    "none",
    "null",
    "nan",
    "nil",
    "-",
    "--",
    "?",
    ".",
    "not set",
    *("#n/a", "#na", "#nv", "#n/d", "#div/0!", "#value!", "#wert!", "#ref!", "#name?", "#num!", "#null!"),
    *("k.a.", "unbekannt", "keine angabe", "nicht angegeben", "nicht bekannt", "desconocido", "inconnu", "(leer)"),
    *("n.a.", "n/d", "s/d", "tbd", "-none-", "(blank)", "(not set)", "[null]", "\\n", "not provided", "undefined"),
]
CODED = "codes"  # begins the reason why a column of numbers is a category
CODES = {
    "code",
    "browser",
    "id",
    "type",
    "zip",
    "plz",
    "postal",
    "postcode",
    "region",
    "channel",
    "category",
    "segment",
}
CODES |= {"cluster", "sector", "industry", "class", "os", "systems", "device", "branch", "agent", "owner", "kategorie"}
QUANTITIES = {"revenue", "amount", "employees", "size", "count", "income", "budget", "price", "value", "total", "sales"}
QUANTITIES |= {"turnover", "spend", "age", "days", "visits", "umsatz", "mitarbeiter", "anzahl", "betrag", "preis"}
NUMBERING = {"id", "no", "nr", "number", "key", "uuid", "guid", "code", "index", "row", "lfd", "unnamed", "column"}
LEVELS = 50  # values of a category; more of them, half of them numbers, are numbers and something else
NINES = re.compile(r"-?9{2,}|-1")  # numbers that often stand for "not known"
UNIQUE = 0.98  # share of different values from which a text is an id
SAME = 0.998  # share of rows with one value, or none, from which a column tells nothing
SOME = 0.5  # share of numbers from which many values are not those of a category
DECIDING_ROWS = 2000  # of a column, that tell its decimal mark
MOSTLY = 0.95  # share from which values count as "mostly"
STRONG = 0.8  # AUC of one column alone; what is known before the outcome rarely ranks that well
CERTAIN = 0.99  # AUC of one column alone that is a leak, however strong the others are
STANDS_OUT = 0.1  # and so much above the median of the others
FILL_GAP = 0.5  # difference in the share of filled cells between converted and other leads
LATE = 0.05  # share of converted leads whose date lies after the conversion


@dataclass(frozen=True)
class ColumnFacts:
    """One column at a glance.

    Attributes
    ----------
    look
        What it holds, by its values and its name.
    filled, distinct
        How many cells hold something, and how many different values.
    placeholders
        Spellings that may mean "not known", with the number of their rows.
    why
        The reason for `look`, in plain English.
    numbers
        How numbers are written, with the values that are none.
    bad
        Of numbers: how many cells are none, and the first of them with their rows.
    """

    name: str
    look: Look
    rows: int
    filled: int
    distinct: int
    placeholders: dict[str, int]
    why: str
    numbers: NumberGuess | None = None
    bad: str = ""

    @property
    def is_coded(self) -> bool:
        """Whether its numbers name things, and measure none."""
        return self.look == "category" and self.why.startswith(CODED)

    @property
    def absent(self) -> list[str]:
        """Spellings in a column of numbers that can only mean "not known"."""
        numbers = self.look == "number"
        return [spelling for spelling in self.placeholders if numbers and not NINES.fullmatch(spelling)]

    @property
    def missing_share(self) -> float:
        """Share of empty cells."""
        return 1 - self.filled / self.rows if self.rows else 1.0


def describe(name: str, cells: pd.Series[str], is_time: bool, decimal: str = "") -> ColumnFacts:
    """Look at one column.

    Parameters
    ----------
    cells
        Its values as text; None where empty.
    is_time
        Whether its values fit a time format.
    decimal
        The decimal mark of the file's other columns, "" where none shows it.
    """
    filled = cells.dropna()
    counts = filled.value_counts()
    known = filled[~filled.str.strip().str.lower().isin(PLACEHOLDERS)]
    guess = None if is_time else guess_numbers(known.tolist(), decimal)
    look, why = _look(name, filled, known, len(cells), guess) if not is_time else ("time", "dates")
    if counts.empty:
        look, why = "empty", "no row holds a value"
    placeholders = _placeholders(counts, look)
    bad = known[known.isin(guess.bad)] if guess and look == "number" else known.iloc[:0]
    shown = ", ".join(f"{value!r} in row {int(str(row)) + 1:,}" for row, value in bad.head(3).items())
    said = f"{len(bad):,} of {len(known):,} values are no numbers: {shown}" if len(bad) else ""
    return ColumnFacts(
        name, look, len(cells), len(filled), len(counts), placeholders, why, guess if look == "number" else None, said
    )


def doubts(one: ColumnFacts) -> list[str]:
    """What a person should know about a column of numbers."""
    said = []
    if one.bad:
        said.append(
            f"{one.name!r} is a number with bad values: {one.bad}; their rows go to the quarantine unless `missing` of "
            "the attribute lists them"
        )
    if one.numbers and one.numbers.ambiguous:
        read, other = one.numbers.written or NumberFormat(), one.numbers.ambiguous
        said.append(
            f"{one.name!r} may be read in two ways: {read.decimal!r} is taken for the decimal mark, and "
            f"{other.decimal!r} would fit as well; check number_format"
        )
    if one.look == "mixed":
        said.append(f"{one.name!r} is not read: {one.why}; export it in one notation and one unit")
    return said


def decimal_mark(columns: Iterable[pd.Series[str]]) -> str:
    """The decimal mark that the columns of a file agree on, "" where they show none or several."""
    guesses = [guess_numbers(cells.dropna().head(DECIDING_ROWS).tolist()) for cells in columns]
    marks = {guess.written.decimal if guess.written else "." for guess in guesses if guess and guess.decides}
    return marks.pop() if len(marks) == 1 else ""


def _look(
    name: str, filled: pd.Series[str], known: pd.Series[str], rows: int, guess: NumberGuess | None
) -> tuple[Look, str]:
    counts = filled.value_counts()
    if counts.empty or max(counts.iloc[0], rows - len(filled)) >= SAME * rows:
        return "constant", "(nearly) all rows hold the same"
    if guess:
        return _look_of_numbers(name, known, guess)
    unique = len(counts) >= UNIQUE * len(filled) and len(filled) > BINS
    if len(known) and known.str.fullmatch(DOMAIN).mean() > MOSTLY and len(counts) > BINS:
        return "domain", "the values are mail addresses or domains"
    parts = set(words(name))
    if {"title", "role", "position"} & parts and not {"deal", "opportunity", "page"} & parts and len(counts) > BINS:
        return "title", "named like a job title, with many values"
    if known.str.count(r"\s").mean() > 5 and len(counts) > 0.2 * len(filled):
        return "text", "free text"
    if len(counts) > LEVELS and (numeric := numeric_share(known.tolist())) >= SOME:
        return "mixed", f"{numeric:.0%} of its values are numbers, in more than one notation or among other words"
    if unique and QUANTITIES & parts and known.str.contains(r"\d").mean() > MOSTLY and not _named_id(name):
        return "mixed", "it is named like a quantity, and no notation of numbers fits its values"
    return ("id", "a different value in (nearly) every row") if unique else ("category", f"{len(counts):,} values")


def _look_of_numbers(name: str, known: pd.Series[str], guess: NumberGuess) -> tuple[Look, str]:
    """Numbers measure, unless they are named like an id or a code and look like one."""
    if guess.written and len(several := units(guess.written)) > 1:
        return "mixed", f"its numbers are in more than one unit ({', '.join(sorted(several))})"
    parts = set(words(name))
    whole = guess.written is None and not guess.bad and bool(known.str.fullmatch(r"\d+(\.0)?").all())
    named_code = bool(CODES & set(words(name)[-1:]))  # the last word says what it is, as in sales channel
    if whole and (named_code or not QUANTITIES & parts):
        if known.is_unique and len(known) > BINS and _named_id(name):
            return "id", "a different whole number in every row, and named like an id"
        if known.str.match(r"0\d").any():
            return "category", f"{CODED}: numbers with zeros before them"
        if CODES & parts:
            many = known.nunique() >= UNIQUE * len(known) and len(known) > BINS
            return (
                ("id", "numbers of their own") if many else ("category", f"{CODED}: whole numbers, and named like one")
            )
    return "number", "all values are numbers" if not guess.bad else "nearly all values are numbers"


def _named_id(name: str) -> bool:
    return bool(NUMBERING & set(words(name)))


def _placeholders(counts: pd.Series[int], look: Look) -> dict[str, int]:
    placeholders = {value: int(count) for value, count in counts.items() if str(value).strip().lower() in PLACEHOLDERS}
    if look == "number":
        numbers = pd.to_numeric(pd.Series(counts.index.astype(str)), errors="coerce").dropna().sort_values().to_numpy()
        for value, count in counts.items():
            if NINES.fullmatch(str(value)) and count >= 0.01 * counts.sum() and _apart(float(str(value)), numbers):
                placeholders[str(value)] = int(count)
    return {str(value): count for value, count in placeholders.items()}


def _apart(value: float, numbers: np.ndarray) -> bool:
    """Whether a number is the largest or the least, and far from the next."""
    others = numbers[numbers != value]
    if len(others) == 0:
        return False
    gap = max(others.min() - value, value - others.max())
    return bool(gap > 0 and (value < 0 or gap > np.ptp(others)))


def univariate_auc(cells: pd.Series[str], converted: np.ndarray) -> float:
    """How well one column alone ranks the converted leads, out of fold.

    Parameters
    ----------
    cells
        The column as text, None where empty; numbers are cut into bins, empty is a level of its own.
    converted
        Boolean, one for each cell.

    Returns
    -------
    float
        AUC of the smoothed conversion rate of the cell's level, learned on the other folds; 0.5 says nothing.
    """
    label = converted.astype("float64")
    return univariate_strength(_levels(cells), label, np.zeros(len(label), dtype=np.int64)).auc


def _levels(cells: pd.Series[str]) -> np.ndarray:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    if (~np.isnan(numbers)).sum() >= UNIQUE * cells.notna().sum():
        return level_of(numbers, is_category=False)
    codes, _ = pd.factorize(cells, use_na_sentinel=True)
    return np.asarray(codes) + 1


def leaks(frame: pd.DataFrame, names: Sequence[str], converted: pd.Series[bool]) -> dict[str, list[str]]:
    """Columns that look as if they were written after, or because of, the outcome.

    Parameters
    ----------
    frame
        Leads as text.
    names
        The columns to judge.
    converted
        Whether each lead has converted; same index as `frame`.

    Returns
    -------
    dict
        For each suspect column the reasons, in plain English. A suspicion is no proof: the business knows.
    """
    label = converted.to_numpy(dtype=bool)
    suspects = {name: named_leaky(name) for name in names}
    if 0 < label.sum() < len(label):
        powers = {name: univariate_auc(frame[name], label) for name in names}
        typical = float(np.median(list(powers.values()))) if powers else 0.5
        for name in names:
            suspects[name] += _too_strong(powers[name], typical) + _filled_late(frame[name], label)
    return {name: reasons for name, reasons in suspects.items() if reasons}


def _too_strong(auc: float, typical: float) -> list[str]:
    if auc < CERTAIN and (auc < STRONG or auc < typical + STANDS_OUT):
        return []
    return [f"alone it ranks the converted leads with an AUC of {auc:.2f}, where the median column has {typical:.2f}"]


def _filled_late(cells: pd.Series[str], label: np.ndarray) -> list[str]:
    filled = cells.notna().to_numpy()
    won, other = filled[label].mean(), filled[~label].mean()
    if won - other < FILL_GAP:
        return []
    return [f"it is filled for {won:.0%} of the converted leads and for {other:.0%} of the others"]


def late_dates(times: pd.Series[pd.Timestamp], converted_at: pd.Series[pd.Timestamp]) -> list[str]:
    """The reason why a column of dates looks leaky: dates after the conversion of their own lead."""
    late = (times > converted_at)[converted_at.notna() & times.notna()]
    if late.empty or late.mean() < LATE:
        return []
    return [f"its date is after the conversion for {late.mean():.0%} of the converted leads"]
