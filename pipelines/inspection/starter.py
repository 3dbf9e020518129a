"""A first params file for a folder of files that nobody has described yet."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from features.schema.errors import DataError, ParamsError
from models.leakage.suspicious_names import words
from pipelines.config.delivery import Delivery
from pipelines.config.pull import PULLED
from pipelines.config.sections import Track
from pipelines.config.source import FORMATS
from pipelines.inspection.column_roles import JoinError, find_join, find_lead_id
from pipelines.inspection.file_format import FileSample, sniff_all
from pipelines.inspection.outcome_status import find_status
from pipelines.inspection.proposal import inspect
from pipelines.inspection.report import NOTHING, Inspection, Told, quoted

READABLE = (".csv", ".tsv", ".gz", ".zip", *FORMATS)
# What a file's name says it holds, the clearest word first; beginnings of words, so that a plural is no other word.
EVENTS = ("event", "activit", "aktivit", "actividad", "ereignis", "interaction", "visit", "besuch", "touch", "engag")
_DEALS = ("deal", "opportunit", "sale", "order", "abschl", "verkauf", "auftr", "vent")
OUTCOMES = ("outcome", "conversion", "won", "gewonn", *_DEALS)
ALIASES = ("alias", "merge")
LEADS = ("lead", "prospect", "interessent", "customer", "client", "kunde", "contact", "kontakt", "account")
HEAD = """\
# Written by `leadscore init`. It is laid over params.yaml and states only what differs; every other key has a default,
# and may be set here too: docs/reference/params.md. In this folder, commands need no --params, --data, --out, --lists.
paths: {{data: {data}, out: {out}, lists: {lists}}}  # relative to this file; an option goes first
capacity: {{per_period: {per_period}}}  # leads that sales can work between two lists; without dates: in the test set
{pull}"""
TAIL = """\

