"""How a column's numbers are written, judged by its values: decimal mark, thousands, units and multiples.

A guess for a person to confirm; `ambiguous` says where the values alone do not decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from features.schema.cells import NUMBER
from features.schema.number_format import NumberFormat
from features.schema.number_format import plain as in_ascii

DECIDING = 2000  # different values that tell the notation
SLACK = 0.02  # by which they may differ from all
MOSTLY = 0.95  # share of values that must be numbers for the column to be one
COMMON = 0.5  # share of values that carry a word from which it is a unit
PARTS = re.compile(
    r"\s*([^\d+\-−(.,]*?)\s*[+\-−(]?\s*([^\d\s]*?)\s*(\d[\d.,'’\s]*?(?:[eE][+-]?\d+)?)\s*([^\d\s)]\D*?)?\s*\)?"
)
CURRENCIES = "€ $ £ ¥ ₹ ₽ ₺ % EUR USD GBP CHF JPY INR CAD AUD NOK SEK DKK PLN CZK HUF BRL kr Kč zł Ft Fr. R$ US$ CA$ A$"
CURRENCIES += " 円 元 ₩ ％ MXN zl Rs Rs. R ZAR SGD NZD AED"
KNOWN = {name.lower() for name in CURRENCIES.split()}
SAME_UNIT = {"€": "EUR", "$": "USD", "us$": "USD", "ca$": "CAD", "a$": "AUD", "£": "GBP", "円": "JPY", "₹": "INR"}
SAME_UNIT |= {"¥": "JPY", "zł": "PLN", "zl": "PLN", "kč": "CZK", "ft": "HUF", "fr.": "CHF", "r$": "BRL", "₺": "TRY"}
SAME_UNIT |= {"％": "%"}
MULTIPLES = {"k": 1e3, "tsd": 1e3, "tsd.": 1e3, "mio": 1e6, "mio.": 1e6, "mn": 1e6, "m": 1e6, "million": 1e6}
MULTIPLES |= {"t€": 1e3, "teur": 1e3, "mio€": 1e6, "mio.€": 1e6, "万": 1e4}
MULTIPLES |= {"mrd": 1e9, "mrd.": 1e9, "bn": 1e9, "b": 1e9, "billion": 1e9, "thousand": 1e3}
LOCALES = [(".", ""), (".", ","), (",", ""), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'")]
UNDECIDED = re.compile(r"[1-9]\d{0,2}([.,])\d{3}")  # 1.234: a thousand or a little over one


@dataclass(frozen=True)
class NumberGuess:
    """How numbers seem to be written.

    Attributes
    ----------
    written
        None where they are plain.
    bad
        The values that are no numbers, each once, in their order.
    ambiguous
        The other way to read them, None where the values decide.
    shows_mark
        Whether any value has a decimal mark or thousands.
    """

    written: NumberFormat | None
    bad: list[str]
    ambiguous: NumberFormat | None = None
    shows_mark: bool = False

    @property
    def decides(self) -> bool:
        """Whether the values show which mark parts decimals."""
        return self.ambiguous is None and self.shows_mark


def guess_numbers(values: Sequence[str], decimal: str = "") -> NumberGuess | None:
    """Tell how values are written as numbers, None where fewer than `MOSTLY` of them are any.

    Parameters
    ----------
    values
        The filled cells of a column, placeholders aside.
    decimal
        The decimal mark of the file's other columns, which decides where the values do not; "" where none is known.
    """
    if not values:
        return None
    counts = Counter(values)
    bad = [value for value in counts if not re.fullmatch(NUMBER, value, re.ASCII)]
    plain = 1 - sum(counts[value] for value in bad) / len(values)
    few = _first(counts)
    undecided = _undecided(few)
    if plain >= MOSTLY and not undecided:
        return NumberGuess(None, bad, shows_mark=any("." in value for value in counts))
    ignore, multiples = _affixes(few)
    formats = [
        NumberFormat.model_validate({"decimal": mark, "thousands": group, "ignore": ignore, "multiples": multiples})
        for mark, group in LOCALES
    ]
    shares = [_share(one, few) for one in formats]
    best = max(shares)
    if best < MOSTLY - SLACK:
        return None
    fitting = [one for one, share in zip(formats, shares, strict=True) if share == best]
    first = next((one for one in fitting if one.decimal == decimal), None) or _default(fitting, undecided)
    other = next((one for one in fitting if one.decimal != first.decimal), None) if undecided else None
    settled = None if decimal else other
    if plain >= MOSTLY and first == formats[0]:
        return NumberGuess(None, bad, settled, shows_mark=True)
    pattern = re.compile(first.pattern)
    bad = [value for value in counts if not fits(value, pattern)]
    marked = any("." in value or "," in value for value in few)
    enough = sum(counts[value] for value in bad) <= (1 - MOSTLY) * len(values)
    return NumberGuess(first, bad, settled, marked) if enough else None


def _first(counts: Counter[str]) -> Counter[str]:
    """The first different values, which tell the notation."""
    return Counter(dict(islice(counts.items(), DECIDING)))


def numeric_share(values: Sequence[str]) -> float:
    """The share of values that are numbers in one notation or another."""
    counts = _first(Counter(values))
    ignore, multiples = _affixes(counts)
    patterns = [
        re.compile(NumberFormat.model_validate(given | {"ignore": ignore, "multiples": multiples}).pattern)
        for given in ({"decimal": mark, "thousands": group} for mark, group in LOCALES)
    ]
    numeric = sum(count for value, count in counts.items() if any(fits(value, one) for one in patterns))
    return numeric / max(counts.total(), 1)


def plain_number(value: str, written: NumberFormat) -> str:
    """A number of a format as programs write it; the value itself where it does not fit."""
    plain = re.sub(r"^\((.*)\)$", r"-\1", in_ascii(value).strip())
    match = re.fullmatch(written.pattern, plain)
    if match is None:
        return value
    sign, whole, decimals, exponent, multiple, minus = match.groups()
    digits = re.sub(r"\D", "", whole)
    factors = {name.lower(): factor for name, factor in written.multiples.items()}
    negative = sign in ("-", "−") or minus == "-"
    number = float(f"{digits}.{decimals or 0}{exponent or ''}") * factors.get((multiple or "").lower(), 1.0)
    return repr(-number if negative else number)


def fits(value: str, pattern: re.Pattern[str]) -> bool:
    """Whether a cell is a number of a format's pattern."""
    plain = in_ascii(value).strip()
    return pattern.fullmatch(re.sub(r"^\((.*)\)$", r"-\1", plain)) is not None


