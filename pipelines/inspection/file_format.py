"""How an unknown file is written: its format, encoding, separator and times, found by trying."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
from charset_normalizer import from_bytes

from features.schema.cells import Field, Written, as_text, cell_name, typed
from features.schema.errors import DataError
from pipelines.config.source import TableSource
from pipelines.ingestion.file_sources import SEPARATORS, first_bad_byte, open_bytes, open_table
from pipelines.storage.duckdb import NO_EXTENSIONS

SAMPLE_ROWS = 500_000  # looked at from the top of a file
HEAD_LINES = 200  # that tell the separator
FITS = 0.99  # share of a column's values that must fit a time format, for the column to be of times
WESTERN = "cp1252"
LEGACY = [WESTERN, "cp1251", "cp1253", "cp932", "cp949", "big5", "gb18030"]  # cp1250 and cp1254 look like cp1252
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".duckdb": "duckdb", ".ddb": "duckdb", ".db": "duckdb"}
DAYS = [f"{a}{mark}{b}{mark}%Y" for mark in "/.-" for a, b in (("%d", "%m"), ("%m", "%d"))]
DAYS += ["%Y/%m/%d", "%Y%m%d", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d/%m/%y", "%m/%d/%y"]
TIME_FORMATS = ["iso", *(day + hour for day in DAYS for hour in ("", " %H:%M", " %H:%M:%S", " %I:%M %p"))]
LIKE_A_DATE = r"\d{1,4}[-/. ]\w{1,9}[-/., ]|^\d{8}$|^[A-Z][a-z]{2} \d"


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
        The formats that (nearly) all values of a column fit, for columns of times.
    cut
        Whether the file has more rows than were looked at.
    """

    path: Path
    source: TableSource
    frame: pd.DataFrame
    times: dict[str, list[str]]
    cut: bool

    def moments(self, column: str) -> pd.Series[pd.Timestamp]:
        """The times of a column in UTC, NaT where a value does not fit its format."""
        field, time_format = Field("time", "time"), self.times[column][0]
        with duckdb.connect(config=dict(NO_EXTENSIONS)) as connection:
            connection.register("cells", self.frame[[column]].set_axis(["cell"], axis=1).reset_index(names="n"))
            cells = f"SELECT n, cell AS {cell_name(field)} FROM cells"
            written = Written((time_format,))
            sql = f"SELECT {typed(field, 'text', written)} AS t FROM ({cells})"
            bound = {} if time_format == "iso" else written.bindings()
            return connection.execute(f"{sql} ORDER BY n", bound).df()["t"]

    def swapped_day(self, column: str) -> str:
        """The other format of a column whose days may be months, or "" where the file says which is which."""
        fits = self.times[column]
        return next((other for other in fits if other != fits[0] and sorted(other) == sorted(fits[0])), "")


