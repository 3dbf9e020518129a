"""A first params file for a folder of files that nobody has described yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from features.schema.errors import DataError, ParamsError
from models.leakage.suspicious_names import words
from pipelines.config.source import FORMATS
from pipelines.inspection.proposal import inspect
from pipelines.inspection.report import Inspection

READABLE = (".csv", ".csv.gz", ".zip", *FORMATS)
# What a file's name says it holds, the clearest word first; beginnings of words, so that a plural is no other word.
EVENTS = ("event", "activit", "interaction", "visit", "touch", "engagement")
OUTCOMES = ("outcome", "conversion", "deal", "opportunit", "sale", "order", "won")
LEADS = ("lead", "prospect", "customer", "client", "contact", "account")
HEAD = """\
# Written by `leadscore init` for {folder}. It is laid over params.yaml and states only what differs.
"""
TAIL = """\

# What a business sets besides; take the # away where it differs. All keys: docs/reference/params.md.
# project: {name: lead-scoring}  # of the MLflow experiment and the registered model
# capacity: {per_period: 200}  # leads that sales can work in one period
"""


@dataclass(frozen=True)
class Files:
    """Which file of a folder holds what; `rest` are those that no name explains."""

    leads: Path
    events: Path | None
    outcomes: Path | None
    rest: list[Path]


def write_starter(folder: Path, file: Path) -> list[str]:
    """Write a params file with a proposed `source` for the files of a folder; return what a person should know first.

    Raises
    ------
    ParamsError
        Where the file is there already.
    DataError
        Where no file looks like leads, or `inspect` cannot read them.
    """
    if file.exists():
        raise ParamsError(f"{file} is there already and stays as it is; name another with --file")
    files = tell_apart(folder)
    inspection = inspect(files.leads, files.events, files.outcomes)
    unread = [f"{path.name}: not looked at; its name says neither leads, events nor outcomes" for path in files.rest]
    warnings = [*inspection.warnings, *unread]
    with file.open("x", encoding="utf-8", newline="\n") as target:
        target.write(_text(folder, inspection, warnings))
    return warnings


def tell_apart(folder: Path) -> Files:
    """Tell leads, events and outcomes apart by the names of their files; a file alone in its folder holds the leads."""
    there = sorted(path for path in folder.glob("*") if path.name.lower().endswith(READABLE))
    events = _named(EVENTS, there)
    outcomes = _named(OUTCOMES, [path for path in there if path != events])
    left = [path for path in there if path not in (events, outcomes)]
    leads = _named(LEADS, left) or (left[0] if len(left) == 1 else None)
    if leads is None:
        raise DataError(
            "leads",
            "",
            found=", ".join(path.name for path in there) or f"no CSV, Excel, JSON, Parquet or DuckDB file in {folder}",
            expected="a file whose name says leads, prospects or customers",
            fix="Rename it, or name each file yourself: leadscore inspect LEADS --events FILE --outcomes FILE.",
        )
    return Files(leads, events, outcomes, [path for path in left if path != leads])


def _named(beginnings: Iterable[str], paths: Iterable[Path]) -> Path | None:
    """Return the first file with a word of its name that begins so, by the first beginning that fits any."""
    return next(
        (
            path
            for beginning in beginnings
            for path in paths
            if any(word.startswith(beginning) for word in words(path.name.split(".")[0]))
        ),
        None,
    )


def _text(folder: Path, inspection: Inspection, warnings: Iterable[str]) -> str:
    noted = "".join(f"# Warning: {' '.join(warning.splitlines())}\n" for warning in warnings)
    return HEAD.format(folder=" ".join(str(folder).splitlines())) + noted + inspection.mapping + TAIL
