"""The commands of `leadscore nightly`: what a scheduler calls. Each may be run twice, killed, and run again."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from features.schema.errors import ParamsError
from pipelines.cli.options import (
    AsOfOption,
    DataOption,
    DryRunOption,
    Engine,
    EngineOption,
    ListsOption,
    ModelOption,
    OutOption,
    ParamsOption,
    RequiredDataOption,
    RequiredListsOption,
    TrackOption,
    loaded,
    now,
    opener,
)

if TYPE_CHECKING:
    from pipelines.storage.run_context import RunContext

nightly_app = typer.Typer(help="What a scheduler calls; safe to kill and to run again.", no_args_is_help=True)


@nightly_app.command()
def score(
    lists: RequiredListsOption,
    params: ParamsOption = None,
    data: DataOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    model: ModelOption = None,
    reasons: Annotated[
        str | None, typer.Option("--reasons", help="top-N, all or none; default: `score.reasons`.")
    ] = None,
    since_last: Annotated[
        bool, typer.Option("--since-last", help="Score only leads that changed since the current list; same bytes.")
    ] = False,
    backfill: Annotated[
        tuple[str, str] | None,
        typer.Option("--backfill", metavar="FIRST LAST", help="A list for each day of the grid between two."),
    ] = None,
    every_days: Annotated[
        int | None,
        typer.Option("--every-days", min=1, help="Of --backfill; default: `snapshots.every_days` of the model."),
    ] = None,
    dry_run: DryRunOption = False,
    engine: EngineOption = Engine.duckdb,
) -> None:
    """Score the open leads and publish the list.

    IN: --model, and your files in --data, or without it data/contract of --out.

    OUT: LISTS/current/scores.parquet, scores.csv, manifest.json and, with `lists.owner`, by_owner/, with `nurture.on`,
    nurture.csv, together or not at all.
    """
    if backfill and as_of:
        raise ParamsError("--backfill stands in for --as-of; give one of them")
    if every_days and not backfill:
        raise ParamsError("--every-days needs --backfill")
    from pipelines.storage.lock import hold

    with hold(lists):  # before the imports that take seconds
        from pipelines.scheduled import job

        run = loaded(params, out, as_of)
        request = job.JobRequest(
            model=model or str(run.layout.bundle),
            to=lists,
            data=data,
            reasons=reasons or f"top-{run.params.score.reasons}",
            since_last=since_last,
            dry_run=dry_run,
            opened=opener(engine, run.params),
        )
        if backfill is None:
            lines = job.run_job(run, request, time.perf_counter)
        else:
            lines = job.backfill(run, request, *backfill, every_days, time.perf_counter)
    for line in lines:
        typer.echo(line)


@nightly_app.command()
def monitor(
    params: ParamsOption = None,
    lists: ListsOption = None,
    data: DataOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    model: ModelOption = None,
    track: TrackOption = False,
) -> None:
    """Has the world moved away from the model? Exit code 9 if so.

    Freshness and volume of the feed, drift of inputs, scores and tiers, calibration on lists that have matured, early
    signs on those that have not, and an estimate from the scores alone. Changes nothing.

    IN: data/contract, or your files in --data with --lists; --model.

    OUT: monitor.json and monitor.html, in reports or in LISTS/monitor.
    """
    from pipelines.registry.named_model import find_bundle
    from pipelines.reporting.monitor_page import checks_table, write_monitor_page
    from pipelines.scheduled.monitor import raise_alerts, run_monitor
    from pipelines.storage.bundle import load_bundle, load_tested
    from pipelines.storage.lock import hold

    run = loaded(params, out, as_of)
    folder = run.layout.reports if lists is None else lists / "monitor"
    with nullcontext() if lists is None else hold(lists), TemporaryDirectory() as work:
        read = _taken_in(run, data, lists)
        bundle = find_bundle(model or str(run.layout.bundle), run.params, Path(work))
        scorer = load_bundle(bundle, run.params.project.threads)
        result = run_monitor(read, scorer, load_tested(bundle, scorer), folder)
        write_monitor_page(result, folder, run.params.project.name)
    if track:
        from pipelines.stages.track import track_monitoring

        track_monitoring(run.params, result)
    if sys.stdout.isatty():
        Console().print(checks_table(result))
    raise_alerts(result)


def _taken_in(run: RunContext, data: Path | None, lists: Path | None) -> RunContext:
    """Return a run with the tables to read: its own, or the scheduled run's, brought up to the user's files."""
    from pipelines.scheduled.input_files import check_contract, ingest_if_changed
    from pipelines.scheduled.job import feed_layout

    if data is None:
        check_contract(run.layout)
        return run
    if lists is None:
        raise ParamsError("--data needs --lists FOLDER, which holds what is read from the files")
    own = replace(run, layout=feed_layout(lists))
    ingest_if_changed(own, data)
    return own


@nightly_app.command()
def retrain(
    lists: RequiredListsOption,
    data: RequiredDataOption,
    params: ParamsOption = None,
    as_of: AsOfOption = None,
    force: Annotated[bool, typer.Option("--force", help="Retrain now, due or not.")] = False,
) -> None:
    """Train a challenger if one is due; promote it if it passes.

    Due by schedule or alert. Safe to schedule daily, to kill, and to run again: it goes on where it stopped, and until
    the gate has decided the champion is as it was. Refused, exit code 8.

    IN: your files in --data, LISTS/monitor/monitor.json, the champion in MLflow.

    OUT: LISTS/retrain, a version in MLflow, and what `model promote` writes.
    """
    from pipelines.storage.lock import hold

    with hold(lists / "retrain"):  # before the imports that take seconds
        import pandas as pd

        from pipelines.config.params import require_day
        from pipelines.scheduled import retrain as stage

        run = loaded(params, None, as_of)
        require_day(run.params)
        moment = now()
        day = moment.floor("D") if run.params.score.as_of == "latest" else pd.Timestamp(run.params.score.as_of)
        for line in stage.retrain(run.params, stage.RetrainRequest(data, lists, day, moment, force), params):
            typer.echo(line)


@nightly_app.command()
def shadow(
    params: ParamsOption = None,
    lists: ListsOption = None,
    data: DataOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    champion: Annotated[
        str | None, typer.Option("--champion", metavar="MODEL", help="As --model; default: the alias champion.")
    ] = None,
    challenger: Annotated[
        str | None, typer.Option("--challenger", metavar="MODEL", help="As --model; default: the alias challenger.")
    ] = None,
) -> None:
    """Score with challenger and champion, and compare.

    Publishes and delivers nothing.

    IN: data/contract, or your files in --data with --lists; two models.

    OUT: shadow.json and shadow.csv, in reports or in LISTS/shadow: rank correlation, leads that change tier, the best
    leads of both, the biggest movers and why.
    """
    from pipelines.analysis import shadow as stage
    from pipelines.registry.named_model import find_bundle
    from pipelines.storage.bundle import load_bundle
    from pipelines.storage.lock import hold

    run = loaded(params, out, as_of)
    folder = run.layout.reports if lists is None else lists / "shadow"
    asked = {"champion": champion, "challenger": challenger}
    with nullcontext() if lists is None else hold(lists), TemporaryDirectory() as work:
        read = _taken_in(run, data, lists)
        models = [
            load_bundle(
                find_bundle(named or f"models:/{run.params.project.name}@{alias}", run.params, Path(work) / alias),
                run.params.project.threads,
            )
            for alias, named in asked.items()
        ]
        result = stage.shadow(read, models[0], models[1], folder)
    Console().print(stage.shown(result), soft_wrap=True)