def sniff(path: Path) -> FileSample:
    """Find out how a file is written and read its first rows.

    Raises
    ------
    DataError
        Where the file is missing, empty, or cannot be read in any way known here.
    """
    if not path.is_file():
        raise DataError(path.name, "", found="no such file", expected="a file", fix="Correct its path.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = SUFFIXES.get(suffixes[-1] if suffixes else "", "csv")
    encoding = _encoding(path) if kind == "csv" else "utf-8"
    settings = {
        "path": path.name,
        "format": kind,
        "table": _only_table(path) if kind == "duckdb" else "",
        "separator": _separator(path, encoding) if kind == "csv" else ",",
        "encoding": encoding,
        "time_format": "iso",
        "missing": [""],
        **{name: {} for name in ("where", "columns", "constants")},
    }
    source = TableSource.model_validate(settings)
    frame, times, cut = _read(path, source)
    return FileSample(path, source, frame, times, cut)


def _head(path: Path) -> bytes:
    try:
        with open_bytes(path) as file:
            return file.read(1 << 20)
    except (OSError, EOFError):
        return b""  # opening it as a table says what is wrong


def _encoding(path: Path) -> str:
    head = _head(path)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if first_bad_byte(path, "utf-8") is None:
        return "utf-8"
    return next((name for name in (_likely(head), WESTERN) if first_bad_byte(path, name) is None), "latin-1")


def _likely(head: bytes) -> str:
    """The most likely encoding that is not Unicode; Western wherever it is plausible, as a few letters show little."""
    matches = from_bytes(head[: head.rfind(b"\n") + 1] or head, cp_isolation=LEGACY)
    plausible = [name for match in matches for name in match.could_be_from_charset if name in LEGACY]
    return WESTERN if WESTERN in plausible or not plausible else plausible[0]


def _separator(path: Path, encoding: str) -> str:
    """The mark that cuts the first lines into the same number of fields, the more the better."""
    head = _head(path).decode(encoding, errors="replace").lstrip("\ufeff").splitlines()[:HEAD_LINES]

    def agreement(mark: str) -> tuple[float, int]:
        counts = Counter(len(row) for row in csv.reader(head, delimiter=mark) if row)
        fields, rows = counts.most_common(1)[0] if counts else (1, 0)
        return (rows / counts.total(), fields) if fields > 1 else (0.0, 0)

    return max(SEPARATORS, key=agreement)


def _only_table(path: Path) -> str:
    try:
        with duckdb.connect(path, read_only=True, config=dict(NO_EXTENSIONS)) as connection:
            names = connection.execute("SELECT table_name FROM information_schema.tables ORDER BY 1").fetchall()
    except duckdb.Error as error:
        raise DataError(
            path.name,
            "",
            found=f"a file that DuckDB does not open: {str(error).splitlines()[0]}",
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


def _read(path: Path, source: TableSource) -> tuple[pd.DataFrame, dict[str, list[str]], bool]:
    with (
        open_table(source, path.parent, path.name) as raw,
        duckdb.connect(config=dict(NO_EXTENSIONS)) as connection,
    ):
        connection.register("raw", raw.reader())
        cells = [f'"{index}#"' for index in range(len(raw.names))]
        texts = [f"nullif({as_text(cell, kind)}, '') AS {cell}" for cell, kind in zip(cells, raw.kinds, strict=True)]
        try:
            frame = connection.execute(
                f'SELECT {", ".join(texts)} FROM raw ORDER BY "row#" LIMIT {SAMPLE_ROWS + 1}'
            ).df()
        except duckdb.Error as error:
            message = str(error).splitlines()[0]
            raise raw.failure or DataError(
                path.name, "", found=message, expected="a readable file", fix="Export it again."
            ) from None
        connection.unregister("raw")
        times = {}
        for index, (name, kind) in enumerate(zip(raw.names, raw.kinds, strict=True)):
            if kind in ("day", "moment"):
                times[name] = ["iso"]
            elif kind == "text" and (fits := _time_formats(connection, frame[f"{index}#"])):
                times[name] = fits
        return frame.set_axis(raw.names, axis=1).head(SAMPLE_ROWS), times, len(frame) > SAMPLE_ROWS


def _time_formats(connection: duckdb.DuckDBPyConnection, cells: pd.Series[str]) -> list[str]:
    """The formats that nearly all values fit, the best first; a first look at a few values rules most out."""
    filled = cells.dropna().drop_duplicates()
    if not filled.head(50).str.contains(LIKE_A_DATE).mean() >= 0.5:
        return []
    few = _fitting(connection, filled.head(50), TIME_FORMATS)
    shares = _fitting(connection, filled, [name for name, share in few.items() if share >= 0.5])
    good = {name: share for name, share in shares.items() if share >= FITS}
    best = max(good.values(), default=0.0)
    return [name for name, share in good.items() if share == best]


def _fitting(connection: duckdb.DuckDBPyConnection, cells: pd.Series[str], formats: list[str]) -> dict[str, float]:
    field = Field("time", "time")
    shares = {}
    connection.register("cells", cells.rename("cell").to_frame())
    for name in formats if len(cells) else []:
        written = Written((name,))
        sql = f'SELECT count({typed(field, "text", written)}) FROM (SELECT "cell" AS {cell_name(field)} FROM cells)'
        bound = {} if name == "iso" else written.bindings()
        ((count,),) = connection.execute(sql, bound).fetchall()
        shares[name] = count / len(cells)
    connection.unregister("cells")
    return shares