# project: {name: lead-scoring}  # of the MLflow experiment and the registered model; take the # away to set it
"""
IGNORED = """\
# Written by `leadscore init`: data and what commands write, both with personal data, stay out of git.
{patterns}
"""
CRONTAB = """\
# Written by `leadscore init`: a list every working day, once `leadscore run` has trained a model. Copy the line with
# `crontab -e`; times are those of the machine. docs/operations has units for systemd and the jobs of every week.
30 5 * * 1-5  cd {folder} && {first}{command} nightly score --as-of today >> score.log 2>&1 || tail -n 1 score.log
"""
STAGES = "\n  stages: "  # the line of a mapping before which aliases stand
SEVERAL = 1.2  # rows a lead, from which a table tells what happened, not how it ended
FULL = 0.95  # share of leads with a row, from which a table says nothing of how they ended
KEPT = 16  # tables whose first rows are kept while a folder is looked at
OUT, LISTS = "results", "lists"
_PROGRAM = Path(sys.executable).with_name("leadscore")


@dataclass(frozen=True)
class Files:
    """Which file of a folder holds what; `aliases` who was merged, `rest` those that nothing explains."""

    leads: Path
    events: Path | None
    outcomes: Path | None
    aliases: Path | None
    rest: list[Path]
    by_content: Mapping[Path, str] = field(default_factory=dict)


def look(folder: Path, told: Told = NOTHING) -> Inspection:
    """Look at a folder of files that nobody has described yet.

    Raises
    ------
    DataError
        Where no file looks like leads, or `inspect` cannot read them.
    """
    files = tell_apart(folder)
    try:
        found = inspect(files.leads, files.events, files.outcomes, told)
    except JoinError as error:
        if files.outcomes is None:
            raise
        found = _by_leads_alone(files, told, files.outcomes, error)
    found.warnings += [f"{path.name}: {said}" for path, said in files.by_content.items()]
    if files.aliases:
        table = f"{{path: {quoted(files.aliases.name)}, format: {sniff_all([files.aliases])[0].source.format}}}"
        found.mapping = found.mapping.replace(STAGES, f"\n  aliases: {table}  # who was merged{STAGES}", 1)
    found.warnings += [
        f"{path.name}: not looked at; {_why_not(path)}; where it belongs, give it in source, whose tables may be lists"
        for path in files.rest
    ]
    return found


def _by_leads_alone(files: Files, told: Told, outcomes: Path, reason: JoinError) -> Inspection:
    """Look at leads that say themselves what became of them, where a file of outcomes does not name leads."""
    try:
        found = inspect(files.leads, files.events, None, told)
    except DataError:
        raise reason from None
    said = f"the outcome is {found.outcomes[0]!r} of {files.leads.name}"
    found.warnings.insert(0, f"{outcomes.name} is not read, and {said}: {reason}")
    return found


def check_new(file: Path) -> None:
    """Raise ParamsError where a params file is there already, or the next `pull` would delete it."""
    if (file.parent / PULLED).is_file():
        raise ParamsError(f"{file.parent} is replaced by each `pull`; write to another folder: --file {file.name}")
    if file.exists():
        raise ParamsError(f"{file} is there already and stays as it is; name another with --file")


def write_starter(folder: Path, file: Path, found: Inspection, per_period: int) -> list[str]:
    """Write a params file for what was found in a folder, and beside it what git leaves out and a line for cron.

    Parameters
    ----------
    per_period
        Leads that sales can work between two lists.

    Returns
    -------
    list of str
        What was written, and which files are there already and stay as they are.

    Raises
    ------
    ParamsError
        Where the params file is there already.
    """
    check_new(file)
    texts = {
        file: _params(os.path.relpath(folder, file.parent), found, per_period, _pulled(folder)),
        file.with_name(".gitignore"): IGNORED.format(patterns="\n".join(_ignored(folder, file.parent))),
        file.with_name("leadscore.crontab"): CRONTAB.format(
            folder=_in_cron(file.parent.absolute()),
            first=_pull_in_cron(folder, file.parent),
            command=_in_cron(_PROGRAM),
        ),
    }
    new = [path for path in texts if not path.exists()]
    for path in new:
        with path.open("x", encoding="utf-8", newline="\n") as target:
            target.write(texts[path])
    kept = [f"{path} is there already and stays as it is" for path in texts if path not in new]
    return [f"wrote {', '.join(map(str, new))}", *kept]


def _ignored(folder: Path, project: Path) -> list[str]:
    """Patterns of git: files that hold data, by their endings, and what commands write."""
    track = Track()
    written = [OUT, LISTS, track.artifacts, Delivery().state]
    below = Path(os.path.relpath(folder, project)).as_posix()
    prefix = "" if below == "." else f"{below}/"
    data = [] if below.startswith("..") else [f"/{prefix}*{ending}" for ending in READABLE]
    kept = [f"/{below}.pull/"] if (folder / PULLED).is_file() else []
    return [*data, *kept, *(f"/{name}/" for name in written), f"/{track.uri.rsplit('/', 1)[1]}*", "/*.log"]


def _pull_in_cron(folder: Path, project: Path) -> str:
    """The command before the list is made, where a folder is read from a CRM."""
    crm = _pulled(folder).get("crm", "")
    target = _in_cron(Path(os.path.relpath(folder, project)))
    return f"{_in_cron(_PROGRAM)} pull {crm} {target} >> score.log 2>&1 && " if crm else ""


def _pulled(folder: Path) -> dict[str, str]:
    """Which CRM a folder is read from, {} where it is not."""
    about = folder / PULLED
    return dict(json.loads(about.read_text(encoding="utf-8"))) if about.is_file() else {}


def _in_cron(path: Path) -> str:
    return shlex.quote(str(path)).replace("%", r"\%")  # which ends a command of cron


def tell_apart(folder: Path) -> Files:
    """Tell leads, events and outcomes apart by the names of their files.

    A file alone in its folder holds the leads, and so does one of deals where no other can: it has their outcome too.
    """
    files = sorted(path for path in folder.glob("*") if path.name.lower().endswith(READABLE) and path.name != PULLED)
    aliases = _named(ALIASES, files)
    if aliases and not {"lead_id", "merged_into"} <= set(sniff_all([aliases])[0].frame):
        aliases = None
    there = [path for path in files if path != aliases]
    events, of_events = _alike(EVENTS, there)
    outcomes, of_outcomes = _alike(OUTCOMES, [path for path in there if path not in of_events])
    left = [path for path in there if path not in (*of_events, *of_outcomes)]
    leads, of_leads = _alike(LEADS, left)
    if not leads and len(left) == 1:
        leads, of_leads = left[0], left
    if not left and outcomes:
        leads, outcomes = outcomes, None
    if leads is None:
        leads, of_leads = _leads_by_ids(left)
    if leads is None:
        raise DataError(
            "leads",
            "",
            found=", ".join(path.name for path in there) or f"no CSV, Excel, JSON, Parquet or DuckDB file in {folder}",
            expected="a file whose name says leads, prospects or customers, or one whose ids all others hold",
            fix="Rename it, or name each file yourself: leadscore inspect LEADS --events FILE --outcomes FILE.",
        )
    return _by_content(Files(leads, events, outcomes, aliases, [path for path in left if path not in of_leads]))


def _leads_by_ids(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """The one table whose ids all others hold, or that is there alone, such as a file a month; and its files."""
    tables = _tables(paths)
    samples = _samples(tables)
    fitting = [path for path in tables if path in samples and _is_leads(path, samples)]
    return (fitting[0], tables[fitting[0]]) if len(fitting) == 1 else (None, [])


def _tables(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """The tables of files that no name explains: a pattern where several have the same columns, with its files."""
    rest, tables = list(paths), {}
    while rest:
        alike = [path for path in rest if path.suffix == rest[0].suffix and _columns(path) == _columns(rest[0])]
        path, files = _pattern(alike)
        tables[path] = files
        rest = [path for path in rest if path not in files]
    return tables


def _samples(paths: Iterable[Path]) -> dict[Path, FileSample]:
    """The first rows of tables; one that cannot be read is none."""
    found = {}
    for path in paths:
        with suppress(DataError):
            found[path] = _sample(path, _stamp(path))
    return found


@lru_cache(maxsize=KEPT)
def _sample(path: Path, stamp: object) -> FileSample:
    return sniff_all([path])[0]


def _stamp(path: Path) -> object:
    """What changes when a table's files do."""
    return tuple((one, one.stat().st_mtime_ns, one.stat().st_size) for one in sorted(path.parent.glob(path.name)))


