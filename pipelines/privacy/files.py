"""Files that hold rows of leads, written again without those of one lead; pages that show it are removed."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import escape
from python_calamine import CalamineError, CalamineWorkbook

from features.schema.contract import QUARANTINE
from features.schema.lead_ids import Normaliser, normal
from pipelines.storage.files import ROW_GROUP, file_digest, staged_file, staged_folder, write_json, write_parquet

MANIFEST = "manifest.json"
SEPARATORS = ",;\t|"
LOGS = (".log", ".out", ".err")
EXCEL, JSON = ".xlsx", ".json"
# These are written by stages and hold no row of a lead.
KNOWN = (".yaml", ".yml", ".md", ".txt", ".journal", ".lock", ".py", ".toml", ".png", ".svg", ".j2", ".sqlite")


@dataclass(frozen=True)
class Wanted:
    """The lead that is to be forgotten.

    Attributes
    ----------
    ids
        As the user gives it, and as tables spell it and those that were merged with it.
    normalise
        What makes ids alike in the source.
    columns
        How the user's files call the id; the program's own call it `lead_id`.
    """

    ids: tuple[str, ...]
    normalise: tuple[Normaliser, ...] = ()
    columns: frozenset[str] = frozenset({"lead_id"})

    def is_meant(self, cell: object) -> bool:
        """Whether a cell holds the lead's id, in whatever spelling the source allows."""
        text = str(cell)
        return not self.keys.isdisjoint({normal(one, self.normalise) for one in (text, text.removeprefix("'"))})

    @cached_property
    def keys(self) -> frozenset[str]:
        """The ids as they are compared."""
        return frozenset(normal(one, self.normalise) for one in self.ids)

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The ids as they may stand in a store."""
        return tuple(sorted({*self.ids, *self.keys}))

    def named(self, text: str) -> bool:
        """Whether a page shows the lead: alone between two tags, or as `Lead ID`."""
        shown = "|".join(re.escape(str(escape(one))) for one in self.spellings)
        return re.search(rf"(>|[Ll]ead )({shown})(<|:|\s)", text) is not None

    def in_line(self, line: str) -> bool:
        """Whether a line of a log names the lead."""
        ids = "|".join(map(re.escape, self.spellings))
        return re.search(rf"(?<!\w)({ids})(?!\w)", line) is not None

    def masked(self, path: Path) -> str:
        """A file's name, without the id where it holds one."""
        return f"*{path.suffix.lower()}" if any(one in path.name for one in self.spellings) else path.name


@dataclass
class Cleared:
    """What is gone below a folder, by the name of a file, and the files that cannot be read.

    Of tables and logs it counts rows or lines; of pages, files.
    """

    gone: Counter[str] = field(default_factory=Counter)
    unread: list[Path] = field(default_factory=list)

    def __add__(self, other: Cleared) -> Cleared:
        return Cleared(self.gone + other.gone, self.unread + other.unread)


def forget_in_folder(folder: Path, wanted: Wanted) -> Cleared:
    """Write every file below a folder again that holds rows of a lead.

    A published list is replaced with its manifest as one folder, so that a kill leaves it whole. What cannot be read
    stays as it is, and is told.
    """
    cleared = Cleared()
    for at, folders, names in os.walk(folder):
        here = Path(at)
        folders[:] = sorted(name for name in folders if not (here / name).is_symlink())
        if _is_list(here):
            cleared += _in_list(here, wanted)
            folders[:] = []
            continue
        for name in sorted(names):
            cleared += _in_file(here / name, wanted)
    return cleared


def _is_list(folder: Path) -> bool:
    return bool(_manifest(folder).get("outputs"))


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    try:
        tree = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _in_list(folder: Path, wanted: Wanted) -> Cleared:
    with staged_folder(folder) as staged:
        shutil.rmtree(staged)
        shutil.copytree(folder, staged)
        cleared = Cleared()
        for path in sorted(one for one in staged.rglob("*") if one.is_file()):
            cleared += _in_file(path, wanted)
        tree = _manifest(folder)
        tree["outputs"] = {name: file_digest(staged / name) for name in tree["outputs"] if (staged / name).is_file()}
        write_json(tree, staged / MANIFEST)
        made = folder.stat().st_mtime_ns  # lists of one day are ordered by it
        os.utime(staged, ns=(made, made))
    return Cleared(cleared.gone, [folder / path.relative_to(staged) for path in cleared.unread])


