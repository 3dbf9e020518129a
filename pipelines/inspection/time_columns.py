"""Which columns hold times, in which formats, and which of their values do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from features.schema.cells import NAMED_FORMATS, Field, Written, cell_name, typed
from models.leakage.suspicious_names import words
from pipelines.storage.duckdb import in_memory

FITS = 0.9  # share of a column's values that must be times, for the column to be of times
NAMED_FITS = 0.5  # the same for a column that is named like a date
SEEN = 400  # values that tell which formats to try
FAR = 4  # times as long a span as another order of day, month and year gives, which then is meant
EXAMPLES = 3
DATE_WORDS = {"date", "datetime", "time", "timestamp", "at", "on", "datum", "fecha", "data", "day", "created", "closed"}
DATE_WORDS |= {"op", "am", "dato", "pvm", "tarih", "alta", "zeit", "zeitpunkt", "uhrzeit", "tag", "jour", "hora"}
DATE_STEMS = ("erstell", "angeleg", "registrier", "abgeschloss")
DATE_ENDS_ELSEWHERE = ("日", "日時", "日付", "日期", "时间", "дата", "дата создания")
DATE_ENDS = ("date", "datum", "_at", "time", "timestamp")
# What stands for "no date" where more than a share of the cells hold it.
PLACEHOLDER, MANY = re.compile(r"\D*|0{4}\D.*|(.*\D)?(0001|1900|1970|2099|2999|9999)(\D.*)?"), 0.1
UNKNOWN = {"", "null", r"\n", "0000-00-00", "0000-00-00 00:00:00"}
UNKNOWN |= {"-", "--", "n/a", "#n/a", "nan", "nat", "none", "never"}

DAYS = [f"%{a}{mark}%{b}{mark}%{c}" for mark in "/.-" for a, b, c in ("dmY", "mdY", "Ymd", "dmy", "mdy", "ymd")]
DAYS += ["%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%d. %B %Y", "%d. %b %Y", "%b %d, %Y", "%B %d, %Y"]
DAYS += ["%Y年%m月%d日", "%b %d %Y", "%a %b %d %Y", "%a, %d %b %Y", "%A, %B %d, %Y", "%d/%b/%Y"]
CLOCKS = ["%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%H:%M %Z", "%H:%M:%S %Z"]
CLOCKS += ["%H:%M:%S GMT%z", "%H:%M:%S %z", "%H:%M %z", "%H:%M Uhr", "%I:%M %p %Z"]
PATTERNS = [
    *DAYS,
    "%a %b %d %H:%M:%S %Z %Y",
    *(f"{day}{link}{clock}" for day, link, clock in product(DAYS, (" ", ", ", "T", " at "), CLOCKS)),
]
RANGES = {"epoch": (8e8, 2.2e9), "epoch_ms": (8e11, 2.2e12), "excel": (2e4, 6e4)}  # about 1995 to 2039; 1954 to 2064


@dataclass(frozen=True)
class TimeColumn:
    """A column of times.

    Attributes
    ----------
    formats
        Of its values, in the order in which they are tried.
    swapped
        The first format with day and month (or year) the other way round, where that fits as well; else "".
    bad, filled
        How many of its filled cells do not fit, and how many there are.
    examples
        The first values that do not fit, each with its row.
    unknown
        Spellings that fit no format and mean "no date".
    """

    formats: tuple[str, ...]
    swapped: str = ""
    bad: int = 0
    filled: int = 0
    examples: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def day_first(self) -> bool | None:
        """Whether days stand before months, None where the values do not say or months have names."""
        orders = {_order(name) for name in self.formats if name not in NAMED_FORMATS} & {"dmy", "mdy"}
        return None if self.swapped or len(orders) != 1 else orders == {"dmy"}

    def with_days(self, first: bool) -> TimeColumn:
        """The same column, read with the day, or with the month, first."""
        if (_order(self.formats[0]) == "dmy") == first:
            return replace(self, swapped="")
        return replace(self, formats=tuple(map(_swap, self.formats)), swapped="")


def named_like_a_date(name: str) -> bool:
    """Whether a column's name says that it holds times."""
    parts = words(name)
    ends = (bool(parts) and parts[-1].endswith(DATE_ENDS)) or name.strip().endswith(DATE_ENDS_ELSEWHERE)
    return bool(DATE_WORDS & set(parts)) or ends or any(part.startswith(DATE_STEMS) for part in parts)


