"""Commands that read what the stages wrote, or look before them: for people, and for other systems."""

from __future__ import annotations

import shlex
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.options import AsOfOption, OutOption, ParamsOption, loaded

results_app = typer.Typer()
rules_app = typer.Typer(help="The hand-written rules at work.", no_args_is_help=True)
results_app.add_typer(rules_app, name="rules")
data_app = typer.Typer(help="Public data to try things out on.", no_args_is_help=True)
results_app.add_typer(data_app, name="data")


class To(StrEnum):
    """Where scores can go."""

    postgres = "postgres"
    duckdb = "duckdb"
    hubspot = "hubspot"
    salesforce = "salesforce"


@results_app.command()
def scorecard(params: ParamsOption = None, out: OutOption = None) -> None:
    """Print the learned scorecard, and what it loses. IN: artifacts/model, metrics.json. OUT: a table."""
    from pipelines.reporting.scorecard import show_scorecard

    shown, lines = show_scorecard(*loaded(params, out))
    console = Console(markup=False, highlight=False)  # levels are the user's own text
    console.print(shown)
    for line in lines:
        console.print(line, soft_wrap=True)


@results_app.command()
def change(
    since: Annotated[
        str | None, typer.Option("--from", help="The earlier day, such as 2026-05-01; default: the later day.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="The later day; default: `score.as_of`.")] = None,
    model_from: Annotated[
        Path | None, typer.Option("--model-from", help="Folder of the earlier model; default: artifacts/model.")
    ] = None,
    model_to: Annotated[
        Path | None, typer.Option("--model-to", help="Folder of the later model; default: artifacts/model.")
    ] = None,
    lead: Annotated[str | None, typer.Option("--lead", help="Show one lead in full, and write nothing.")] = None,
    params: ParamsOption = None,
    out: OutOption = None,
) -> None:
    """Say why scores changed between two days or two models: time, edits, events, the new model; the parts add up.

    IN: data/contract/*, one or two models. OUT: change.parquet, change.csv, change.json; with --lead a table.
    """
    from pipelines.analysis.lead_change import explain_lead_change
    from pipelines.analysis.score_change import Ask, explain_changes

    ask = Ask(since, until, model_from, model_to)
    if lead is None:
        explain_changes(ask, *loaded(params, out))
    else:
        Console().print(explain_lead_change(lead, ask, *loaded(params, out)))


@results_app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="Folder of a `leadscore run`, or a project's own.")],
    run_b: Annotated[Path, typer.Argument(help="The same of another run.")],
    params: ParamsOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for compare.json and compare.html.")] = None,
) -> None:
    """Set two runs side by side: figures, settings, features, scores. IN: two runs. OUT: tables, files with --out."""
    from pipelines.analysis.compare_runs import compare_runs, write_comparison
    from pipelines.config.params import load

    found = load(params)
    tree, shown = compare_runs(run_a, run_b, found)
    Console().print(shown)
    if out is not None:
        write_comparison(tree, found, out)


@results_app.command()
def deliver(
    to: Annotated[To, typer.Option(help="The system that is to have the scores; `delivery` says where it is.")],
    params: ParamsOption = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Folder of scores.parquet; default: the project's reports.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="List the leads that a CRM did not take; send nothing.")
    ] = False,
    requeue: Annotated[bool, typer.Option("--requeue", help="Send the leads again that were set aside.")] = False,
) -> None:
    """Hand scores on: whole to a database, what changed to a CRM. IN: scores.parquet. OUT: the system.

    Safe to run twice, and to kill at any moment: what has been taken is not sent again, what has not is.
    """
    from pipelines.delivery import deliver as stage

    found, layout = loaded(params, None)
    folder = scores or layout.reports
    if dead_letters:
        for letter in stage.dead_letters(found, to):
            typer.echo(f"{letter.lead_id}\t{letter.attempts}\t{letter.reason}")
    elif dry_run:
        for line in stage.preview(found, folder, to):
            typer.echo(line)
    else:
        if requeue:
            stage.requeue(found, to)
        stage.deliver(found, folder, to, time.sleep)


@rules_app.command(name="explain")
def explain_rules(
    lead_id: Annotated[str, typer.Argument(help="The lead's id, as the data hold it.")],
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Show each point one lead earned by the rules, and when it decays. IN: data/contract/*, features. OUT: a table."""
    from pipelines.scoring.rule_scoring import explain_lead

    for line in explain_lead(lead_id, *loaded(params, out, as_of)):
        typer.echo(line)


@data_app.command(name="bank-marketing")
def fetch_bank_marketing(
    to: Annotated[Path, typer.Option("--to", help="Folder to write bank-full.csv into; it is made.")],
) -> None:
    """Fetch 45,211 phone leads of a bank, in date order. IN: OpenML, so the internet. OUT: bank-full.csv in --to."""
    from pipelines.inspection.public_data import fetch_bank_marketing as fetch

    path = fetch(to)
    typer.echo(f"wrote {path}; now run")
    typer.echo(f"  leadscore run --params examples/bank_full.yaml --data {shlex.quote(str(to))} --out results")


@results_app.command()
def inspect(
    leads: Annotated[Path, typer.Argument(help="CSV of leads.")],
    events: Annotated[Path | None, typer.Option(help="CSV of events.")] = None,
    outcomes: Annotated[Path | None, typer.Option(help="CSV of outcomes.")] = None,
) -> None:
    """Look at files, propose a `source` mapping for params.yaml, and warn of what looks leaky. Writes nothing."""
    from pipelines.inspection.proposal import inspect as look

    found = look(leads, events, outcomes)
    typer.echo(found.mapping)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
