"""What needs no leads of one's own: the reference pages, and data to try things out on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

public_app = typer.Typer()
example_app = typer.Typer(help="Data to try things out on.", no_args_is_help=True)
PANEL = "Reference"


@public_app.command(rich_help_panel=PANEL)
def docs(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write the pages into.")]) -> None:
    """Write the reference pages.

    IN: the code, params.yaml.

    OUT: in FOLDER, pages of parameters, commands, features, files.
    """
    from pipelines.cli.app import app
    from pipelines.cli.reference import write_reference

    for path in write_reference(app, folder):
        typer.echo(path)


@example_app.command(name="bank-marketing")
def bank_marketing(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write bank-full.csv into; it is made.")],
) -> None:
    """Fetch 45,211 phone leads of a bank, in date order.

    IN: OpenML, so the internet.

    OUT: bank-full.csv in FOLDER.
    """
    from pipelines.config.packaged import packaged
    from pipelines.inspection.public_data import fetch_bank_marketing

    path, params = fetch_bank_marketing(folder), packaged("examples/bank_full.yaml")
    if params.is_relative_to(Path.cwd()):
        params = params.relative_to(Path.cwd())
    typer.echo(f"wrote {path}; now run")
    typer.echo(f"  leadscore run --params {shlex.quote(str(params))} --data {shlex.quote(str(folder))} --out results")


@example_app.command(name="crm-export")
def crm_export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write the two files into; it is made.")],
    day: Annotated[
        str, typer.Option("--exported-on", metavar="DAY", help="The day at whose end the files were exported.")
    ] = "2026-06-30",
) -> None:
    """Write a small simulated CRM export, as people send them.

    German headers, semicolons, decimal commas, dates in three notations, leads entered twice, and a field that is
    filled when the deal is won. Another day adds to the same story or takes from it.

    IN: nothing; no internet.

    OUT: Leads.csv and Aktivitaeten.csv in FOLDER, in place of those that are there.
    """
    from pipelines.simulation.german_export import day_of, write_german_export

    paths = write_german_export(folder, day_of(day))
    typer.echo(f"wrote {' and '.join(map(str, paths))}")


public_app.add_typer(example_app, name="example", rich_help_panel=PANEL)