def find_times(name: str, cells: pd.Series[str], of_numbers: bool = False) -> TimeColumn | str | None:
    """Look for times in one column.

    Parameters
    ----------
    cells
        Its values as text, None where empty.
    of_numbers
        Whether the file holds numbers there.

    Returns
    -------
    TimeColumn, str or None
        The times; or, of a column that is named like a date and holds digits, why they cannot be read; or nothing.
    """
    named, filled = named_like_a_date(name), cells.dropna()
    if of_numbers and not named:
        return None
    unknown = filled.str.strip().str.lower().isin(UNKNOWN) | (named & filled.isin(_placeholders(filled)))
    known = filled[~unknown]
    distinct = known.drop_duplicates()
    seen = (
        distinct.iloc[np.unique(np.linspace(0, max(len(distinct) - 1, 0), SEEN).astype(int))] if len(known) else known
    )
    if not len(seen) or (seen.str.contains(r"\d").mean() < NAMED_FITS):
        return None
    formats, swapped, times = _choose(seen, _candidates(seen, named))
    times = parse(distinct, formats) if formats and len(seen) < len(distinct) else times.reindex(distinct.index)
    misfits = known[known.isin(set(distinct[times.isna()]))]
    if len(misfits) <= (1 - (NAMED_FITS if named else FITS)) * len(known):
        spellings = tuple(sorted(filled[unknown].unique()))
        return TimeColumn(formats, swapped, len(misfits), len(filled), _shown(misfits), spellings)
    looks = seen.str.fullmatch(r"\s*[+-]?\d{1,4}(\.\d+)?\s*").mean() < NAMED_FITS  # else years, ages, hours
    return f"{_shown(known)} fit no format of dates" if named and looks and not formats else None


def _placeholders(filled: pd.Series[str]) -> list[str]:
    """Values that many cells share and that are no days on which anything happened here: words, 1900-01-01."""
    shares = filled.value_counts() / max(len(filled), 1)
    return [str(value) for value, share in shares.items() if share > MANY and PLACEHOLDER.fullmatch(str(value))]


def _shown(cells: pd.Series[str]) -> str:
    first = cells.drop_duplicates().head(EXAMPLES)
    return ", ".join(f"{value!r} in row {int(str(row)) + 1:,}" for row, value in first.items())


def parse(cells: pd.Series[str], formats: Sequence[str]) -> pd.Series[pd.Timestamp]:
    """The times of cells in UTC, by the first format that fits each; NaT where none does."""
    return _parse(cells, [tuple(formats)])[0]


def _parse(cells: pd.Series[str], ways: Sequence[tuple[str, ...]]) -> list[pd.Series[pd.Timestamp]]:
    """The times of cells as each of several ways reads them, in one pass."""
    field, written = Field("time", "time"), [Written(way, key=str(index)) for index, way in enumerate(ways)]
    frame = pd.DataFrame({"cell": cells.to_numpy(), "n": np.arange(len(cells))}).astype({"cell": "str"})
    times = [f'{typed(field, "text", way)} AS "{index}"' for index, way in enumerate(written)]
    sql = f'SELECT {", ".join(times)} FROM (SELECT n, "cell" AS {cell_name(field)} FROM cells) ORDER BY n'
    bound = {name: value for way in written for name, value in way.bindings().items() if f"${name}" in sql}
    with in_memory().cursor() as connection:
        connection.register("cells", frame)
        read = connection.execute(sql, bound).df()
    return [read[name].set_axis(cells.index) for name in read]


def skeleton(text: str) -> str:
    """The shape of a time: runs of digits and of letters, and the marks between them."""
    plain = re.sub(r"\s*\(.*\)$", "", re.sub(r"\s", " ", text.strip()))
    plain = re.sub(r"(:.*[\d T])[+-]\d{2}:?\d{2}$", "\\1\0", plain)  # an offset follows a clock; -2024 is a year
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", plain))


def _skeleton_of_format(pattern: str) -> str:
    numbers = re.sub(r"%[dmYyHIMSf]+", "9", pattern.replace("%Y%m%d", "%Y"))
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"%[bBaApZ]", "a", numbers.replace("%z", "\0")))


