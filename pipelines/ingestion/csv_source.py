"""CSV files, plain, gzipped or zipped, read as streams."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv

from features.schema.errors import DataError, ParamsError, first_line
from pipelines.ingestion.raw_table import SEPARATORS, Ragged, RawTable

if TYPE_CHECKING:
    from pipelines.config.source import TableSource

BLOCK_BYTES = 1 << 23  # of CSV text parsed at once; no single row may be longer
# Files that are no CSV by their first bytes, and what to do.
OTHER_FILES = {
    b"<?xml": ("XML", "Export it as CSV or Excel."),
    b"<html": ("a web page (some CRMs name it .xls)", "Open it in a spreadsheet and save it as .xlsx or CSV."),
    b"<!doctype": ("a web page", "Open it in a spreadsheet and save it as .xlsx or CSV."),
    b"<table": ("a web page (some CRMs name it .xls)", "Open it in a spreadsheet and save it as .xlsx or CSV."),
    b"pk\x03\x04": ("an Excel or zip file", "Name it .xlsx, .ods or .zip, or set format: excel."),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", "Name it .xls, or set format: excel."),
    b"%pdf": ("a PDF", "Export it as CSV or Excel."),
    b"par1": ("Parquet", "Name it .parquet, or set format: parquet."),
    b"\x1f\x8b": ("a gzip file", "Let its name end in .csv.gz."),
    b"{": ("JSON", "Name it .json or .jsonl, or set format: json."),
    b"[{": ("JSON", "Name it .json, or set format: json."),
    b"sqlite format 3": ("an SQLite database", "Export its table as CSV."),
    b"arrow1": ("Arrow or Feather", "Write it as Parquet or CSV."),
}
PACKED = ("compressed in a way that is not known here", "Unpack it, or compress it with gzip as .csv.gz.")
OTHER_FILES |= dict.fromkeys((b"\xfd7zxz", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"bzh9", b"rar!\x1a"), PACKED)
DUCKDB = (b"DUCK", 8)  # what stands in a DuckDB file, and where
BOMS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}  # before UTF-16, whose mark begins UTF-32's
BOMS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DAMAGED = (UnicodeError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


@contextmanager
def open_csv(path: Path, source: TableSource, label: str) -> Iterator[RawTable]:
    names = _header(path, source, label)
    raw = RawTable(label, names, [pa.string()] * len(names), [])
    with open_bytes(path) as file:
        if _has_rows(path, source):
            raw.batches = _guarded(_csv_batches(file, source, raw, names), path, source, raw)
        yield raw


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file that is compressed where its name ends in .gz or .zip; a zip file holds one file.

    Raises
    ------
    OSError
        Where a zip file cannot be opened, or holds several files.
    """
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile reads like a file
    if path.suffix != ".zip":
        return path.open("rb")
    try:
        archive = zipfile.ZipFile(path)
        return archive.open(_only_file(archive))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # a password, or an unknown method
        raise OSError(str(error)) from None


def _only_file(archive: zipfile.ZipFile) -> str:
    inside = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX")]
    if len(inside) != 1:
        raise OSError(f"a zip file with {', '.join(inside[:5]) or 'nothing'} inside, where one file is expected")
    return inside[0]


def unpacked_name(path: Path) -> Path:
    """The name of a file, or of the one in it where it is compressed; of a zip file that holds several its own."""
    if path.suffix == ".gz":
        return path.with_suffix("")
    if path.suffix != ".zip":
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            return Path(_only_file(archive))
    except DAMAGED:  # reading it says what is wrong
        return path


