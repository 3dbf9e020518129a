"""`leadscore deliver`: scores to databases and CRMs, notices to webhooks and people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import DryRunOption, ParamsOption, loaded

if TYPE_CHECKING:
    from pipelines.config.params import Params
    from pipelines.delivery.outbox import DeadLetter

delivery_app = typer.Typer()


class Target(StrEnum):
    """Where scores can go; each has a section of its name in `delivery`."""

    postgres = "postgres"
    duckdb = "duckdb"
    hubspot = "hubspot"
    salesforce = "salesforce"
    dynamics = "dynamics"
    webhook = "webhook"
    apprise = "apprise"


@delivery_app.command(rich_help_panel="Delivery")
def deliver(
    target: Annotated[
        Target,
        typer.Argument(
            metavar="TARGET", help="A database, a CRM or a receiver of notices; `delivery` says where it is."
        ),
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
        bool, typer.Option("--dead-letters", help="List the leads, or notices, that were not taken; send nothing.")
    ] = False,
    requeue: Annotated[bool, typer.Option("--requeue", help="Send again what was set aside.")] = False,
) -> None:
    """Hand scores on: to databases, CRMs, webhooks and people.

    A database gets them whole, a CRM what changed, a webhook or people (Apprise) what is to be acted on.

    IN: scores.parquet; for notices monitor.json as well.

    OUT: the system. Safe to run twice, and to kill at any moment: what has been taken is not sent again, what has not
    is.
    """
    from pipelines.delivery import deliver as stage
    from pipelines.delivery.hand_over import NOTICES

    run = loaded(params, None)
    folder = scores or run.layout.reports
    if target in NOTICES:
        _hand_over(run.params, folder, target, Asked(dry_run, dead_letters, requeue))
    elif dead_letters:
        _show(stage.dead_letters(run.params, target))
    elif dry_run:
        for line in stage.preview(run.params, folder, target):
            typer.echo(line)
    else:
        if requeue:
            stage.requeue(run.params, target)
        stage.deliver(run.params, folder, target, time.sleep)


@dataclass(frozen=True)
class Asked:
    """What is asked besides sending."""

    dry_run: bool
    dead_letters: bool
    requeue: bool


def _hand_over(params: Params, folder: Path, target: Target, asked: Asked) -> None:
    from pipelines.delivery import hand_over as stage

    if asked.dead_letters:
        _show(stage.dead_notices(params, target, time.time))
    elif asked.dry_run:
        for line in stage.preview(params, folder, target, time.time):
            typer.echo(line)
    else:
        if asked.requeue:
            stage.requeue_notices(params, target, time.time)
        stage.hand_over(params, folder, target, time.time, time.sleep)


def _show(letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        typer.echo(f"{letter.lead_id}\t{letter.attempts}\t{letter.reason}")
