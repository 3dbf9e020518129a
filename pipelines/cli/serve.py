"""The commands that stay and answer: scores over HTTP, and pages to look at."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import ListsOption, OutOption, ParamsOption, loaded

serve_app = typer.Typer()


@serve_app.command(rich_help_panel="Leads")
def serve(
    params: ParamsOption = None,
    out: OutOption = None,
    lists: ListsOption = None,
    host: Annotated[
        str, typer.Option("--host", help="Address; any but loopback needs a token in LEADSCORE_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0: any that is free.")] = 8000,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="FILE",
            envvar="LEADSCORE_STATE",
            help="SQLite file of what is posted, or an SQLAlchemy URL; default: artifacts/serve.sqlite.",
        ),
    ] = None,
) -> None:
    """Score leads at the moment they act, over HTTP.

    IN: artifacts/model of --out, and the newest list, of --lists or of --out, for its intercept and cut-offs.

    OUT: answers, and --state: the leads and events that were posted.
    """
    from pipelines.serving import server

    server.serve(loaded(params, out), server.ServeRequest(host, port, state, lists))


@serve_app.command("app", rich_help_panel="Everyday")
def show_app(
    params: ParamsOption = None,
    out: OutOption = None,
    lists: ListsOption = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0: any that is free.")] = 8000,
) -> None:
    """Look at lists, leads, capacity and monitor in a browser.

    Reads alone, on loopback alone; needs `pip install 'leadscore[app]'`.

    IN: scores, model, data/contract, metrics; monitor.html of --lists or of --out.

    OUT: a page at the address in the log, with personal data.
    """
    from pipelines.app.server import serve as serve_page
    from pipelines.app.views import AppRequest

    serve_page(AppRequest(params, out, lists), port)