SKELETONS: dict[str, list[str]] = {}
for _pattern in PATTERNS:
    SKELETONS.setdefault(_skeleton_of_format(_pattern), []).append(_pattern)


def _candidates(seen: pd.Series[str], named: bool) -> list[str]:
    shapes = set(seen.map(skeleton))
    patterns = [pattern for shape in sorted(shapes) for pattern in SKELETONS.get(shape, [])]
    if not named and seen.str.match(r"\d{2}\D\d{2}\D\d{2}").mean() < FITS:  # such as the versions 1.2.3 and 1.3.0
        patterns = [name for name in patterns if "%y" not in name or not _order(name) or re.search("%[HI]", name)]
    if seen.str.contains(r"\d\s?[AP]M\b", case=False).any():  # a clock of twelve hours goes with months first
        patterns.sort(key=lambda pattern: _order(pattern) == "dmy")
    numbers = pd.to_numeric(seen, errors="coerce")
    counted = [name for name, (low, high) in RANGES.items() if named and numbers.between(low, high).mean() >= FITS]
    iso = ["iso"] if seen.str.contains(r"\d-\d").any() else []
    return [*iso, *counted, *patterns]


def _choose(seen: pd.Series[str], candidates: Sequence[str]) -> tuple[tuple[str, ...], str, pd.Series[pd.Timestamp]]:
    """The formats that cover most values, the first one's other order of day and month if it fits, and the times."""
    ways = _parse(seen, [(name,) for name in candidates]) if candidates else []
    read = {name: times for name, times in zip(candidates, ways, strict=True) if times.notna().any()}
    if not read:
        return (), "", pd.Series(pd.NaT, index=seen.index)
    most = max(times.notna().sum() for times in read.values())
    best = [name for name, times in read.items() if times.notna().sum() == most]
    first = min(best, key=lambda name: _years(read[name]) if _order(name)[-1:] != "Y" and "%y" in name else 0)
    others = [name for name in best if name != first and sorted(name) == sorted(first)]
    swapped = next((name for name in others if _years(read[name]) <= FAR * _years(read[first])), "")
    chosen, found = [first], read[first]
    while (left := found.isna()).any() and len(chosen) < 4:
        covers = {name: int(times[left].notna().sum()) for name, times in read.items() if name not in chosen}
        follower = next((n for n in sorted(covers, key=lambda n: -covers[n]) if _safe(n, first, covers)), "")
        if not follower:
            break
        chosen.append(follower)
        found = found.fillna(read[follower])
    return tuple(chosen), swapped, found


def _safe(name: str, first: str, covers: dict[str, int]) -> bool:
    """Whether a further format reads values that no other order of day and month would read as well."""
    if not covers[name] or name in NAMED_FORMATS[1:]:
        return False
    rivals = [other for other in covers if other != name and sorted(other) == sorted(name) and covers[other]]
    return not rivals or (_order(name) == _order(first) and "%y" not in name)


def _years(times: pd.Series[pd.Timestamp]) -> float:
    """How long a time the values span, in years; a day that is read as a year spreads them."""
    return 1 + (times.max() - times.min()).days / 365


def _order(pattern: str) -> str:
    """The order of day, month and year in a pattern whose months are numbers, such as dmy; else ""."""
    return "".join(re.findall(r"%([dmYy])", pattern)).lower() if "%m" in pattern else ""


def _swap(pattern: str) -> str:
    """A pattern with day and month the other way round."""
    if _order(pattern) not in ("dmy", "mdy"):
        return pattern
    return re.sub(r"%[dm]", lambda found: "%m" if found[0] == "%d" else "%d", pattern)


def agreed(columns: Iterable[dict[str, TimeColumn]]) -> list[dict[str, TimeColumn]]:
    """Settle day or month first where a column does not say, by those that do: of its own file, else of the others."""
    files = list(columns)
    said = [{one.day_first for one in file.values()} - {None} for file in files]
    everywhere = set().union(*said)
    settled = []
    for file, own in zip(files, said, strict=True):
        votes = own or everywhere
        first = next(iter(votes)) if len(votes) == 1 else None
        settled.append(
            {
                name: one.with_days(first) if first is not None and _order(one.swapped) in ("dmy", "mdy") else one
                for name, one in file.items()
            }
        )
    return settled
