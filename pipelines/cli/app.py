"""The command line: reads the clock, the arguments and nothing else. Stages are imported when they run."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from features.schema.errors import DeliveryError, LeadScoreError, ParamsError
from pipelines.cli.analyse import results_app
from pipelines.cli.operate import loop_app
from pipelines.cli.options import (
    AsOfOption,
    By,
    DataOption,
    Engine,
    EngineOption,
    OutOption,
    ParamsOption,
    layout_of,
    loaded,
    now,
    opener,
)

app = typer.Typer(
    name="leadscore",
    help="Which of my open leads will convert, how sure are we, why, and whom do I call first?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(results_app)
app.add_typer(loop_app)
log = logging.getLogger("leadscore")


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
    from pipelines.stages.run_all import run_all

    found, layout = loaded(params, out)
    if data is None:
        simulate(params, out)
    learned = run_all(found, data or layout.raw, layout)
    if track and learned:
        track_run(params, out)
    elif track:
        log.warning("track: no model was trained, so there is none to log")
    where(out)


@app.command()
def simulate(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write an imagined B2B funnel whose truth is known. IN: params `simulate`. OUT: data/raw/*, data/oracle/*."""
    from pipelines.simulation.export import chunks
    from pipelines.stages.simulate import write

    found, layout = loaded(params, out)
    parts = chunks(found.simulate, found.project.seed, found.snapshots)
    write(parts, layout.raw, layout.oracle.path, with_contacts=found.simulate.feedback is not None)


@app.command()
def ingest(params: ParamsOption = None, data: DataOption = None, out: OutOption = None) -> None:
    """Map the user's files to the contract. IN: the files of `source`. OUT: data/contract/*, bad rows in quarantine."""
    from pipelines.stages.ingest import ingest as stage

    found, layout = loaded(params, out)
    stage(found.source, found.ingest, found.project, data or layout.raw, layout)


@app.command()
def build_features(params: ParamsOption = None, out: OutOption = None, engine: EngineOption = Engine.duckdb) -> None:
    """Compute labelled snapshots and their features. IN: data/contract/*. OUT: artifacts/features/*, catalogue.csv."""
    from pipelines.stages.build_features import build_features as stage

    found, layout = loaded(params, out)
    stage(found, layout, opener(engine, found))


@app.command()
def audit(params: ParamsOption = None, out: OutOption = None) -> None:
    """Look for what gives the outcome away, and name the column. IN: data/contract/*, features. OUT: audit.json."""
    from pipelines.stages.audit import audit_leakage

    audit_leakage(*loaded(params, out))


@app.command()
def train(params: ParamsOption = None, out: OutOption = None) -> None:
    """Train the model and its randomly split twin. IN: artifacts/features/*. OUT: artifacts/model, random_split."""
    from pipelines.stages.train import train as stage

    stage(*loaded(params, out))


@app.command()
def backtest(params: ParamsOption = None, out: OutOption = None) -> None:
    """Retrain at cuts in the past, score the period after each. IN: data/contract/*. OUT: backtest.json."""
    from pipelines.stages.backtest import backtest as stage

    stage(*loaded(params, out))


@app.command()
def evaluate(params: ParamsOption = None, out: OutOption = None) -> None:
    """Judge on the untouched later period. IN: features, models. OUT: metrics.json, plots, artifacts/predictions."""
    from pipelines.stages.evaluate import evaluate_model

    evaluate_model(*loaded(params, out))


