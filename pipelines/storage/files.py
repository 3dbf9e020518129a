"""Every file the stages write goes through here: staged next to its target, then swapped in."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

ROW_GROUP = 131_072  # fixed, so that the bytes do not depend on how the rows arrived
SPACES = " \t\r\n\f\v\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"  # spreadsheets skip them
FORMULA = re.compile(f"[{SPACES}]*[-=+@\uff0d\uff1d\uff0b\uff20]|[\t\r\n]")  # of full width, too, as in Japan
NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large")  # as the kernel writes it
PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_parquet(rows: pd.DataFrame | pa.Table | pa.RecordBatchReader, path: Path) -> int:
    """Write rows to one Parquet file in row groups of a fixed size; a reader is streamed, never loaded at once.

    Parameters
    ----------
    rows
        A frame (its index is not written), an Arrow table, or a stream of record batches.
    path
        The file to replace; its folder is made.

    Returns
    -------
    int
        How many rows were written.
    """
    if isinstance(rows, pd.DataFrame):
        rows = pa.Table.from_pandas(rows, preserve_index=False)
    reader = rows.to_reader() if isinstance(rows, pa.Table) else rows
    written = 0
    with staged_file(path) as staged, pq.ParquetWriter(staged, reader.schema, compression="zstd") as writer:
        for group in row_groups(reader):
            writer.write_table(group, row_group_size=ROW_GROUP)
            written += group.num_rows
    return written


def write_arrow(rows: pa.Table, path: Path) -> None:
    """Write a table as it lies in memory, in one piece, so that another step can look into the file."""
    with staged_file(path) as staged, pa.ipc.new_file(str(staged), rows.schema) as writer:
        writer.write_table(rows.combine_chunks())


def row_groups(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Cut a stream into tables of `ROW_GROUP` rows, the last one shorter; no rows give no table."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in reader:
        while count + batch.num_rows >= ROW_GROUP:
            take = ROW_GROUP - count
            yield _one_chunk([*held, batch.slice(0, take)])
            held, count, batch = [], 0, batch.slice(take)
        held, count = [*held, batch], count + batch.num_rows
    if count:
        yield _one_chunk(held)


def _one_chunk(batches: list[pa.RecordBatch]) -> pa.Table:
    """One table in one chunk: Parquet's pages break where chunks do."""
    return pa.Table.from_batches(batches).combine_chunks()


def write_json(tree: Any, path: Path) -> None:
    """Write JSON with sorted keys, two spaces of indent and a newline at the end.

    Raises
    ------
    ValueError
        On a number that is not finite: JSON cannot express it.
    """
    text = json.dumps(tree, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False, default=_plain)
    with staged_file(path) as staged:
        staged.write_text(text + "\n", encoding="utf-8", newline="\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def write_csv(rows: pd.DataFrame, path: Path) -> None:
    """Write a frame as a CSV, see `csv_sheet`; its index is not written."""
    with csv_sheet(path) as add:
        add(rows)


@contextmanager
def csv_sheet(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Open a CSV that a spreadsheet opens without running anything in it: UTF-8, lines end in a line feed.

    A text or a column name that begins with a formula sign, of full width or behind spaces too, or with a line feed,
    gets a leading apostrophe, unless it is a plain number. All text is quoted: a lone carriage return inside a value
    would otherwise begin a new row.

    Yields
    ------
    callable
        Adds a frame to the file, the first one with the names of the columns, which are the same in all.
    """
    with staged_file(path) as staged, staged.open("wb") as file:

        def add(frame: pd.DataFrame) -> None:
            names = [str(neutral(str(name))) for name in frame]
            cells = pa.Table.from_arrays([_cells(column) for _, column in frame.items()], names)
            options = csv.WriteOptions(include_header=not file.tell(), quoting_style="needed")  # which all text does
            csv.write_csv(cells, file, options)

        yield add


def _cells(column: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Return numbers as they are and all else as text, safe for a spreadsheet."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return pa.array(column)
    if isinstance(column.dtype, pd.StringDtype) and not column.str.match(FORMULA.pattern).any():
        return pa.array(column)  # as most are; cell by cell takes ten times longer
    if pd.api.types.is_datetime64_any_dtype(column):
        return pa.array(column.astype("str").where(column.notna()), pa.string())
    return pa.array([None if pd.isna(cell) else str(neutral(cell)) for cell in column], pa.string())


def neutral(value: object) -> object:
    """The same value, or its text behind an apostrophe where a spreadsheet would take it for a formula."""
    if isinstance(value, str) and FORMULA.match(value) and not PLAIN_NUMBER.fullmatch(value):
        return "'" + value
    return value


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_full(error: Exception) -> bool:
    """Whether a write failed because the disk, a quota or a limit is full, whichever library reports it."""
    return any(sign in str(error) for sign in NO_ROOM)


def sync_folder(folder: Path) -> None:
    """Sync a folder and all below it to the disk, so that a power cut after a later rename leaves them complete."""
    for path in (*sorted(folder.rglob("*")), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` that replaces it on success and is removed on failure."""
    with _staged(path, os.replace) as staged:
        yield staged


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling folder that replaces the folder `path` on success and is removed on failure."""
    with _staged(path, _swap_folder) as staged:
        staged.mkdir()
        yield staged


@contextmanager
def working_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, removed at the end; what a kill left, the next one of its name removes."""
    with _staged(path, lambda *_: None) as work:
        work.mkdir()
        yield work


@contextmanager
def _staged(path: Path, swap: Callable[[Path, Path], object]) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    staged = path.parent / f".{path.name}.{os.getpid()}.staged"
    try:
        yield staged
        swap(staged, path)
    finally:
        _remove(staged)


def _swap_folder(staged: Path, path: Path) -> None:
    """Folders cannot be replaced in one step: the old one is renamed, and `_sweep` restores it after a kill."""
    aside = _aside(path)
    if path.exists():
        path.rename(aside)
    staged.rename(path)
    _remove(aside)


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.aside"


def _sweep(path: Path) -> None:
    """Clean up after a killed run: restore a renamed folder, and remove staged files whose process is gone."""
    aside = _aside(path)
    if aside.exists() and not path.exists():
        aside.rename(path)
    _remove(aside)
    for left in path.parent.glob(".*.*.staged"):  # a pattern with the name in it would be remembered for each name
        owner = left.name.split(".")[-2]
        belongs = left.name.startswith(f".{path.name}.")
        if belongs and (owner == str(os.getpid()) or not _is_running(owner)):
            _remove(left)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def finite(tree: Any) -> Any:
    """Replace NaN and infinities by null, as JSON cannot express them."""
    if isinstance(tree, dict):
        return {key: finite(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
