"""Everyday commands: from files to a list that sales can call, and what to read about it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from features.schema.errors import ParamsError
from pipelines.cli import stages
from pipelines.cli.init import init
from pipelines.cli.options import (
    AsOfOption,
    By,
    ByOption,
    DataOption,
    Engine,
    EngineOption,
    OutcomeColumnOption,
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
everyday_app.command(rich_help_panel="Everyday")(init)
log = logging.getLogger("leadscore")
PANEL = "Everyday"


class Crm(StrEnum):
    """Which CRM is read; each has a section of its name in `pull`."""

    salesforce = "salesforce"
    hubspot = "hubspot"


@everyday_app.command(rich_help_panel=PANEL)
def pull(
    crm: Annotated[Crm, typer.Argument(metavar="CRM", help="Which CRM; `pull` says where it is.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the tables, replaced as a whole.")],
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Address of the CRM; default: `base_url` in `pull`.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Read every record again, to notice what was deleted for good.")
    ] = False,
    params: ParamsOption = None,
) -> None:
    """Read leads and what they did from a CRM, by its API.

    IN: Salesforce or HubSpot, with a token in the environment; only what has changed since the last time.

    OUT: in FOLDER, leads, events, deals and aliases (who was merged) as Parquet, for `init` and `source`. What
    has been read is kept in FOLDER.pull, so that a run that was cut off goes on where it was.
    """
    from pipelines.config.params import load
    from pipelines.pull.pull import at
    from pipelines.pull.pull import pull as read

    rows = read(at(load(params), crm, url), crm, folder, time.sleep, whole=whole)
    typer.echo(", ".join(f"{count:,} {name}" for name, count in rows.items()) + f" in {folder}")


@everyday_app.command(rich_help_panel=PANEL)
def inspect(
    leads: Annotated[Path, typer.Argument(metavar="LEADS", help="File of leads.")],
    events: Annotated[Path | None, typer.Option("--events", metavar="FILE", help="File of events.")] = None,
    outcomes: Annotated[Path | None, typer.Option("--outcomes", metavar="FILE", help="File of outcomes.")] = None,
    fuzzy: Annotated[
        Path | None,
        typer.Option(
            "--fuzzy", metavar="FILE", help="Also write pairs of leads that are probably one, as CSV; needs `fuzzy`."
        ),
    ] = None,
    outcome: OutcomeColumnOption = "",
) -> None:
    """Print a proposed `source` for files, and what looks leaky.

    IN: CSV, Parquet or DuckDB files.

    OUT: YAML for a params file, with the reason for each line, in the terminal; the CSV of --fuzzy.
    """
    from pipelines.inspection.proposal import inspect as look
    from pipelines.inspection.report import Told

    found = look(leads, events, outcomes, Told(outcome))
    typer.echo(found.mapping)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if fuzzy is not None:
        from pipelines.analysis.fuzzy_repeats import write_fuzzy_repeats

        typer.echo(f"{write_fuzzy_repeats(leads, fuzzy):,} pairs of leads that are probably one in {fuzzy}", err=True)


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

    OUT: scores.parquet, scores.csv, and with `lists.owner` a list for each owner in by_owner/. For a list every day:
    `leadscore nightly score`.
    """
    run = loaded(params, out, as_of)
    if by is By.model:
        from pipelines.stages.score import score_leads

        score_leads(run, opener(engine, run.params))
        return
    if engine is not Engine.duckdb:
        raise ParamsError("--by rules knows no --engine but duckdb")
    from pipelines.lists.owner_lists import write_run_lists
    from pipelines.scoring.rule_scoring import score_leads_by_rules, tier_names

    score_leads_by_rules(run)
    write_run_lists(run, tier_names(run.params))


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
def tiers(
    capacity: Annotated[
        int | None,
        typer.Option("--capacity", metavar="N", min=1, help="Calls a list; default: `capacity.per_period`."),
    ] = None,
    moved: Annotated[
        Path | None, typer.Option("--moved", metavar="FILE", help="Also write the leads that would move, as CSV.")
    ] = None,
    params: ParamsOption = None,
    out: OutOption = None,
) -> None:
    """Say what another policy would make of the last list.

    Another capacity, other tiers, triggers, exclusions or owners' lists; nothing is trained or published.

    IN: scores, model, data/contract.

    OUT: a table of tiers now and then, expected wins, who moves, what owners' lists come to; the CSV of --moved.
    """
    from pipelines.analysis.what_if import what_if
    from pipelines.storage.files import write_csv

    run = loaded(params, out)
    if capacity is not None:
        asked = run.params.capacity.model_copy(update={"per_period": capacity})
        run = replace(run, params=run.params.model_copy(update={"capacity": asked}))
    answer = what_if(run)
    console = Console(soft_wrap=True, highlight=False)
    table = Table("tier", "leads now", "then", box=SIMPLE)
    for name in dict.fromkeys([*answer.after.tiers, *answer.before.tiers]):
        table.add_row(escape(name), *(f"{one.tiers.get(name, 0):,}" for one in (answer.before, answer.after)))
    console.print(table)
    for when, one in (("now", answer.before), ("then", answer.after)):
        step = one.capacity[len(one.capacity) // 2]
        console.print(
            f"{when}: the best {step.leads:,} are expected to win {step.wins:.1f} ({step.wins_low:.0f} to "
            f"{step.wins_high:.0f}, {run.params.evaluate.confidence:.0%}){step.down_to}"
        )
    for flow in answer.flows:
        console.print(escape(f"{flow.n:,} leads go from {flow.tier_from} to {flow.tier_to}"))
    if not answer.flows:
        console.print("no lead changes its tier")
    for when, owners in (("now", answer.before.by_owner), ("then", answer.owners)):
        for line in owners.lines if owners else []:
            console.print(escape(f"lists {when}: {line}"))
    if moved is not None:
        write_csv(answer.moved, moved)


@everyday_app.command(rich_help_panel=PANEL)
def lacks(
    each: Annotated[
        bool, typer.Option("--each", help="Also hide each attribute and each event type alone; takes longer.")
    ] = False,
    params: ParamsOption = None,
    out: OutOption = None,
) -> None:
    """Say what each part of the data adds, and what is not there.

    Each part is hidden, a model trained again with the settings of the run, and wins compared on the later period.

    IN: features, artifacts/selection.json, metrics.json.

    OUT: lacks.json, which `leadscore report` shows, and the same in the terminal.
    """
    from pipelines.lacks.hidden_parts import measure_lacks

    for line in measure_lacks(loaded(params, out), each).lines:
        typer.echo(line)


@everyday_app.command("audit-score", rich_help_panel=PANEL)
def audit_score(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File with a score of each lead: CSV, Excel, Parquet.")],
    score: Annotated[list[str], typer.Option("--score", metavar="COLUMN", help="The score or grade; may be repeated.")],
    lead_id: Annotated[str, typer.Option("--id", metavar="COLUMN", help="The column of the lead's id.")] = "lead_id",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="COLUMN", help="When each score was given; without it a lead has one score."),
    ] = None,
    grades: Annotated[
        str | None, typer.Option("--grades", metavar="LIST", help="Grades from the best down, such as A,B,C,D.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write all figures, as JSON.")
    ] = None,
    params: ParamsOption = None,
    out: OutOption = None,
) -> None:
    """Judge a score that you have already beside the model.

    On the same leads and days: ranking, wins a list, conversion by band, inflation, thresholds, leaks.

    IN: FILE; model, predictions, metrics, data/contract.

    OUT: the terminal, and the file of --json.
    """
    from pipelines.analysis.audit_score import ScoreExport, audit_scores
    from pipelines.storage.files import finite, write_json

    run, console = loaded(params, out), Console(soft_wrap=True, highlight=False)
    best_first = [grade.strip() for grade in grades.split(",")] if grades else []
    results = audit_scores([ScoreExport(file, one, lead_id, at, best_first) for one in score], run)
    for result in results:
        table = Table("band", "rows", "leads", "converted", "reached by, a list", box=SIMPLE, title=escape(result.name))
        for band in result.bands:
            rate = f"{band.rate:.1%} ({band.rate_low:.1%} to {band.rate_high:.1%})"
            table.add_row(escape(band.name), f"{band.n:,}", f"{band.n_leads:,}", rate, f"{band.per_list:,.0f}")
        if not result.leaks:
            console.print(table)
        for line in result.lines:
            console.print(escape(line))
    if figures is not None:
        write_json(finite([one.model_dump() for one in results]), figures)


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
    for line in read_verdict(layout).lines:  # on a terminal words are whole; a program gets one line
        console.print(line, highlight=False, soft_wrap=not console.is_terminal)
