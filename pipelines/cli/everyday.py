"""Everyday commands: from files to a list that sales can call, and what to read about it."""

from __future__ import annotations

import logging
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from features.schema.errors import ParamsError
from pipelines.cli import stages
from pipelines.cli.options import (
    AsOfOption,
    By,
    ByOption,
    DataOption,
    Engine,
    EngineOption,
    OutOption,
    ParamsOption,
    RequiredOutOption,
    TrackOption,
    layout_of,
    loaded,
    opener,
)

if TYPE_CHECKING:
    from pipelines.storage.layout import Layout

everyday_app = typer.Typer()
log = logging.getLogger("leadscore")
PANEL = "Everyday"


@everyday_app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of your files: leads, events, outcomes.")],
    file: Annotated[
        Path, typer.Option("--file", metavar="FILE", help="The params file to write; never overwritten.")
    ] = Path("leadscore.yaml"),
) -> None:
    """Look at a folder of files and write a first params file.

    IN: CSV, Parquet or DuckDB files, told apart by their names.

    OUT: --file, with a proposed `source` and the reason for each line. Asks nothing; what it cannot know is left in the
    file for you.
    """
    from pipelines.inspection.starter import write_starter

    for warning in write_starter(folder, file):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"wrote {file}; read and correct it, then run")
    typer.echo(f"  leadscore run --params {shlex.quote(str(file))} --data {shlex.quote(str(folder))} --out results")


@everyday_app.command(rich_help_panel=PANEL)
def inspect(
    leads: Annotated[Path, typer.Argument(metavar="LEADS", help="File of leads.")],
    events: Annotated[Path | None, typer.Option("--events", metavar="FILE", help="File of events.")] = None,
    outcomes: Annotated[Path | None, typer.Option("--outcomes", metavar="FILE", help="File of outcomes.")] = None,
) -> None:
    """Print a proposed `source` for files, and what looks leaky.

    IN: CSV, Parquet or DuckDB files.

    OUT: YAML for a params file, with the reason for each line, in the terminal.
    """
    from pipelines.inspection.proposal import inspect as look

    found = look(leads, events, outcomes)
    typer.echo(found.mapping)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)


@everyday_app.command(rich_help_panel=PANEL)
def run(
    out: RequiredOutOption,
    params: ParamsOption = None,
    data: DataOption = None,
    track: TrackOption = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: fewer rows, one fold, no search, no backtest.")
    ] = False,
) -> None:
    """Run every stage: files in, a ranked list and a report out.

    IN: the files that `source` names, in --data; without it, simulated leads.

    OUT: in --out, metrics.json, scores.parquet, scores.csv, report.html, catalogue.csv, and the folders data/ and
    artifacts/ for what the stages hand on. Where there is too little to learn from, the hand-written `rules` rank the
    leads, and the report says so first. With --track the model is registered too. --quick shows what to expect in about
    a minute; decide by a whole run.
    """
    from pipelines.config.params import quickened
    from pipelines.stages.run_all import run_all

    run = loaded(params, out)
    if quick:
        run = replace(run, params=quickened(run.params))
    if data is None:
        stages.simulate(params, out)
    learned = run_all(run, data or run.layout.raw)
    if track and learned:
        stages.track(params, out)
    elif track:
        log.warning("track: no model was trained, so there is none to log")
    _show_summary(run.layout)


@everyday_app.command(rich_help_panel=PANEL)
def score(
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    by: ByOption = By.model,
    engine: EngineOption = Engine.duckdb,
) -> None:
    """Score every open lead now, into one list.

    IN: data/contract, artifacts/model.

    OUT: scores.parquet, scores.csv. For a list every day: `leadscore nightly score`.
    """
    run = loaded(params, out, as_of)
    if by is By.model:
        from pipelines.stages.score import score_leads

        score_leads(run, opener(engine, run.params))
        return
    if engine is not Engine.duckdb:
        raise ParamsError("--by rules knows no --engine but duckdb")
    from pipelines.scoring.rule_scoring import score_leads_by_rules

    score_leads_by_rules(run)


@everyday_app.command(rich_help_panel=PANEL)
def explain(params: ParamsOption = None, out: OutOption = None) -> None:
    """Say what moves all scores. Of one lead: `lead explain`.

    IN: features, model.

    OUT: artifacts/explanation.json, importance plot, and the strongest features in the terminal.
    """
    from pipelines.stages.explain import explain as stage

    run = loaded(params, out)
    explanation = stage(run)
    table = Table("feature", "group", "points", "direction", box=SIMPLE)
    for feature in explanation.features[: run.params.explain.top_features]:
        table.add_row(escape(feature.label), feature.group, f"{feature.mean_points:.2f}", feature.direction)
    Console(highlight=False).print(table)


@everyday_app.command(rich_help_panel=PANEL)
def report(
    params: ParamsOption = None,
    out: OutOption = None,
    summary: Annotated[bool, typer.Option("--summary", help="Only print the verdict; write no page.")] = False,
) -> None:
    """Write the report; print the verdict and where results are.

    IN: metrics, explanation, scores, profile, catalogue.

    OUT: report.html.
    """
    if not summary:
        stages.report(params, out)
    _show_summary(layout_of(out))


def _show_summary(layout: Layout) -> None:
    """Print where the results are, and the verdict."""
    from pipelines.storage.results import read_verdict

    files = [layout.report, layout.scores, layout.scores_csv, layout.metrics, layout.catalogue]
    console = Console(soft_wrap=True)
    for file in files:
        console.print(f"{file.grain:>10}  {file.path}", highlight=False)
    for line in read_verdict(layout).lines:
        console.print(line, highlight=False)
