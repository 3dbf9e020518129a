"""How an unknown file is written: its format, encoding, separator and times, found by trying."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import duckdb
import pandas as pd
from charset_normalizer import from_bytes

from features.schema.cells import CellKind, as_text
from features.schema.errors import DataError, first_line
from pipelines.config.source import FORMATS, TableSource
from pipelines.ingestion.csv_source import first_bad_byte, first_bytes, unpacked_name, wide_encoding
from pipelines.ingestion.document_sources import read_sheet
from pipelines.ingestion.file_sources import files_of, open_table
from pipelines.ingestion.raw_table import SEPARATORS, SOME_VALUES, looks_like_a_row
from pipelines.inspection.time_columns import TimeColumn, agreed, find_times, parse, skeleton
from pipelines.storage.duckdb import SEALED, in_memory

SAMPLE_ROWS = 500_000  # looked at from the top of a file
READABLE = (".csv", ".gz", ".zip", *FORMATS)
TOP_ROWS = 10_000  # that tell whether the header is one of them
HEAD_LINES = 200  # that tell the separator
WESTERN = "cp1252"
LEGACY = [WESTERN, "cp1251", "cp1253", "cp932", "cp949", "big5", "gb18030"]  # cp1250 and cp1254 look like cp1252


@dataclass(frozen=True)
class FileSample:
    """The top of a file as text, and how the file is written.

    Attributes
    ----------
    source
        The settings that `source` in params.yaml needs, with no columns mapped.
    frame
        Its first rows, one column a column of the file, every cell text or None.
    times
        Its columns of times.
    unread
        Columns that are named like a date and fit no format, each with examples.
    cut
        Whether the file has more rows than were looked at.
    """

    path: Path
    source: TableSource
    frame: pd.DataFrame
    times: dict[str, TimeColumn]
    unread: dict[str, str]
    cut: bool

    @property
    def files(self) -> list[Path]:
        """The files behind it, more than one where the path is a pattern."""
        return [self.folder / name for name in files_of(self.source.path, self.folder)]

    @property
    def folder(self) -> Path:
        """The folder that the path in `source` is relative to."""
        return self.path.parents[len(PurePath(self.source.path).parts) - 1]

    def moments(self, column: str) -> pd.Series[pd.Timestamp]:
        """The times of a column in UTC, NaT where a value does not fit its formats."""
        return parse(self.frame[column], self.times[column].formats)


def sniff_all(paths: Iterable[Path]) -> list[FileSample]:
    """Look at files that belong together: what one of them says about days and months holds for all."""
    samples = [sniff(path) for path in paths]
    settled = agreed(sample.times for sample in samples)
    return [replace(sample, times=times) for sample, times in zip(samples, settled, strict=True)]


def sniff_filled(paths: Sequence[Path], may_be_empty: Path | None) -> tuple[dict[Path, FileSample], list[str]]:
    """Look at files that belong together: those that hold rows, and a warning of events that hold none.

    Raises
    ------
    DataError
        Where a file of leads or outcomes holds no row.
    """
    samples = dict(zip(paths, sniff_all(paths), strict=True))
    empty = [path for path, sample in samples.items() if sample.frame.empty]
    for path in (path for path in empty if path != may_be_empty):
        raise DataError(path.name, "", found="a header and no row", expected="a row a lead", fix="Export it again.")
    said = [f"{path.name}: it holds a header and no event" for path in empty]
    return {path: sample for path, sample in samples.items() if path not in empty}, said


def sniff(path: Path) -> FileSample:
    """Find out how a file is written and read its first rows.

    Raises
    ------
    DataError
        Where the file is missing, empty, or cannot be read in any way known here.
    """
    files = [path.parent / name for name in files_of(path.name, path.parent)]
    base = path.parent
    if path.is_dir():
        path, files = _all_in(path)
    if not files:
        raise DataError(path.name, "", found="no such file", expected="a file", fix="Correct its path.")
    kind = FORMATS.get(unpacked_name(files[0]).suffix.lower(), "csv")
    text = kind == "csv"
    encoding = _encoding(files[0]) if text else "utf-8"
    separator, skip_rows = _separator(files[0], encoding) if text else (",", 0)
    settings = {
        "path": path.relative_to(base).as_posix(),
        "format": kind,
        "table": _only_table(files[0]) if kind == "duckdb" else "",
        "separator": separator,
        "skip_rows": _title_rows(read_sheet(files[0], "", path.name)) if kind == "excel" else skip_rows,
        "encoding": encoding,
        "time_format": "iso",
        "missing": [""],
        **{name: {} for name in ("where", "columns", "constants")},
    }
    source = TableSource.model_validate(settings)
    frame, kinds = _read(base, source)
    found = {name: _times(name, frame[name], kind) for name, kind in kinds.items()}
    times = {name: one for name, one in found.items() if isinstance(one, TimeColumn)}
    unread = {name: one for name, one in found.items() if isinstance(one, str)}
    for name, one in times.items():
        frame[name] = frame[name].mask(frame[name].isin(one.unknown))
    names = list(frame.columns)
    if looks_like_a_row(names) or _is_shaped_like_its_rows(frame) or _is_made_of_its_values(frame):
        raise DataError(
            path.name,
            "",
            found=f"values where the header is expected: {', '.join(map(repr, names[:5]))}",
            expected="a first row with the names of the columns",
            fix="Export the file with its header.",
        )
    return FileSample(path, source, frame.head(SAMPLE_ROWS), times, unread, len(frame) > SAMPLE_ROWS)


def _times(name: str, cells: pd.Series[str], kind: CellKind) -> TimeColumn | str | None:
    if kind in ("day", "moment"):
        return TimeColumn(("iso",), filled=int(cells.notna().sum()))
    return find_times(name, cells, of_numbers=kind != "text") if kind in ("text", "whole", "real") else None


def _head(path: Path) -> bytes:
    return first_bytes(path, 1 << 20)


def _encoding(path: Path) -> str:
    head = _head(path)
    if wide := wide_encoding(head):
        return wide
    if first_bad_byte(path, "utf-8") is None:
        return "utf-8"
    return next((name for name in (_likely(head), WESTERN) if first_bad_byte(path, name) is None), "latin-1")


def _likely(head: bytes) -> str:
    """The most likely encoding that is not Unicode; Western wherever it is plausible, as a few letters show little."""
    matches = from_bytes(head[: head.rfind(b"\n") + 1] or head, cp_isolation=LEGACY)
    plausible = [name for match in matches for name in match.could_be_from_charset if name in LEGACY]
    return WESTERN if WESTERN in plausible or not plausible else plausible[0]


def _is_shaped_like_its_rows(frame: pd.DataFrame) -> bool:
    """Whether the names of columns hold digits and are shaped like the values below, as K1 is above K2."""
    names = [str(name) for name in frame]
    alike = [
        name
        for name in names
        if re.search(r"\d", name) and skeleton(name) in set(frame[name].dropna()[:50].map(skeleton))
    ]
    return len(alike) >= SOME_VALUES * len(names) and bool(alike)


def _is_made_of_its_values(frame: pd.DataFrame) -> bool:
    """Whether the names of columns stand among the values below."""
    names, rows = [str(name) for name in frame], frame.head(TOP_ROWS)
    return bool(sum((rows[name] == name).any() for name in names) > len(names) / 2)


def _all_in(folder: Path) -> tuple[Path, list[Path]]:
    """A pattern for the files of a folder, of the ending that most have, and the files."""
    endings = Counter(path.suffix for path in folder.iterdir() if path.suffix.lower() in READABLE)
    pattern = folder / f"*{max(sorted(endings), key=lambda ending: endings[ending])}" if endings else folder / "*.csv"
    return pattern, sorted(folder.glob(pattern.name))


def _separator(path: Path, encoding: str) -> tuple[str, int]:
    """The mark that cuts the first lines into the same number of fields, the more the better, and the lines above."""
    head = _head(path).decode(encoding, errors="replace").lstrip("\ufeff").splitlines()[:HEAD_LINES]

    def agreement(mark: str) -> tuple[float, int]:
        counts = Counter(len(row) for row in csv.reader(head, delimiter=mark) if row)
        fields, rows = counts.most_common(1)[0] if counts else (1, 0)
        return (rows / counts.total(), fields) if fields > 1 else (0.0, 0)

    named = re.fullmatch(r'"?sep=(.)"?', head[0].strip() or "sep=\t", re.IGNORECASE) if head else None
    mark = named[1] if named else max(SEPARATORS, key=agreement)
    above = 1 if named else 0
    return mark, above + _title_rows(list(csv.reader(head[above:], delimiter=mark)))


def _title_rows(rows: list[list[str]]) -> int:
    """How many rows stand above the header: titles fill few of the cells that the rows below have."""
    filled = [sum(cell.strip() != "" for cell in row) for row in rows[:HEAD_LINES]]
    usual = Counter(count for count in filled if count).most_common(1)[0][0] if any(filled) else 0
    first = next((index for index, count in enumerate(filled) if count > usual / 2), 0)
    if first + 1 < len(rows) and _is_merged_header(rows[first], rows[first + 1]):
        first += 1
    return first if usual > 1 else 0


def _is_merged_header(row: list[str], below: list[str]) -> bool:
    """Whether a row has the names of groups of columns, as merged cells are exported, above the names of columns."""
    names = all(cell.strip() and not re.search(r"\d", cell) for cell in below) and len({*below}) == len(row)
    return names and "" in row


def _only_table(path: Path) -> str:
    try:
        with duckdb.connect(path, read_only=True, config=dict(SEALED)) as connection:
            tables = "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' ORDER BY 1"
            names = connection.execute(tables).fetchall()
    except duckdb.Error as error:
        raise DataError(
            path.name,
            "",
            found=f"a file that DuckDB does not open: {first_line(error)}",
            expected="a DuckDB file",
            fix="Correct its path, or close the program that writes it.",
        ) from None
    if len(names) != 1:
        raise DataError(
            path.name,
            "",
            found="the tables " + (", ".join(name for (name,) in names) or "(none)"),
            expected="one table",
            fix="Copy the table into a file of its own to look at it.",
        )
    return str(names[0][0])


def _read(folder: Path, source: TableSource) -> tuple[pd.DataFrame, dict[str, CellKind]]:
    """The first rows as text, and what the cells of each column hold."""
    with (
        open_table(source, folder, source.path) as raw,
        in_memory().cursor() as connection,
    ):
        connection.register("raw", raw.reader())
        cells = [f'"{index}#"' for index in range(len(raw.names))]
        texts = [f"nullif({as_text(cell, kind)}, '') AS {cell}" for cell, kind in zip(cells, raw.kinds, strict=True)]
        try:
            frame = connection.execute(
                f'SELECT {", ".join(texts)} FROM raw ORDER BY "row#" LIMIT {SAMPLE_ROWS + 1}'
            ).df()
        except duckdb.Error as error:
            message = first_line(error)
            raise raw.failure or DataError(
                source.path, "", found=message, expected="a readable file", fix="Export it again."
            ) from None
        if len(raw.ragged) > raw.rows:
            raise DataError(
                source.path,
                "",
                found=f"{len(raw.ragged):,} rows whose number of fields is not the header's ({raw.ragged[0].reason})",
                expected=f"{len(raw.names)} fields in every row",
                fix="Export it again, with a name for each column.",
            )
        return frame.set_axis(raw.names, axis=1), dict(zip(raw.names, raw.kinds, strict=True))
