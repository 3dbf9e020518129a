"""Commands that watch a model in use, and give it a successor."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.cli.options import AsOfOption, DataOption, OutOption, ParamsOption, loaded, now

if TYPE_CHECKING:
    from pipelines.config.params import Params
    from pipelines.storage.layout import Layout

loop_app = typer.Typer()
ToOption = Annotated[
    Path | None, typer.Option(help="Folder of lists of the scheduled run; --out: where it reads without --data.")
]


@loop_app.command()
def monitor(
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    to: ToOption = None,
    model: Annotated[
        str | None, typer.Option(help="A model's folder, or models:/NAME@ALIAS in MLflow; default: artifacts/model.")
    ] = None,
    data: DataOption = None,
    track: Annotated[
        bool, typer.Option("--track", help="Also log the findings in MLflow, as metrics over time.")
    ] = False,
) -> None:
    """Has the world moved away from the model? Exit code 9 where it has, 0 where all is quiet.

    IN: data/contract/*, or the user's files in --data with --to; --model. OUT: monitor.json and monitor.html, in
    reports, or in TO/monitor. Freshness and volume of the feed, drift of inputs, scores and tiers, promises on lists
    that have matured, early signs on those that have not, and an estimate from the scores alone. Changes nothing else.
    """
    from pipelines.registry.named_model import find_bundle
    from pipelines.reporting.monitor_page import checks_table, write_monitor_page
    from pipelines.scheduled.monitor import raise_alerts, run_monitor
    from pipelines.storage.bundle import load_bundle
    from pipelines.storage.lock import hold

    found, layout = loaded(params, out, as_of)
    folder = layout.reports if to is None else to / "monitor"
    with nullcontext() if to is None else hold(to), TemporaryDirectory() as work:
        where = _taken_in(found, layout, data, to)
        scorer = load_bundle(find_bundle(model or str(layout.bundle), found, Path(work)), found.project.threads)
        tree = run_monitor(found, where, scorer, folder)
        write_monitor_page(tree, folder, found.project.name)
    if track:
        from pipelines.stages.track import track_monitoring

        track_monitoring(found, tree)
    if sys.stdout.isatty():
        Console().print(checks_table(tree))
    raise_alerts(tree)


def _taken_in(params: Params, layout: Layout, data: Path | None, to: Path | None) -> Layout:
    """Return where the contract tables lie: those of a run, or of the scheduled run, brought up to the user's files."""
    from features.schema.errors import ParamsError
    from pipelines.scheduled.input_files import check_contract, ingest_if_changed
    from pipelines.scheduled.job import feed_layout

    if data is None:
        check_contract(layout)
        return layout
    if to is None:
        raise ParamsError("--data needs --to FOLDER, which holds what is read from the files")
    own = feed_layout(to)
    ingest_if_changed(params, data, own)
    return own


@loop_app.command()
def retrain(
    to: Annotated[Path, typer.Option(help="Folder of lists of the scheduled run.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the files named in `source`.")],
    params: ParamsOption = None,
    as_of: AsOfOption = None,
    force: Annotated[bool, typer.Option("--force", help="Retrain now, due or not.")] = False,
) -> None:
    """Train a challenger where one is due by schedule or alert, and promote it where it passes the gate.

    IN: the user's files in --data, TO/monitor/monitor.json, the champion in MLflow. OUT: TO/retrain, a version in
    MLflow, and what `promote` writes; refused, exit code 8. Safe to schedule daily, to kill, and to run again: it goes
    on where it stopped, and until the gate has decided the champion is as it was.
    """
    from pipelines.storage.lock import hold

    with hold(to / "retrain"):  # before the imports that take seconds
        import pandas as pd

        from pipelines.scheduled import retrain as stage

        found, _ = loaded(params, None, as_of)
        moment = now()
        day = moment.floor("D") if found.score.as_of == "latest" else pd.Timestamp(found.score.as_of)
        for line in stage.retrain(found, stage.RetrainRequest(data, to, day, moment, force), params):
            typer.echo(line)


@loop_app.command()
def shadow(
    params: ParamsOption = None,
    out: OutOption = None,
    as_of: AsOfOption = None,
    to: ToOption = None,
    data: DataOption = None,
    champion: Annotated[str | None, typer.Option(help="Folder or models:/...; default: the alias champion.")] = None,
    challenger: Annotated[str | None, typer.Option(help="The same; default: the alias challenger.")] = None,
) -> None:
    """Score with the challenger beside the champion, and say where they differ. Publishes and delivers nothing.

    IN: data/contract/*, or the user's files in --data with --to; two models. OUT: shadow.json and shadow.csv, in
    reports, or in TO/shadow: rank correlation, leads that change tier, the best leads of both, the biggest movers and
    their reasons.
    """
    from pipelines.analysis import shadow as stage
    from pipelines.registry.named_model import find_bundle
    from pipelines.storage.bundle import load_bundle
    from pipelines.storage.lock import hold

    found, layout = loaded(params, out, as_of)
    asked = {"champion": champion, "challenger": challenger}
    with nullcontext() if to is None else hold(to), TemporaryDirectory() as work:
        where = _taken_in(found, layout, data, to)
        models = [
            load_bundle(
                find_bundle(named or f"models:/{found.project.name}@{alias}", found, Path(work) / alias),
                found.project.threads,
            )
            for alias, named in asked.items()
        ]
        tree = stage.shadow(found, where, models[0], models[1], layout.reports if to is None else to / "shadow")
    Console().print(stage.shown(tree), soft_wrap=True)
