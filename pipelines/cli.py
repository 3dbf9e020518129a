"""The command line: reads the clock, the arguments and nothing else. Stages are imported when they run."""

from __future__ import annotations

import datetime as dt
import json
import logging
import shlex
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from features.errors import LeadScoreError, ParamsError
from pipelines.artifacts import Layout

if TYPE_CHECKING:
    from pipelines.params import Params

app = typer.Typer(
    name="leadscore",
    help="Which of my open leads will convert, how sure are we, why, and whom do I call first?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
rules_app = typer.Typer(help="The hand-written rules at work.", no_args_is_help=True)
app.add_typer(rules_app, name="rules")
data_app = typer.Typer(help="Public data to try things out on.", no_args_is_help=True)
app.add_typer(data_app, name="data")
log = logging.getLogger("leadscore")


class To(StrEnum):
    """Where scores can go."""

    postgres = "postgres"
    duckdb = "duckdb"
    hubspot = "hubspot"
    salesforce = "salesforce"


class By(StrEnum):
    """Who gives the scores."""

    model = "model"
    rules = "rules"


ParamsOption = Annotated[
    Path | None, typer.Option("--params", help="YAML laid over params.yaml; states only what differs.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the files named in `source`.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder of a `leadscore run`; default: the project's own folders.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="Day to stand at, such as 2026-11-01, or today (in UTC); default: `score.as_of`."),
]


@app.command()
def run(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is written.")],
    params: ParamsOption = None,
    data: DataOption = None,
    track: Annotated[bool, typer.Option("--track", help="Also log the run and register the model in MLflow.")] = False,
) -> None:
    """Run every stage: files in, scored, tiered and explained leads out. Without --data, simulated leads.

    IN: the files that `source` names, in --data. OUT, in --out: metrics.json, scores.parquet, scores.csv, report.html,
    catalogue.csv, and the folders data/ and artifacts/ for what the stages hand on. Where there is too little to learn
    from, the hand-written `rules` rank the leads, and the report says so first.
    """
    from pipelines.run import run_all

    loaded, layout = _load(params, out)
    if data is None:
        simulate(params, out)
    learned = run_all(loaded, data or layout.raw, layout)
    if track and learned:
        track_run(params, out)
    elif track:
        log.warning("track: no model was trained, so there is none to log")
    where(out)


@app.command()
def simulate(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write an imagined B2B funnel whose truth is known. IN: params `simulate`. OUT: data/raw/*, data/oracle/*."""
    from pipelines.simulate import chunks, write

    loaded, layout = _load(params, out)
    parts = chunks(loaded.simulate, loaded.project.seed, loaded.snapshots)
    write(parts, layout.raw, layout.oracle.path)


@app.command()
def ingest(params: ParamsOption = None, data: DataOption = None, out: OutOption = None) -> None:
    """Map the user's files to the contract. IN: the files of `source`. OUT: data/contract/*, bad rows in quarantine."""
    from pipelines.ingest import ingest as stage

    loaded, layout = _load(params, out)
    stage(loaded.source, loaded.ingest, loaded.project, data or layout.raw, layout)


@app.command()
def build_features(params: ParamsOption = None, out: OutOption = None) -> None:
    """Compute labelled snapshots and their features. IN: data/contract/*. OUT: artifacts/features/*, catalogue.csv."""
    from pipelines.build_features import build_features as stage

    stage(*_load(params, out))


@app.command()
def audit(params: ParamsOption = None, out: OutOption = None) -> None:
    """Look for what gives the outcome away, and name the column. IN: data/contract/*, features. OUT: audit.json."""
    from pipelines.audit import audit_leakage

    audit_leakage(*_load(params, out))


@app.command()
def train(params: ParamsOption = None, out: OutOption = None) -> None:
    """Train the model and its randomly split twin. IN: artifacts/features/*. OUT: artifacts/model, random_split."""
    from pipelines.train import train as stage

    stage(*_load(params, out))


@app.command()
def backtest(params: ParamsOption = None, out: OutOption = None) -> None:
    """Retrain at cuts in the past, score the period after each. IN: data/contract/*. OUT: backtest.json."""
    from pipelines.backtest import backtest as stage

    stage(*_load(params, out))


@app.command()
def evaluate(params: ParamsOption = None, out: OutOption = None) -> None:
    """Judge on the untouched later period. IN: features, models. OUT: metrics.json, plots, artifacts/predictions."""
    from pipelines.evaluate import evaluate_model

    evaluate_model(*_load(params, out))


@app.command()
def scorecard(params: ParamsOption = None, out: OutOption = None) -> None:
    """Print the learned scorecard, and what it loses. IN: artifacts/model, metrics.json. OUT: a table."""
    from pipelines.scorecard import show_scorecard

    shown, lines = show_scorecard(*_load(params, out))
    console = Console(markup=False, highlight=False)  # levels are the user's own text
    console.print(shown)
    for line in lines:
        console.print(line, soft_wrap=True)


@app.command()
def kpis(
    params: ParamsOption = None,
    out: OutOption = None,
    by: Annotated[
        By, typer.Option(help="Whose tiers: the model's on the later period, or the hand-written rules' on every list.")
    ] = By.model,
) -> None:
    """Figures by tier and period, and whether tiers are too generous. IN: contract, predictions. OUT: kpis.json."""
    from pipelines.kpis import measure_kpis, measure_kpis_by_rules, tier_table

    stage = measure_kpis_by_rules if by is By.rules else measure_kpis
    tree = stage(*_load(params, out))
    if sys.stdout.isatty():
        console = Console()
        console.print(tier_table(tree))
        for line in tree["verdict"]["lines"]:
            console.print(line, highlight=False)


@app.command()
def explain(
    lead_id: Annotated[
        str | None, typer.Argument(help="Explain this lead's score; without an id: what moves all scores.")
    ] = None,
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the lead's story as this page.")] = None,
) -> None:
    """Say what moves the scores, or all about one lead's score.

    Without LEAD_ID, IN: features, model. OUT: artifacts/explanation.json, importance plot. With LEAD_ID, IN:
    data/contract/*, features, model, predictions, scores. OUT: the terminal, and the page of --html, which holds
    personal data: points from the base to the score, what would move it, leads like it, attributes and events.
    """
    loaded, layout = _load(params, out, as_of)
    if lead_id is None:
        from pipelines.explain import explain as stage

        if as_of or html:
            raise ParamsError("--as-of and --html explain one lead; give its id before them")
        stage(loaded, layout)
        return
    from pipelines.explain_lead import explain_lead
    from pipelines.lead_page import show, write_lead_page

    story = explain_lead(lead_id, loaded, layout)
    show(story, Console(highlight=False))
    if html is not None:
        write_lead_page(story, html, loaded.project.name)


@app.command()
def score(
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    by: Annotated[
        By, typer.Option(help="Who gives the scores: the model, or the hand-written rules alone.")
    ] = By.model,
    to: Annotated[Path | None, typer.Option(help="Folder of lists: the scheduled run; --out: where it reads.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's folder, or models:/NAME@ALIAS in MLflow; default: artifacts/model.")
    ] = None,
    data: DataOption = None,
    reasons: Annotated[str | None, typer.Option(help="top-N, all or none; default: `score.reasons`.")] = None,
    since_last: Annotated[
        bool, typer.Option("--since-last", help="Score only leads that changed since the list in force; same bytes.")
    ] = False,
    backfill: Annotated[
        tuple[str, str] | None, typer.Option(metavar="FROM TO", help="A list for each day of the grid between two.")
    ] = None,
    every_days: Annotated[
        int | None, typer.Option(min=1, help="Of --backfill; default: `snapshots.every_days` of the model.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but publish; say what would change.")
    ] = False,
) -> None:
    """Score every open lead. IN: data/contract/*, artifacts/model. OUT: scores.parquet, scores.csv.

    With --to it is the scheduled run. IN: --model, and the user's files in --data or data/contract/*. OUT:
    TO/current/scores.parquet, scores.csv and manifest.json, published together or not at all.
    """
    if to is not None:
        if by is By.rules or (backfill and as_of) or (every_days and not backfill):
            raise ParamsError(
                "--to goes with --by model; --backfill stands in for --as-of; --every-days needs --backfill"
            )
        _score_on_schedule(
            params, out, as_of, to, model, data, reasons, since_last=since_last, dry_run=dry_run, days=backfill,
            every_days=every_days,
        )  # fmt: skip
        return
    asked = {"--model": model, "--data": data, "--reasons": reasons, "--since-last": since_last, "--backfill": backfill,
             "--every-days": every_days, "--dry-run": dry_run}  # fmt: skip
    if any(asked.values()):
        raise ParamsError(f"{', '.join(name for name, value in asked.items() if value)} needs --to FOLDER")
    loaded, layout = _load(params, out, as_of)
    if by is By.rules:
        from pipelines.rules import score_leads_by_rules

        score_leads_by_rules(loaded, layout)
    else:
        from pipelines.score import score_leads

        score_leads(loaded, layout)


def _score_on_schedule(
    params: Path | None,
    out: Path | None,
    as_of: str | None,
    to: Path,
    model: str | None,
    data: Path | None,
    reasons: str | None,
    *,
    since_last: bool,
    dry_run: bool,
    days: tuple[str, str] | None,
    every_days: int | None,
) -> None:
    from pipelines.lock import hold

    with hold(to):  # before the imports that take seconds
        from pipelines import job

        loaded, layout = _load(params, out, as_of)
        request = job.Request(
            model=model or str(layout.bundle),
            to=to,
            data=data,
            reasons=reasons or f"top-{loaded.score.reasons}",
            since_last=since_last,
            dry_run=dry_run,
        )
        if days is None:
            lines = job.run_job(loaded, layout, request, time.perf_counter)
        else:
            lines = job.backfill(loaded, layout, request, *days, every_days, time.perf_counter)
    for line in lines:
        typer.echo(line)


@app.command()
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
    from pipelines.change import Ask, explain_changes
    from pipelines.change_lead import explain_lead_change

    ask = Ask(since, until, model_from, model_to)
    if lead is None:
        explain_changes(ask, *_load(params, out))
    else:
        Console().print(explain_lead_change(lead, ask, *_load(params, out)))


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="Folder of a `leadscore run`, or a project's own.")],
    run_b: Annotated[Path, typer.Argument(help="The same of another run.")],
    params: ParamsOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for compare.json and compare.html.")] = None,
) -> None:
    """Set two runs side by side: figures, settings, features, scores. IN: two runs. OUT: tables, files with --out."""
    from pipelines.compare import compare_runs, write_comparison
    from pipelines.params import load

    loaded = load(params)
    tree, shown = compare_runs(run_a, run_b, loaded)
    Console().print(shown)
    if out is not None:
        write_comparison(tree, loaded, out)


@app.command()
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
    from pipelines import deliver as stage

    loaded, layout = _load(params, None)
    folder = scores or layout.reports
    if dead_letters:
        for letter in stage.dead_letters(loaded, to):
            typer.echo(f"{letter.lead_id}\t{letter.attempts}\t{letter.reason}")
    elif dry_run:
        for line in stage.preview(loaded, folder, to):
            typer.echo(line)
    else:
        if requeue:
            stage.requeue(loaded, to)
        stage.deliver(loaded, folder, to, time.sleep)


@rules_app.command(name="explain")
def explain_rules(
    lead_id: Annotated[str, typer.Argument(help="The lead's id, as the data hold it.")],
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
) -> None:
    """Show each point one lead earned by the rules, and when it decays. IN: data/contract/*, features. OUT: a table."""
    from pipelines.rules import explain_lead

    for line in explain_lead(lead_id, *_load(params, out, as_of)):
        typer.echo(line)


@data_app.command(name="bank-marketing")
def fetch_bank_marketing(
    to: Annotated[Path, typer.Option("--to", help="Folder to write bank-full.csv into; it is made.")],
) -> None:
    """Fetch 45,211 phone leads of a bank, in date order. IN: OpenML, so the internet. OUT: bank-full.csv in --to."""
    from pipelines.public_data import fetch_bank_marketing as fetch

    path = fetch(to)
    typer.echo(f"wrote {path}; now run")
    typer.echo(f"  leadscore run --params examples/bank_full.yaml --data {shlex.quote(str(to))} --out results")


@app.command()
def report(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write the page people read. IN: metrics, explanation, scores, profile, catalogue. OUT: report.html."""
    from pipelines.report import write_report

    write_report(*_load(params, out))


@app.command(name="track")
def track_run(params: ParamsOption = None, out: OutOption = None) -> None:
    """Log the run and register its model in MLflow. IN: everything above. OUT: the tracking store of `track`."""
    from pipelines.track import track as stage

    loaded, layout = _load(params, out)
    stage(loaded, layout, params)


@app.command()
def where(out: OutOption = None) -> None:
    """Say where the results are, and the verdict in three lines."""
    layout = _layout(out)
    files = [layout.report, layout.scores, layout.scores_csv, layout.metrics, layout.catalogue]
    console = Console(soft_wrap=True)
    for file in files:
        console.print(f"{file.grain:>10}  {file.path}", highlight=False)
    for line in json.loads(layout.metrics.path.read_text(encoding="utf-8"))["verdict"]["lines"]:
        console.print(line, highlight=False)


@app.command()
def docs(to: Annotated[Path, typer.Option("--to", help="Folder of the reference pages.")]) -> None:
    """Write the reference: parameters, commands, features, files. IN: the code, params.yaml. OUT: *.md in --to."""
    from pipelines.reference import write_reference

    for path in write_reference(app, to):
        typer.echo(path)


@app.command()
def inspect(
    leads: Annotated[Path, typer.Argument(help="CSV of leads.")],
    events: Annotated[Path | None, typer.Option(help="CSV of events.")] = None,
    outcomes: Annotated[Path | None, typer.Option(help="CSV of outcomes.")] = None,
) -> None:
    """Look at files, propose a `source` mapping for params.yaml, and warn of what looks leaky. Writes nothing."""
    from pipelines.inspection import inspect as look

    found = look(leads, events, outcomes)
    typer.echo(found.mapping)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)


def main() -> None:
    """Run the command; a fault that the user can mend is one line and its own exit code, never a traceback."""
    watched = sys.stderr.isatty()
    handler = RichHandler(console=Console(stderr=True), show_path=False) if watched else logging.StreamHandler()
    style = "%(message)s" if watched else "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.WARNING, format=style, handlers=[handler])
    log.setLevel(logging.INFO)
    try:
        app()
    except LeadScoreError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def _load(params: Path | None, out: Path | None, as_of: str | None = None) -> tuple[Params, Layout]:
    from pipelines.params import load, with_as_of

    loaded = load(params)
    if as_of == "today":
        as_of = dt.datetime.now(dt.UTC).date().isoformat()
    return with_as_of(loaded, as_of) if as_of is not None else loaded, _layout(out)


def _layout(out: Path | None) -> Layout:
    return Layout.workspace(Path()) if out is None else Layout.folder(out)
