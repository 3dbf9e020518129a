"""Commands that watch a model in use, and give it a successor."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.cli_options import AsOfOption, DataOption, OutOption, ParamsOption, loaded

if TYPE_CHECKING:
    from pipelines.artifacts import Layout
    from pipelines.params import Params

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
    from pipelines.bundle import find_bundle, load_bundle
    from pipelines.lock import hold
    from pipelines.monitor import raise_alerts, watch
    from pipelines.monitor_page import checks_table, write_monitor_page

    found, layout = loaded(params, out, as_of)
    folder = layout.reports if to is None else to / "monitor"
    with nullcontext() if to is None else hold(to), TemporaryDirectory() as work:
        where = _taken_in(found, layout, data, to)
        scorer = load_bundle(find_bundle(model or str(layout.bundle), found, Path(work)), found.project.threads)
        tree = watch(found, where, scorer, folder)
        write_monitor_page(tree, folder, found.project.name)
    if track:
        from pipelines.track import track_monitoring

        track_monitoring(found, tree)
    if sys.stdout.isatty():
        Console().print(checks_table(tree))
    raise_alerts(tree)


def _taken_in(params: Params, layout: Layout, data: Path | None, to: Path | None) -> Layout:
    """Return where the contract tables lie: those of a run, or of the scheduled run, brought up to the user's files."""
    from features.errors import ParamsError
    from pipelines.feed import check_contract, take_in
    from pipelines.job import feed_layout

    if data is None:
        check_contract(layout)
        return layout
    if to is None:
        raise ParamsError("--data needs --to FOLDER, which holds what is read from the files")
    own = feed_layout(to)
    take_in(params, data, own)
    return own
