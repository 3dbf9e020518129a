"""`leadscore deliver`: scores to databases and CRMs."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import DryRunOption, ParamsOption, loaded

delivery_app = typer.Typer()


class Target(StrEnum):
    """Where scores can go; each has a section of its name in `delivery`."""

    postgres = "postgres"
    duckdb = "duckdb"
    hubspot = "hubspot"
    salesforce = "salesforce"
    dynamics = "dynamics"


@delivery_app.command(rich_help_panel="Delivery")
def deliver(
    target: Annotated[
        Target,
        typer.Argument(metavar="TARGET", help="A database or a CRM; `delivery` says where it is."),
    ],
    params: ParamsOption = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            metavar="FOLDER",
            help="Folder of scores.parquet; default: current in `paths.lists`, else the project's reports.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="List the leads that a CRM did not take; send nothing.")
    ] = False,
    requeue: Annotated[bool, typer.Option("--requeue", help="Send the leads again that were set aside.")] = False,
) -> None:
    """Hand scores on: whole to a database, changes to a CRM.

    IN: scores.parquet.

    OUT: the system. Safe to run twice, and to kill at any moment: what has been taken is not sent again, what has not
    is.
    """
    from pipelines.delivery import deliver as stage

    run = loaded(params, None)
    folder = scores or run.layout.reports
    if dead_letters:
        for letter in stage.dead_letters(run.params, target):
            typer.echo(f"{letter.lead_id}\t{letter.attempts}\t{letter.reason}")
    elif dry_run:
        for line in stage.preview(run.params, folder, target):
            typer.echo(line)
    else:
        if requeue:
            stage.requeue(run.params, target)
        stage.deliver(run.params, folder, target, time.sleep)
