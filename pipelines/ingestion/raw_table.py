"""One table of the user's as a stream of record batches, with the names, types and row numbers of its columns."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.compute import CastOptions

from features.schema.cells import CellKind
from features.schema.errors import DataError, first_line

BATCH = 131_072
OF_FEW = pa.dictionary(pa.int32(), pa.string())
WIDE = 200  # columns of a table that are all read, mapped or not: the quarantine shows them
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
VALUE = re.compile(
    r"[+-]?[\d.,]*\d|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T].*)?|[^@\s]+@[^@\s]+\.\w+"
)  # no name of a column
SOME_VALUES = 0.3  # share of values among the names of columns, from which the header is a row


@dataclass(frozen=True)
class Ragged:
    """A CSV row whose number of fields is not the header's."""

    row: int
    reason: str
    text: str


@dataclass
class RawTable:
    """One source table as a stream.

    Attributes
    ----------
    label
        How errors call the table.
    names, types
        The source's columns, and the type that each is read as.
    batches
        The rows as they come, ragged ones left out.
    ragged
        Rows that do not fit the header; complete once the stream has been read.
    rows
        How many rows have been read so far, ragged ones aside.
    failure
        The error that ended the stream early, if any.
    wanted
        The columns that are read, by their number.
    of_few
        Columns of text with few values, by their number: the engine looks at each value once.
    header
        The source's columns as it spells them, before those of one name are told apart.
    """

    label: str
    names: list[str]
    types: list[pa.DataType]
    batches: Iterable[pa.RecordBatch]
    ragged: list[Ragged] = field(default_factory=list)
    rows: int = 0
    failure: DataError | None = None
    wanted: list[int] = field(default_factory=list)
    of_few: frozenset[int] = frozenset()
    header: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.header = list(self.names)
        self.names = distinct(self.names)
        self.wanted = list(range(len(self.names)))

    def want(self, columns: Iterable[str]) -> None:
        """Before the first row: of a wide table only these are read, and the first others, `WIDE` in all."""
        given = set(columns)
        last = len(self.names) - 1  # which shows whether a quote of a CSV was left open
        needed = [index for index, name in enumerate(self.names) if name in given or index == last]
        others = [index for index, name in enumerate(self.names) if name not in given and index != last]
        self.wanted = sorted(needed + others[: max(0, WIDE - len(needed))])

    def narrowed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch without the columns that are not read, where its source gives all."""
        return batch.select(self.wanted) if batch.num_columns > len(self.wanted) else batch

    @property
    def kinds(self) -> list[CellKind]:
        """What the cells of each column hold."""
        return [_cell_kind(kind) for kind in self.types]

    def reader(self) -> pa.RecordBatchReader:
        """The rows with columns `0#`, `1#` and so on, in the order of `names`, and the 1-based data row as `row#`.

        Names of files may differ only in case, which SQL cannot tell apart; numbers always differ.
        """
        columns = [pa.field(f"{index}#", self._read_type(index)) for index in self.wanted]
        numbered = pa.schema([*columns, pa.field("row#", pa.int64())])
        return pa.RecordBatchReader.from_batches(numbered, self._numbered(numbered))

    def _numbered(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        following, passed = 1, 0
        for batch in self._readable():
            ragged = [bad.row for bad in self.ragged[passed:]]  # they have taken their numbers
            numbers = np.arange(following, following + batch.num_rows + len(ragged), dtype=np.int64)
            if ragged:
                numbers = np.setdiff1d(numbers, ragged, assume_unique=True)[: batch.num_rows]
            following = int(numbers[-1]) + 1 if batch.num_rows else following
            passed += sum(row < following for row in ragged)
            rows = pa.record_batch([*batch.columns, pa.array(numbers)], schema=schema)
            if len(self.wanted) == len(self.names):  # else a column that is not read may hold something
                filled = _filled(batch.columns, batch.num_rows)
                filled &= ~_equal(batch.columns, [self.header[index] for index in self.wanted], batch.num_rows)
                rows = rows if filled.all() else rows.filter(pa.array(filled))
            self.rows += rows.num_rows
            yield rows

    def _read_type(self, index: int) -> pa.DataType:
        return OF_FEW if index in self.of_few else self.types[index]

    def _readable(self) -> Iterator[pa.RecordBatch]:
        """The batches; what ends them early is kept as `failure`, because the engine that reads them hides it."""
        try:
            kinds = [self._read_type(index) for index in self.wanted]
            for batch in self.batches:
                narrowed = self.narrowed(batch)
                self._check_text(narrowed)
                columns = [
                    column.cast(options=CastOptions(target_type=kind, allow_time_truncate=True))
                    for column, kind in zip(narrowed.columns, kinds, strict=True)
                ]
                yield pa.record_batch(columns, names=narrowed.schema.names)
        except DataError as error:
            self.failure = self.failure or error
            raise
        except (pa.ArrowException, duckdb.Error, UnicodeError, OSError) as error:
            self.failure = DataError(
                self.label,
                "",
                found=f"rows that cannot be read after row {self.rows:,}: {first_line(error)}",
                expected="a file that is whole",
                fix="Export or copy it again.",
            )
            raise self.failure from None

    def _check_text(self, batch: pa.RecordBatch) -> None:
        """Files of typed columns do not check their texts."""
        for index, column in zip(self.wanted, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise DataError(
                    self.label,
                    self.names[index],
                    found=f"text that is no UTF-8, after row {self.rows:,}: {first_line(error)}",
                    expected="text in UTF-8",
                    fix="Write the file again with its text in UTF-8.",
                ) from None

    def cell(self, column: str, key: str) -> tuple[str, CellKind]:
        """The SQL name and the kind of a column.

        Raises
        ------
        DataError
            Where there is no such column; lists those there are, and the nearest spelling.
        """
        if column in self.names:
            index = self.names.index(column)
            return f'"{index}#"', _cell_kind(self.types[index])
        twice = [name for name in self.names if name.startswith(f"{column} (")]
        if f"{column} (1)" in twice:
            raise DataError(
                self.label,
                column,
                found=f"{len(twice)} columns of that name",
                expected="one",
                fix=f"Name the one that is meant in {key}: {' or '.join(map(repr, twice))}.",
            )
        raise DataError(
            self.label,
            column,
            found="only the columns " + ", ".join(repr(name) for name in self.names),
            expected=f"a column of that name, as {key} says",
            fix=_wrong_header(self.names) or nearest(column, self.names) + f"Correct {key}.",
        )


def _filled(columns: Sequence[pa.Array], rows: int) -> np.ndarray:
    """Which rows hold anything; spreadsheets export rows of separators alone."""
    blank = np.ones(rows, dtype=bool)
    for column in columns:
        if not blank.any():
            break
        empty = pc.is_null(column)
        if pa.types.is_string(column.type) or column.type == OF_FEW:
            empty = pc.or_(empty, pc.fill_null(pc.equal(column, ""), True))
        blank &= empty.to_numpy(zero_copy_only=False)
    return ~blank


def _equal(columns: Sequence[pa.Array], header: Sequence[str], rows: int) -> np.ndarray:
    """Which rows are the header once more; files that were joined into one have it in their midst."""
    texts = [pa.types.is_string(column.type) or column.type == OF_FEW for column in columns]
    again = np.full(rows, len(texts) > 1 and all(texts))
    for column, name in zip(columns, header, strict=True):
        if not again.any():
            break
        again &= pc.fill_null(pc.equal(column, name), False).to_numpy(zero_copy_only=False)
    return again


def _wrong_header(names: list[str]) -> str:
    if names[0].lower().startswith("sep="):
        return f"Its first line names the separator: set skip_rows: 1 and separator: {names[0][4:5]!r}."
    inside = [f"set separator: {mark!r}" for mark in SEPARATORS if len(names) == 1 and mark in names[0]]
    if inside:
        return f"The fields are not split: {inside[0]}."
    if looks_like_a_row(names):
        return "The first row holds values, so the file has no header: export it with one."
    if sum(name.startswith("column ") for name in names) >= len(names) / 2:
        return "A title stands above the header: set skip_rows to its number of lines."
    return ""


def nearest(name: str, names: Iterable[str]) -> str:
    """The question whether the nearest spelling was meant, or nothing where none is near."""
    lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"Did you mean {lower[close[0]]!r}? " if close else ""


def distinct(names: Sequence[str]) -> list[str]:
    """The names of a header with those that repeat or are blank told apart: `Mail (1)`, `Mail (2)`, `column 3`."""
    filled = [name or f"column {number}" for number, name in enumerate(names, 1)]
    counts, seen = Counter(filled), Counter[str]()
    unique = []
    for name in filled:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return unique


def looks_like_a_row(names: Sequence[str]) -> bool:
    """Whether the names of a header look like values: dates, numbers or mail addresses."""
    values = [name for name in names if VALUE.fullmatch(name.strip())]
    return len(values) >= 1 and len(values) >= SOME_VALUES * len(names)


def _cell_kind(kind: pa.DataType) -> CellKind:
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "real"
    if pa.types.is_boolean(kind):
        return "truth"
    if pa.types.is_date(kind):
        return "day"
    return "moment" if pa.types.is_timestamp(kind) else "other"
