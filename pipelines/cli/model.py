"""The commands of `leadscore model`: which model is the champion, how two runs differ, and what a model says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli import stages
from pipelines.cli.options import DryRunOption, ModelOption, OutOption, ParamsOption, loaded, now

model_app = typer.Typer(help="Models: the champion, and what a run learned.", no_args_is_help=True)


@model_app.command()
def promote(params: ParamsOption = None, out: OutOption = None, model: ModelOption = None) -> None:
    """Make a model the champion, if it passes the gate.

    It must not be worse than the champion and the baselines on later rows. Refused, exit code 8.

    IN: data/contract, features, audit.json, --model, the champion in MLflow.

    OUT: the aliases champion, previous and reference, and a record of the decision, in MLflow; refused, the record
    alone.
    """
    from pipelines.registry.named_model import find_bundle
    from pipelines.registry.promote import promote as stage

    run = loaded(params, out)
    with TemporaryDirectory() as work:
        for line in stage(run, find_bundle(model or str(run.layout.bundle), run.params, Path(work)), now()):
            typer.echo(line)


@model_app.command()
def rollback(params: ParamsOption = None) -> None:
    """Make the previous champion the champion again.

    IN: the registry in MLflow.

    OUT: its aliases, and a record.
    """
    from pipelines.config.params import load
    from pipelines.registry.promote import roll_back

    for line in roll_back(load(params), now()):
        typer.echo(line)


@model_app.command()
def prune(
    params: ParamsOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Delete models and files no alias points to.

    Of a version that was champion once the model stays, so that its scores can be made again. Parameters, figures and
    decisions stay. Runs tracked by hand are among them; `nightly retrain` does the same for those that it made.

    IN: the registry and the files of MLflow.

    OUT: the same without them.
    """
    from pipelines.config.params import load
    from pipelines.registry.prune import prune as delete

    for line in delete(load(params), every=True, dry_run=dry_run) or ["nothing to prune"]:
        typer.echo(line)


@model_app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="Folder of a `leadscore run`, or a project's own.")],
    run_b: Annotated[Path, typer.Argument(help="The same of another run.")],
    params: ParamsOption = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FOLDER", help="Also write compare.json and compare.html there.")
    ] = None,
) -> None:
    """Set two runs side by side.

    IN: two runs.

    OUT: tables of figures, settings, features and scores in the terminal, files with --save.
    """
    from pipelines.analysis.compare_runs import compare_runs, write_comparison
    from pipelines.config.params import load

    found = load(params)
    tree, shown = compare_runs(run_a, run_b, found)
    Console().print(shown)
    if save is not None:
        write_comparison(tree, found, save)


@model_app.command()
def track(params: ParamsOption = None, out: OutOption = None) -> None:
    """Log the run and register its model in MLflow.

    IN: a whole run.

    OUT: the tracking store of `track`. The same as `leadscore stage track`.
    """
    stages.track(params, out)


@model_app.command()
def scorecard(params: ParamsOption = None, out: OutOption = None) -> None:
    """Print the learned scorecard, and what it loses.

    IN: artifacts/model, metrics.json.

    OUT: a table.
    """
    from pipelines.reporting.scorecard import show_scorecard

    shown, lines = show_scorecard(loaded(params, out))
    console = Console(markup=False, highlight=False)  # levels are the user's own text
    console.print(shown)
    for line in lines:
        console.print(line, soft_wrap=True)
