"""What needs no leads of one's own: the reference pages, and public data to try things out on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

public_app = typer.Typer()
example_app = typer.Typer(help="Fetch public data to try things out on.", no_args_is_help=True)
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


public_app.add_typer(example_app, name="example", rich_help_panel=PANEL)