@app.command()
def kpis(
    params: ParamsOption = None,
    out: OutOption = None,
    by: Annotated[
        By, typer.Option(help="Whose tiers: the model's on the later period, or the hand-written rules' on every list.")
    ] = By.model,
) -> None:
    """Figures by tier and period, and whether tiers are too generous. IN: contract, predictions. OUT: kpis.json."""
    from pipelines.stages.kpis import measure_kpis, measure_kpis_by_rules, tier_table

    stage = measure_kpis_by_rules if by is By.rules else measure_kpis
    tree = stage(*loaded(params, out))
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
    found, layout = loaded(params, out, as_of)
    if lead_id is None:
        from pipelines.stages.explain import explain as stage

        if as_of or html:
            raise ParamsError("--as-of and --html explain one lead; give its id before them")
        stage(found, layout)
        return
    from pipelines.analysis.explain_lead import explain_lead
    from pipelines.analysis.lead_page import show, write_lead_page

    story = explain_lead(lead_id, found, layout)
    show(story, Console(highlight=False))
    if html is not None:
        write_lead_page(story, html, found.project.name)


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
    engine: EngineOption = Engine.duckdb,
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
            every_days=every_days, engine=engine,
        )  # fmt: skip
        return
    asked = {"--model": model, "--data": data, "--reasons": reasons, "--since-last": since_last, "--backfill": backfill,
             "--every-days": every_days, "--dry-run": dry_run}  # fmt: skip
    if any(asked.values()):
        raise ParamsError(f"{', '.join(name for name, value in asked.items() if value)} needs --to FOLDER")
    found, layout = loaded(params, out, as_of)
    if by is By.rules:
        if engine is not Engine.duckdb:
            raise ParamsError("--by rules knows no --engine but duckdb")
        from pipelines.scoring.rule_scoring import score_leads_by_rules

        score_leads_by_rules(found, layout)
    else:
        from pipelines.stages.score import score_leads

        score_leads(found, layout, opener(engine, found))


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
    engine: Engine,
) -> None:
    from pipelines.storage.lock import hold

    with hold(to):  # before the imports that take seconds
        from pipelines.scheduled import job

        found, layout = loaded(params, out, as_of)
        request = job.JobRequest(
            model=model or str(layout.bundle),
            to=to,
            data=data,
            reasons=reasons or f"top-{found.score.reasons}",
            since_last=since_last,
            dry_run=dry_run,
            opened=opener(engine, found),
        )
        if days is None:
            lines = job.run_job(found, layout, request, time.perf_counter)
        else:
            lines = job.backfill(found, layout, request, *days, every_days, time.perf_counter)
    for line in lines:
        typer.echo(line)


@app.command()
def report(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write the page people read. IN: metrics, explanation, scores, profile, catalogue. OUT: report.html."""
    from pipelines.stages.report import write_report

    write_report(*loaded(params, out))


@app.command(name="track")
def track_run(params: ParamsOption = None, out: OutOption = None) -> None:
    """Log the run and register its model in MLflow. IN: everything above. OUT: the tracking store of `track`."""
    from pipelines.stages.track import track as stage

    found, layout = loaded(params, out)
    stage(found, layout, params)


@app.command()
def promote(
    params: ParamsOption = None,
    out: OutOption = None,
    model: Annotated[Path | None, typer.Option("--model", help="A model's folder; default: artifacts/model.")] = None,
) -> None:
    """Make a model the champion, if it is not worse than the champion and the baselines on later rows.

    IN: data/contract/*, features, audit.json, --model, the champion in MLflow. OUT: the aliases champion, previous and
    reference, and a record of the decision, in MLflow; refused, exit code 8 and the aliases as they were.
    """
    from pipelines.registry.promote import promote as stage

    found, layout = loaded(params, out)
    for line in stage(found, layout, model or layout.bundle, now()):
        typer.echo(line)


@app.command()
def rollback(params: ParamsOption = None) -> None:
    """Make the previous champion the champion again. IN: the registry in MLflow. OUT: its aliases, and a record."""
    from pipelines.config.params import load
    from pipelines.registry.promote import roll_back

    for line in roll_back(load(params), now()):
        typer.echo(line)


@app.command()
def where(out: OutOption = None) -> None:
    """Say where the results are, and the verdict in three lines."""
    layout = layout_of(out)
    files = [layout.report, layout.scores, layout.scores_csv, layout.metrics, layout.catalogue]
    console = Console(soft_wrap=True)
    for file in files:
        console.print(f"{file.grain:>10}  {file.path}", highlight=False)
    for line in json.loads(layout.metrics.path.read_text(encoding="utf-8"))["verdict"]["lines"]:
        console.print(line, highlight=False)


@app.command()
def docs(to: Annotated[Path, typer.Option("--to", help="Folder of the reference pages.")]) -> None:
    """Write the reference: parameters, commands, features, files. IN: the code, params.yaml. OUT: *.md in --to."""
    from pipelines.cli.reference import write_reference

    for path in write_reference(app, to):
        typer.echo(path)


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
    except Exception as error:
        from pipelines.storage.files import disk_full

        if not disk_full(error):
            raise
        typer.echo(f"error: {str(error).splitlines()[0]}; make room and run it again", err=True)
        sys.exit(DeliveryError.exit_code)
