"""`leadscore init`: from a folder of files to a project in which commands need no options."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import OutcomeColumnOption

if TYPE_CHECKING:
    from pipelines.inspection.report import Inspection, Told


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of your files: leads, events, outcomes.")
    ] = Path(),
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="The params file to write; default: leadscore.yaml in FOLDER."),
    ] = None,
    outcome: OutcomeColumnOption = "",
) -> None:
    """Make a folder of files a project: write leadscore.yaml.

    On a terminal it asks for the horizon, what sales can work, which column is the outcome where several may be, and
    which fields are filled in later. Without one it asks nothing and says what it assumed.

    IN: CSV, Excel, JSON, Parquet or DuckDB files, told apart by their names, else by whose ids they hold.

    OUT: --file, with a proposed `source` and the reason for each line; beside it .gitignore and leadscore.crontab.
    Files that are there stay as they are.
    """
    from features.schema.declarations import SnapshotParams
    from pipelines.config.sections import Capacity
    from pipelines.inspection.report import Told
    from pipelines.inspection.starter import check_new, look, write_starter

    file = file or folder / "leadscore.yaml"
    check_new(file)
    told, per_period, asks = (
        Told(outcome, horizon_days=SnapshotParams().horizon_days),
        Capacity().per_period,
        _on_terminal(),
    )
    found = look(folder, told)
    if asks:
        told, per_period = _ask(found, per_period)
        found = look(folder, told) if told != found.told else found
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for line in () if asks else _assumed(found, per_period):
        typer.echo(f"assumed: {line}")
    for line in write_starter(folder, file, found, per_period):
        typer.echo(line)
    go = "" if file.parent == Path() else f"cd {shlex.quote(str(file.parent))} && "
    named = "" if file.name == "leadscore.yaml" else f" --params {shlex.quote(file.name)}"
    typer.echo(f"read {file.name} and correct it, then run")
    typer.echo(f"  {go}leadscore run{named}")


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(found: Inspection, per_period: int) -> tuple[Told, int]:
    """Ask what no file says; an empty answer takes what stands in brackets."""
    from pipelines.inspection.report import Told

    outcome, horizon = found.told.outcome, found.told.horizon_days
    if len(found.outcomes) > 1:
        typer.echo(f"These columns may be the outcome: {', '.join(found.outcomes)}")
        outcome = _chosen(found.outcomes)
    if found.dated:
        typer.echo(f"A lead counts as converted if it converts within the horizon{found.soon and f'; {found.soon}'}.")
        horizon = _number("Horizon in days", horizon)
    per_period = _number("Leads that sales can work between two lists", per_period)
    typer.echo(f"Taken as filled in when a lead is created: {', '.join(found.at_creation) or 'no column'}")
    late = _listed("Which of them are filled in later (names, with commas between)", found.at_creation)
    return Told(outcome if outcome != found.outcomes[0] else found.told.outcome, late, horizon), per_period


def _chosen(columns: list[str]) -> str:
    while (answer := typer.prompt("Outcome", default=columns[0])) not in columns:
        typer.echo(f"{answer!r} is none of them")
    return str(answer)


def _number(question: str, default: int | None) -> int:
    while (answer := typer.prompt(question, default=default, type=int)) < 1:
        typer.echo("at least 1")
    return int(answer)


def _listed(question: str, columns: list[str]) -> tuple[str, ...]:
    while True:
        answer = [name.strip() for name in typer.prompt(question, default="none").split(",")]
        wrong = [name for name in answer if name not in columns]
        if answer in (["none"], [""]):
            return ()
        if not wrong:
            return tuple(answer)
        typer.echo(f"no such column: {', '.join(wrong)}")


def _assumed(found: Inspection, per_period: int) -> Iterator[str]:
    """Say in lines what was taken for true that no file says."""
    chosen, *others = found.outcomes
    yield f"the outcome is {chosen!r}" + (f", not {', '.join(map(repr, others))}" if others else "")
    if found.dated:
        days = found.told.horizon_days
        yield f"a lead counts as converted if it converts within {days} days (snapshots.horizon_days)"
    yield f"sales can work {per_period} leads between two lists (capacity.per_period)"
    yield f"filled in when a lead is created: {', '.join(found.at_creation) or 'no column'} (source.attributes: known)"
    yield "times without an offset are UTC (source.timezone)"
