"""The command line: reads the clock, the arguments and nothing else. What a command needs is imported when it runs."""

from __future__ import annotations

import errno
import importlib.metadata
import logging
import os
import sys
from collections.abc import Iterator
from copy import copy
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.core import TyperGroup

from features.schema.errors import DeliveryError, LeadScoreError, first_line
from pipelines.cli.delivery import delivery_app
from pipelines.cli.everyday import everyday_app
from pipelines.cli.lead import lead_app
from pipelines.cli.model import model_app
from pipelines.cli.nightly import nightly_app
from pipelines.cli.options import HELP_NAMES
from pipelines.cli.public import public_app
from pipelines.cli.serve import serve_app
from pipelines.cli.stages import stage_app

log = logging.getLogger("leadscore")
NO_SUCH_PATH = (NotADirectoryError, IsADirectoryError, FileExistsError, PermissionError)
NO_PATH = (errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG)  # a file system that is read-only, a link to itself
BY_FULL_NAME = ("model", "nightly", "lead")


class WholeMap(TyperGroup):
    """The root of the commands: its help lists `model promote` and not only `model`, so that one page shows all."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help of the root with the commands of its groups."""
        shown = copy(self)
        shown.commands = dict(self._by_full_name())
        super(WholeMap, shown).format_help(ctx, formatter)

    def _by_full_name(self) -> Iterator[tuple[str, Any]]:
        for name, command in self.commands.items():
            if name not in BY_FULL_NAME or not isinstance(command, TyperGroup):
                yield name, command
                continue
            for part, child in command.commands.items():
                shown: Any = copy(child)
                shown.name, shown.rich_help_panel = f"{name} {part}", command.rich_help_panel
                yield shown.name, shown


app = typer.Typer(
    name="leadscore",
    cls=WholeMap,
    no_args_is_help=True,
    context_settings=HELP_NAMES,
    rich_markup_mode="markdown",  # sets paragraphs anew to the width of the terminal
    pretty_exceptions_enable=False,
)
app.add_typer(everyday_app)
app.add_typer(model_app, name="model", rich_help_panel="Models")
app.add_typer(nightly_app, name="nightly", rich_help_panel="Nightly")
app.add_typer(lead_app, name="lead", rich_help_panel="Leads")
app.add_typer(serve_app)
app.add_typer(delivery_app)
app.add_typer(stage_app, name="stage", rich_help_panel="Stages")
app.add_typer(public_app)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"leadscore {importlib.metadata.version('leadscore')}")
        raise typer.Exit


@app.callback()
def leadscore(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Which of my open leads will convert, how sure are we, why, and whom do I call first?"""


def main() -> None:
    """Run the command; a fault that the user can fix is one line and its own exit code, never a traceback."""
    # Before numpy is there: parts run side by side already, threads of BLAS that wait only spin, and sums in another
    # order have other last bits.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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

        if disk_full(error):
            fix = "make room and run it again"
        elif (
            isinstance(error, OSError)
            and error.filename
            and (isinstance(error, NO_SUCH_PATH) or error.errno in NO_PATH)
        ):
            fix = "name a folder or a file that this user may read and write"
        else:
            raise
        typer.echo(f"error: {first_line(error)}; {fix}", err=True)
        sys.exit(DeliveryError.exit_code)