def _in_file(path: Path, wanted: Wanted) -> Cleared:
    kinds: dict[str, Callable[[Path, Wanted], int]] = {".parquet": _in_parquet, ".csv": _in_csv, ".html": _in_page}
    kinds |= dict.fromkeys(LOGS, _in_log) | {EXCEL: _in_excel, JSON: _in_json}
    suffix = path.suffix.lower()
    if suffix not in kinds or not path.is_file():
        return Cleared()
    try:
        gone = kinds[suffix](path, wanted)
    except (pa.ArrowException, CalamineError, csv.Error, json.JSONDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a full disk, no rights: Arrow's own have none
            raise
        return Cleared(unread=[path])
    name = f"*{suffix}" if suffix == ".html" else wanted.masked(path)
    return Cleared(Counter({name: gone}) if gone else Counter())


def not_looked_into(folder: Path) -> Counter[str]:
    """How many files below a folder are of kinds that this program does not write, by their suffix."""
    names = (name for _, _, names in os.walk(folder) for name in names)
    kinds = (Path(name).suffix.lower() for name in names if not name.startswith("."))
    return Counter(
        kind for kind in kinds if kind not in (*KNOWN, *LOGS, EXCEL, JSON, ".parquet", ".csv", ".html", ".duckdb")
    )


# Each kind of file


def _in_parquet(path: Path, wanted: Wanted) -> int:
    """Rows by their id; of the quarantine also those whose text holds it."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        ids = [name for name in schema.names if name in wanted.columns]
        text = ["content"] if schema.names == QUARANTINE.names else []
        if not ids and not text:
            return 0
        found = sum(int(pc.sum(_meant(batch, wanted)).as_py() or 0) for batch in _batches(file, ids + text))
        if found:
            kept = (batch.filter(pc.invert(_meant(batch, wanted))) for batch in _batches(file, None))
            write_parquet(pa.RecordBatchReader.from_batches(schema, kept), path)
    return found


def _batches(file: pq.ParquetFile, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    return file.iter_batches(batch_size=ROW_GROUP, columns=columns)


def _meant(batch: pa.RecordBatch, wanted: Wanted) -> pa.BooleanArray:
    flags = pa.array([False] * batch.num_rows, pa.bool_())
    for name in batch.schema.names:
        column = batch.column(name)
        if name in wanted.columns:
            values = pc.unique(column).drop_null()
            same = pa.array([value.as_py() for value in values if wanted.is_meant(value.as_py())], column.type)
            flags = pc.or_(flags, pc.is_in(column, value_set=same))
        elif name == "content":
            flags = pc.or_(flags, pa.array([_holds(text, wanted) for text in column.to_pylist()], pa.bool_()))
    return flags


def _holds(text: str | None, wanted: Wanted) -> bool:
    """Whether the text of a quarantined row is of the lead: one of its cells, or a part of a line."""
    if text is None:
        return False
    cells = list(json.loads(text).values())
    parts = [part.strip('"') for cell in cells for part in re.split(f"[{SEPARATORS}]", str(cell).strip("\r\n"))]
    return any(map(wanted.is_meant, [*cells, *parts]))


def _in_csv(path: Path, wanted: Wanted) -> int:
    """Rows by their id; the others keep their bytes."""
    csv.field_size_limit(1 << 30)
    with _text(path) as file:
        gone = sum(meant for _, meant in _records(file, wanted))
    if gone:
        with _text(path) as file, staged_file(path) as staged, _text(staged, "w") as out:
            out.writelines(text for text, meant in _records(file, wanted) if not meant)
    return gone


def _text(path: Path, mode: Literal["r", "w"] = "r") -> TextIO:
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")


def _records(file: TextIO, wanted: Wanted) -> Iterator[tuple[str, bool]]:
    """The text of each record, and whether it is the lead's; the header names an id, by one separator or another."""
    first = file.readline()
    marks = [mark for mark in SEPARATORS if wanted.columns & set(next(csv.reader([first], delimiter=mark), []))]
    if not marks:
        return
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in chain([first], file):
            read.append(line)
            yield line

    places: list[int] | None = None
    for row in csv.reader(lines(), delimiter=marks[0]):
        named = places is not None and any(index < len(row) and wanted.is_meant(row[index]) for index in places)
        if places is None:
            places = [index for index, name in enumerate(row) if name in wanted.columns]
        yield "".join(read), named
        read.clear()


def _in_page(path: Path, wanted: Wanted) -> int:
    """A page that shows the lead is removed: the command that made it makes it again."""
    if not wanted.named(path.read_text(encoding="utf-8", errors="replace")):
        return 0
    path.unlink()
    return 1


def _in_excel(path: Path, wanted: Wanted) -> int:
    """A list of an owner that has the lead is removed: the CSV beside it stays, and the next list has both."""
    with CalamineWorkbook.from_path(path) as book:
        sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    for header, *rows in [sheet for sheet in sheets if sheet]:
        ids = [index for index, name in enumerate(header) if name in wanted.columns]
        if any(wanted.is_meant(row[index]) for row in rows for index in ids):
            path.unlink()
            return 1
    return 0


def _in_json(path: Path, wanted: Wanted) -> int:
    """Results that name leads, such as those that two models score most differently, go without the lead."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    escaped = (json.dumps(one)[1:-1] for one in wanted.spellings)
    if not any(one in text for one in (*wanted.spellings, *escaped)):
        return 0
    tree, gone = _without(json.loads(text), wanted)
    if gone:
        write_json(tree, path)
    return gone


def _without(tree: Any, wanted: Wanted) -> tuple[Any, int]:
    """A tree without the lead's entries of its lists, and how many those were."""
    if isinstance(tree, list):
        kept = [one for one in tree if not (isinstance(one, dict) and _is_of_lead(one, wanted))]
        pairs = [_without(one, wanted) for one in kept]
        return [part for part, _ in pairs], len(tree) - len(kept) + sum(n for _, n in pairs)
    if isinstance(tree, dict):
        parts = {name: _without(one, wanted) for name, one in tree.items()}
        return {name: part for name, (part, _) in parts.items()}, sum(n for _, n in parts.values())
    return tree, 0


def _is_of_lead(entry: dict[str, Any], wanted: Wanted) -> bool:
    return any(wanted.is_meant(entry[name]) for name in wanted.columns & entry.keys())


def _in_log(path: Path, wanted: Wanted) -> int:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    kept = [line for line in lines if not wanted.in_line(line)]
    if len(kept) < len(lines):
        with staged_file(path) as staged:
            staged.write_text("".join(kept), encoding="utf-8", errors="surrogateescape", newline="")
    return len(lines) - len(kept)
