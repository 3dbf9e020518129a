"""Why a lead has its score: contributions in points, summed by theme, as sentences."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from features.attributes.definitions import DOMAIN_KINDS
from features.matrix.catalogue import Catalogue, Entry
from features.schema.vocabulary import OTHER
from models.points.scale import Sums

_to_json = json.JSONEncoder(ensure_ascii=False).encode  # one encoder for all: json.dumps makes one a call
LEAST_POINTS = 0.5  # a reason that rounds to no point says nothing
RECENT, OFTEN = 0.5, 3.0  # decayed counts: one event a half-life back; three events now, or more of them further back
ONE_PERCENT = 0.01
SOON = 1.0  # days; shorter gaps would promise a precision that events by the day do not have
SAME_PACE = 0.05  # events a week; less is the rounding of equal paces
# Measures whose words follow the name of their theme; any other is said by its own label and its number.
BY_THEME = ("count", "decayed", "recency", "active_days", "mean_gap", "trend", "unanswered", "value_sum", "value_last",
            "value_max", "frequency")  # fmt: skip
NO_LEVEL = "new, rare or other"  # what a vocabulary calls other, where a file may hold that value too
DOMAIN_WORDS = {"company": "a company's own", "free": "a free provider's", "academic": "a school's"}
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """What one theme adds to a lead's score.

    Attributes
    ----------
    points
        The sum over the theme's features.
    feature, value
        The feature of the theme that pulls most in the direction of the sum, or the one that says it, and its value.
    text
        The sentence, points first.
    """

    theme: str
    group: str
    points: float
    feature: str
    value: float
    text: str


@dataclass(frozen=True)
class Reasons:
    """The reasons of many leads, strongest first; indexed by lead, or written for all leads at once.

    Attributes
    ----------
    ends
        How many reasons the leads up to each one have, shape (n_leads,).
    column, value, points
        Of each reason, the column and the value of the feature it names, and the points of its theme, shape (m,).
    """

    entries: Catalogue
    ends: list[int]
    column: np.ndarray
    value: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, lead: int) -> list[Reason]:
        piece = self._pieces[lead]
        rows = zip(self.column[piece], self.value[piece].tolist(), self.points[piece].tolist(), strict=True)
        named = ((self.entries[column], value, points) for column, value, points in rows)
        return [
            Reason(entry.theme, entry.group, points, entry.name, value, f"{points:+.0f} {phrase(entry, value)}")
            for entry, value, points in named
        ]

    @cached_property
    def _pieces(self) -> list[slice]:
        return [slice(begin, end) for begin, end in pairwise([0, *self.ends])]

    @cached_property
    def _phrases(self) -> tuple[list[Phrase], list[int]]:
        """The phrase of each distinct value of each feature, and the index of each reason's phrase."""
        phrases: list[Phrase] = []
        index = np.empty(len(self.value), dtype="intp")
        for column in np.unique(self.column):
            rows = np.flatnonzero(self.column == column)
            distinct, number = np.unique(self.value[rows], return_inverse=True)
            index[rows] = number + len(phrases)
            phrases += _phrases(self.entries[column], distinct)
        return phrases, index.tolist()

    @cached_property
    def _signed(self) -> list[str]:
        return [f"{rounded:+d}" for rounded in np.rint(self.points).astype("int64").tolist()]

    def in_words(self) -> list[str]:
        """Return what each lead's reasons say in one line, points last: a cell that begins with a sign is a formula."""
        phrases, index = self._phrases
        texts = [f"{phrases[number].text} ({signed})" for signed, number in zip(self._signed, index, strict=True)]
        return ["; ".join(texts[piece]) for piece in self._pieces]

    def in_json(self) -> list[str]:
        """Return each lead's reasons as a JSON list; points to 4 decimals, values to 6, null where not known."""
        phrases, index = self._phrases
        rounded = np.round(self.points, 4).tolist()
        objects = [
            f"{before}{points!r}{between}{signed} {escaped}"
            for points, signed, (_, before, between, escaped) in zip(
                rounded, self._signed, map(phrases.__getitem__, index), strict=True
            )
        ]
        return [f"[{', '.join(objects[piece])}]" for piece in self._pieces]


class Phrase(NamedTuple):
    """The words for one value, and the JSON before its points, between them and the text, and from the text on."""

    text: str
    before: str
    between: str
    escaped: str