def _is_leads(path: Path, samples: Mapping[Path, FileSample]) -> bool:
    others = [sample for other, sample in samples.items() if other != path]
    try:
        lead_id, _ = find_lead_id(samples[path], others)
        return bool(lead_id) and all(find_join(other, samples[path], lead_id) for other in others)
    except DataError:
        return False


def _by_content(files: Files) -> Files:
    """Files that no name explains, by what they hold: rows of leads at dates, several a lead (events), or once."""
    if not files.rest or (files.events and files.outcomes):
        return files
    tables = _tables(files.rest)
    samples = _samples([files.leads, *tables])
    kinds = {path: _kind(samples[path], samples[files.leads]) for path in tables if {path, files.leads} <= {*samples}}
    found: dict[str, Path] = {}
    for kind in ("events", "outcomes"):
        of_kind = [path for path, one in kinds.items() if one == kind]
        if len(of_kind) == 1 and getattr(files, kind) is None:
            found[kind] = of_kind[0]
    taken = [file for path in found.values() for file in tables[path]]
    said = {path: f"taken for the {kind}, by what it holds; its name says nothing" for kind, path in found.items()}
    rest = [path for path in files.rest if path not in taken]
    return replace(files, **found, rest=rest, by_content=said)


def _kind(table: FileSample, leads: FileSample) -> str:
    """What a table that holds ids of leads says of them: outcomes, events, or "" where nothing shows."""
    try:
        lead_id, _ = find_lead_id(leads, [table])
        join, _ = find_join(table, leads, lead_id)
    except DataError:
        return ""
    if find_status(table, {join}):
        return "outcomes"
    rows = table.frame[join].dropna()
    if not table.times or rows.empty:
        return ""
    if len(rows) >= SEVERAL * rows.nunique():
        return "events"
    return "outcomes" if rows.nunique() < FULL * len(leads.frame) else ""


def _alike(beginnings: Iterable[str], paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the file of a kind, or a pattern for several with the same columns, such as one a month; and the files."""
    first = _named(beginnings, paths)
    if first is None:
        return None, []
    word = next(beginning for beginning in beginnings if _named([beginning], [first]))
    others = [path for path in paths if path.suffix == first.suffix and _named([word], [path])]
    return _pattern([path for path in others if _columns(path) == _columns(first)] if len(others) > 1 else [first])


def _pattern(same: list[Path]) -> tuple[Path, list[Path]]:
    """The pattern of files with the same columns, and the files; the first alone where their names are no family."""
    first = same[0]
    names = [path.name for path in same]
    begin, end = _common(names), _common([name[::-1] for name in names])[::-1]
    pattern = f"{begin}*{end}"
    if len(same) > 1 and begin and set(first.parent.glob(pattern)) == set(same):
        return first.with_name(pattern), same
    return first, [first]


def _common(names: list[str]) -> str:
    """The letters with which all names begin."""
    shared = takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in shared)


def _columns(path: Path) -> list[str]:
    try:
        return list(map(str, _sample(path, _stamp(path)).frame))
    except DataError:
        return [path.name]


def _why_not(path: Path) -> str:
    """Why no table is read of a file."""
    said = [(EVENTS, "events"), (OUTCOMES, "outcomes"), (LEADS, "leads")]
    kind = next((kind for words_of, kind in said if _named(words_of, [path])), "")
    return f"another file was taken for the {kind}" if kind else "its name says neither leads, events nor outcomes"


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


def _params(data: str, found: Inspection, per_period: int, pulled: Mapping[str, str]) -> str:
    pull = f"pull: {{{pulled['crm']}: {{base_url: {quoted(pulled['base_url'])}}}}}\n" if pulled else ""
    paths = {name: quoted(Path(folder).as_posix()) for name, folder in (("data", data), ("out", OUT), ("lists", LISTS))}
    noted = "".join(f"# Warning: {' '.join(warning.splitlines())}\n" for warning in found.warnings)
    return HEAD.format(**paths, per_period=per_period, pull=pull) + noted + found.mapping + TAIL