def _share(written: NumberFormat, counts: Counter[str]) -> float:
    pattern = re.compile(written.pattern)
    return sum(count for value, count in counts.items() if fits(value, pattern)) / counts.total()


def _undecided(counts: Iterable[str]) -> str:
    """The mark of a column that stands before exactly three digits everywhere: of decimals or of thousands; else ""."""
    bodies = [match[3].strip() for match in map(PARTS.fullmatch, map(in_ascii, counts)) if match]
    marked = [body for body in bodies if "." in body or "," in body]
    marks = {found[1] for found in map(UNDECIDED.fullmatch, marked) if found}
    return marks.pop() if len(marks) == 1 and all(UNDECIDED.fullmatch(body) for body in marked) else ""


def _default(fitting: list[NumberFormat], undecided: str) -> NumberFormat:
    """A comma before three digits parts thousands; a point stays what it is for programs, but beside a currency."""
    if undecided and (undecided == "," or units(fitting[0]) - {"%"}):
        return next((one for one in fitting if one.thousands == undecided), fitting[0])
    return fitting[0]


def units(written: NumberFormat) -> set[str]:
    """The different currencies, and the percent sign, that stand beside the numbers of a column."""
    return {SAME_UNIT.get(name.lower(), name.upper()) for name in written.ignore if name.lower() in KNOWN}


def _affixes(counts: Counter[str]) -> tuple[list[str], dict[str, float]]:
    """Units and multiples that stand before or after numbers."""
    words: Counter[str] = Counter()
    for value, count in counts.items():
        match = PARTS.fullmatch(in_ascii(value))
        before, close, behind = match.group(1, 2, 4) if match else ("", "", "")
        named = {word for part in (before, close) for word in part.split() if word.lower() in KNOWN}
        for affix in named | {(behind or "").strip()} - {""}:  # what stands before may be part of an id, such as L17
            words[affix] += count
    ignore, multiples = set(), {}
    for affix, count in words.items():
        for word in affix.split():
            if word.lower() in MULTIPLES:
                multiples[word] = MULTIPLES[word.lower()]
            elif word.lower() in KNOWN or (count >= COMMON * counts.total() and (word[0].isalpha() or word[0] == "/")):
                ignore.add(word)
    return sorted(ignore), dict(sorted(multiples.items()))