def _phrases(entry: Entry, values: np.ndarray) -> list[Phrase]:
    """Describe each value; most of them read like another, so each text is escaped only once."""
    theme, group, name = map(_to_json, (entry.theme, entry.group, entry.name))
    before, between = f'{{"theme": {theme}, "group": {group}, "points": ', f', "feature": {name}, "value": '
    endings: dict[str, str] = {}
    phrases = []
    for value, rounded in zip(values.tolist(), np.round(values, 6).tolist(), strict=True):
        text = phrase(entry, value)
        if text not in endings:
            endings[text] = f"{_to_json(text)[1:]}}}"
        known = repr(rounded) if math.isfinite(value) else "null" if math.isnan(value) else _to_json(value)
        phrases.append(Phrase(text, before, f'{between}{known}, "text": "', endings[text]))
    return phrases


@dataclass(frozen=True)
class Themes:
    """What depends on the catalogue alone.

    Attributes
    ----------
    sums
        Points by theme.
    columns
        Of each theme, in the order of the sums.
    said
        See `said_by`.
    """

    entries: Catalogue
    sums: Sums
    columns: list[np.ndarray]
    said: np.ndarray

    @classmethod
    def of(cls, entries: Catalogue) -> Self:
        columns = [np.array(of_theme) for of_theme in columns_by_theme(entries).values()]
        return cls(entries, Sums.by([entry.theme for entry in entries]), columns, said_by(entries))


def top_reasons(points: np.ndarray, features: np.ndarray, themes: Themes, n: int) -> Reasons:
    """Find the strongest reasons of each lead, by absolute points.

    Parameters
    ----------
    points
        Points of each feature, shape (n_leads, k).
    features
        The matrix, shape (n_leads, k).
    n
        The largest number of reasons a lead; those that round to no point are left out.
    """
    sums = themes.sums.of(points)
    order = np.argsort(-np.abs(sums), axis=1, kind="stable")[:, :n]
    totals = np.take_along_axis(sums, order, axis=1)
    lead, rank = np.nonzero(np.abs(totals) > LEAST_POINTS)
    total, theme = totals[lead, rank], order[lead, rank]
    strongest = np.empty(len(lead), dtype="intp")
    for number in np.unique(theme):
        rows, of_theme = np.flatnonzero(theme == number), themes.columns[number]
        pulls = points[lead[rows][:, None], of_theme] * np.sign(total[rows])[:, None]
        strongest[rows] = themes.said[of_theme[pulls.argmax(axis=1)]]
    ends = np.cumsum(np.bincount(lead, minlength=len(points)))
    return Reasons(themes.entries, ends.tolist(), strongest, features[lead, strongest].astype("float64"), total)


def said_by(entries: Catalogue) -> np.ndarray:
    """Return, for each feature, the column that says it: itself, or for a decayed count the count of a window.

    Nobody can picture a decayed count. The window is the shortest that holds three quarters of its weight, two
    half-lives, else the longest there is.
    """
    counts: dict[str, list[tuple[int, int]]] = {}
    for column, entry in enumerate(entries):
        if entry.measure == "count" and _days(entry).isdecimal():
            counts.setdefault(entry.theme, []).append((int(_days(entry)), column))
    said = np.arange(len(entries))
    for column, entry in enumerate(entries):
        if entry.measure == "decayed" and entry.theme in counts:
            windows = sorted(counts[entry.theme])
            long_enough = [one for one in windows if one[0] >= 2 * float(_days(entry))]
            said[column] = (long_enough or windows[-1:])[0][1]
    return said


def columns_by_theme(entries: Catalogue) -> dict[str, list[int]]:
    """Return the columns of each theme's features, themes in the catalogue's order."""
    columns: dict[str, list[int]] = {}
    for column, entry in enumerate(entries):
        columns.setdefault(entry.theme, []).append(column)
    return columns


def phrase(entry: Entry, value: float) -> str:
    """Describe the feature's value for this lead; missing reads as not known or never, zero as none."""
    about = entry.theme_label if entry.measure in BY_THEME else entry.label
    return f"{about}: {_absent(entry.measure) if math.isnan(value) else _present(entry, value)}"


def _absent(measure: str) -> str:
    words = {"recency": "never", "mean_gap": "once at most", "value_last": "value not known"}
    return (words | {"value_max": "value not known"}).get(measure, "not known")