def what_it_is(path: Path) -> tuple[str, str] | None:
    """What a file is that is no CSV, by its first bytes, and what to do; None where nothing shows."""
    first = first_bytes(path, 64)
    if first.startswith(*DUCKDB):
        return "a DuckDB file", "Name it .duckdb, or set format: duckdb."
    head = first.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next((said for start, said in OTHER_FILES.items() if head.startswith(start)), None)


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, unpacked; none of one that cannot be read, as reading it says what is wrong."""
    try:
        with open_bytes(path) as file:
            return file.read(count)
    except DAMAGED:
        return b""


def wide_encoding(head: bytes) -> str:
    """The encoding of a text whose characters take two or four bytes, by its mark or its zeros; "" of any other."""
    if marked := next((name for mark, name in BOMS.items() if head.startswith(mark)), ""):
        return marked
    even, odd = head[::2], head[1::2]
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return name
    return ""


def _in_another_width(path: Path, encoding: str) -> tuple[str, str] | None:
    """What a file is whose characters take more bytes than those of the encoding, or fewer, or that holds no text."""
    head, known = first_bytes(path, 1 << 12), codecs.lookup(encoding).name
    wide = wide_encoding(head)
    if known in BOMS.values() and head and wide != known:
        return f"text in {wide or 'another encoding'}", f"Set encoding: {wide or 'utf-8, latin-1 or cp1252'}."
    if known.startswith(("utf-16", "utf-32")):
        return None
    if wide:
        return f"text in {wide}", f"Set encoding: {wide}."
    zeros = b"\x00" in head.partition(b"\n")[0]
    return ("no text, but zeros among its first bytes", "Correct its format, or export it again.") if zeros else None


@contextmanager
def _rows_of_text(path: Path, source: TableSource) -> Iterator[Iterator[list[str]]]:
    encoding = "utf-8-sig" if codecs.lookup(source.encoding).name == "utf-8" else source.encoding
    with open_bytes(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
        for _ in range(source.skip_rows):
            text.readline()
        yield (row for row in csv.reader(text, delimiter=source.separator) if row)


def _header(path: Path, source: TableSource, label: str) -> list[str]:
    if len(source.separator) != 1:
        raise ParamsError(f'{label}: separator is {source.separator!r}; expected one character (a tab is "\\t")')
    if other := what_it_is(path) or _in_another_width(path, source.encoding):
        expected = f"a CSV file in {source.encoding}"
        raise DataError(label, "", found=f"a file that is {other[0]}", expected=expected, fix=other[1])
    try:
        with _rows_of_text(path, source) as rows:
            names = next(rows, [])
    except (*DAMAGED, csv.Error) as error:
        raise _unreadable(path, source, label, error) from None
    if not names:
        raise DataError(label, "", found="an empty file", expected="a header and rows", fix="Export the file again.")
    return names


def _has_rows(path: Path, source: TableSource) -> bool:
    try:
        with _rows_of_text(path, source) as rows:
            next(rows)
            return next(rows, None) is not None
    except (*DAMAGED, csv.Error):
        return True  # the rows are at fault; reading them says how


def _csv_batches(file: IO[bytes], source: TableSource, raw: RawTable, header: list[str]) -> Iterator[pa.RecordBatch]:
    def keep_ragged(row: pa_csv.InvalidRow) -> str:
        more = "more" if row.actual_columns > row.expected_columns else "fewer"
        raw.ragged.append(Ragged(row.number - 1, f"row has {more} fields than the header", row.text))
        return "skip"

    wanted = [header[index] for index in raw.wanted]
    utf8 = codecs.lookup(source.encoding).name == "utf-8"
    yield from pa_csv.open_csv(
        _Utf8(file) if utf8 else file,
        pa_csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, encoding=source.encoding, skip_rows=source.skip_rows
        ),
        pa_csv.ParseOptions(delimiter=source.separator, newlines_in_values=True, invalid_row_handler=keep_ragged),
        pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in header},
            strings_can_be_null=False,
            include_columns=wanted if len(set(header)) == len(header) else [],
        ),
    )


class _Utf8(io.RawIOBase):
    """A file that ends with UnicodeDecodeError at its first byte that is no UTF-8: Arrow prints a traceback there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        chunk = self._file.read(-1 if size is None else size)
        self._decoder.decode(chunk, final=not chunk)
        return chunk


def _guarded(
    batches: Iterator[pa.RecordBatch], path: Path, source: TableSource, raw: RawTable
) -> Iterator[pa.RecordBatch]:
    """The same batches; an error on the way is kept on `raw`, because the engine that reads them hides it."""
    last = ""
    try:
        for batch in batches:
            if batch.num_rows:
                last = batch.columns[-1][-1].as_py()
            yield batch
        _reject_open_quote(path, source, raw, last)
    except DataError as error:
        raw.failure = error
        raise
    except (pa.ArrowInvalid, *DAMAGED) as error:
        raw.failure = _unreadable(path, source, raw.label, error)
        raise raw.failure from None


def _reject_open_quote(path: Path, source: TableSource, raw: RawTable, last: str) -> None:
    """Check for a quote that is never closed, which would read the rest of the file as one value."""
    tail = raw.ragged[-1].text if raw.ragged else ""
    swallowed = "\n" in last and not _ends_with_quote(path)
    if swallowed or ("\n" in tail and tail.count('"') % 2 == 1):
        raise DataError(
            raw.label,
            "",
            found="a quote that is opened and never closed, so that the rest of the file is one value",
            expected='each " that opens a value to be closed, and " inside a value to be doubled',
            fix="Fix the file's last rows or export it again.",
        )


def _ends_with_quote(path: Path) -> bool:
    tail = b""
    with open_bytes(path) as file:
        while chunk := file.read(1 << 20):
            tail = (tail + chunk)[-8:]
    return tail.rstrip(b"\r\n\x00").endswith(b'"')


def _unreadable(path: Path, source: TableSource, label: str, error: Exception) -> DataError:
    bad = first_bad_byte(path, source.encoding)
    if bad is not None:
        offset, line, value = bad
        return DataError(
            label,
            "",
            found=f"byte 0x{value:02x} at offset {offset} (line {line}), which is no {source.encoding}",
            expected=f"text in {source.encoding}",
            fix="Set encoding: latin-1 or cp1252 if a spreadsheet wrote the file.",
        )
    if path.suffix in (".gz", ".zip") and not isinstance(error, pa.ArrowInvalid | csv.Error):
        return DataError(
            label,
            "",
            found=f"a file that cannot be read: {error}",
            expected=f"a whole {path.suffix[1:]} file",
            fix=f"Export or copy it again; where it is not compressed, let its name not end in {path.suffix}.",
        )
    return DataError(
        label,
        "",
        found=f"a file that cannot be read: {first_line(error)}",
        expected=f"a CSV with {SEPARATORS.get(source.separator, repr(source.separator))} between fields",
        fix="Check format, separator and quotes; a quote left open makes one row of many.",
    )


def first_bad_byte(path: Path, encoding: str) -> tuple[int, int, int] | None:
    """Offset, line and value of the first byte that the encoding does not know, or None."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done, lines = 0, 1
    try:
        with open_bytes(path) as file:
            while chunk := file.read(1 << 20):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    held = len(error.object) - len(chunk)
                    lines += chunk[: max(error.start - held, 0)].count(b"\n")
                    return done - held + error.start, lines, error.object[error.start]
                done, lines = done + len(chunk), lines + chunk.count(b"\n")
    except DAMAGED:  # a text without the mark that its encoding begins with, too
        return None
    return None