def _present(entry: Entry, value: float) -> str:
    if entry.levels is not None:
        return _level(entry, value)
    match entry.measure:
        case "frequency":
            return _how_common(value) if value else "not seen before"
        case "age":
            return _duration(value)
        case "calendar":
            return MONTHS[int(value) - 1] if entry.unit == "month" else f"{value:.0f}:00 to {value:.0f}:59"
        case "missing":
            return _number(value) if value else "none"
        case "count" | "active_days" | "value_sum":
            return _in_window(entry, value)
        case "value_last":
            return f"{amount(value, entry.unit)} the last time"
        case "value_max":
            return f"up to {amount(value, entry.unit)}"
        case "decayed":
            return _lately(entry, value)
        case "recency" | "mean_gap" | "trend" | "unanswered":
            return _pace(entry.measure, value)
        case _:
            return amount(value, entry.unit)


def _level(entry: Entry, code: float) -> str:
    """Name the level; a code that training did not know counts as missing in the trees too."""
    if not 0 <= code < len(entry.levels or []):
        return "not known"
    name = level_words(entry, int(code))
    return DOMAIN_WORDS[name] if entry.levels == DOMAIN_KINDS else name


def level_words(entry: Entry, code: int) -> str:
    """Name the level of a category: a value of the data as it is spelt, what a title or a domain says in words.

    The last may stand for all values that are none, such as a new agent.
    """
    levels = entry.levels or []
    if levels[code] == OTHER and code == len(levels) - 1:
        return NO_LEVEL
    return levels[code] if entry.name == entry.theme else levels[code].replace("_", " ")


def _how_common(share: float) -> str:
    """Say a share of leads: as percent where it is one, else as one in N, by two digits."""
    if share >= ONE_PERCENT:
        return f"shared by {_number(100 * share)}% of leads"
    one_in = 1 / share
    return f"shared by 1 in {_number(round(one_in, 1 - math.floor(math.log10(one_in))))} leads"


def _in_window(entry: Entry, value: float) -> str:
    """Say a count, the active days or a sum, and in which window."""
    days, window = _days(entry), window_of(entry)
    if entry.measure == "value_sum":
        nothing = not value and entry.unit == "value"
        return f"no value {window}" if nothing else f"{amount(value, entry.unit)} in total {window}"
    if not value:
        return f"none {window}"
    if entry.measure == "count":
        return f"{_times(value)} {window}"
    on = {"ever": f"on {amount(value, 'days')} so far", "1": window}
    return on.get(days, f"on {_number(value)} of the last {days} days")


def _lately(entry: Entry, value: float) -> str:
    """Say a decayed count; below what one event at the half-life gives, there was none since then."""
    if value >= RECENT:
        return "a lot lately" if value >= OFTEN else "some lately"
    return f"none in the last {_days(entry)} days" + (", some before" if value else "")


def window_of(entry: Entry) -> str:
    """Return in words the window that the feature's name ends with."""
    days = _days(entry)
    return {"ever": "so far", "1": "in the last day"}.get(days, f"in the last {days} days")


def _days(entry: Entry) -> str:
    """Return the window or half-life that the feature's name ends with, such as 7d, or ever."""
    return entry.name.rsplit("__", 1)[-1].removesuffix("d")


def _pace(measure: str, value: float) -> str:
    match measure:
        case "recency":
            return f"last one {_duration(value)} ago"
        case "mean_gap":
            return f"{'less than a day' if value < SOON else _duration(value)} apart on average"
        case "trend":
            return "picking up" if value > SAME_PACE else "slowing down" if value < -SAME_PACE else "no change in pace"
        case _:
            last = "the last one" if value == 1 else f"the last {_number(value)} in a row"
            return f"{last} unanswered" if value else "none unanswered"


def _times(value: float) -> str:
    return {1.0: "once", 2.0: "twice"}.get(value, f"{_number(value)} times")


def _duration(days: float) -> str:
    if days < 1 / 24:
        return "less than an hour"
    if days < 1:
        return amount(round(days * 24), "hours")
    tenths = round(10 * days) / 10  # round() to a digit is ten times slower
    return amount(tenths if days < 10 else round(days), "days")


@lru_cache(maxsize=10_000)  # durations of many leads are the same once they are rounded
def amount(value: float, unit: str) -> str:
    """Write a number with its unit, in the singular where it is one."""
    number = _number(value)
    if unit in ("", "value"):  # value: of events whose unit `source.event_units` does not name
        return f"{unit} {number}".lstrip()
    return f"{number} {unit_of(number, unit)}"


def unit_of(number: str, unit: str) -> str:
    """Return the unit as it stands behind a number: 1 day, 2 days, 1 access."""
    return unit.removesuffix("s") if number == "1" and unit.endswith("s") and not unit.endswith("ss") else unit


def _number(value: float) -> str:
    """Write whole and large numbers without decimals, others with three digits and never as a power of ten."""
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value + 0.0:,.0f}"
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
