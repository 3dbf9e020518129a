"""Options that commands share, each with one meaning, and how they are read."""

from __future__ import annotations

import datetime as dt
import logging
import os
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.schema.errors import ParamsError
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.config.params import Params
    from pipelines.storage.contract_store import Opener


class By(StrEnum):
    """Who gives the scores."""

    model = "model"
    rules = "rules"


class Engine(StrEnum):
    """What computes the event features."""

    duckdb = "duckdb"
    spark = "spark"


HELP_NAMES = {"help_option_names": ["-h", "--help"]}
DATA = typer.Option("--data", metavar="FOLDER", help="Folder of the files named in `source`.")
OUT = typer.Option(
    "--out", metavar="FOLDER", help="Folder of one run, with all that it writes; default: the project's own folders."
)
LISTS = typer.Option("--lists", metavar="FOLDER", help="Folder of published lists, and of what nightly commands keep.")

FOUND = Path("leadscore.yaml")
log = logging.getLogger("leadscore")


def _take_file(context: typer.Context, given: Path | None) -> Path | None:
    """Take the params file that is given, else the working folder's; its `paths` stand in for options left out."""
    file = given or (FOUND if FOUND.is_file() and "DVC_STAGE" not in os.environ else None)  # dvc.yaml says all itself
    if file is None or context.resilient_parsing:
        return file
    from pipelines.config.paths import read_paths

    folders = read_paths(file)
    context.default_map = {name: str(folder) for name, folder in folders.items()}
    if "lists" in folders:
        context.default_map |= {"scores": str(folders["lists"] / "current")}
    if given is None:
        taken = [
            f"--{one.name} {context.default_map[one.name]}" for one in context.command.params if one.name in folders
        ]
        log.info("%s", ", ".join([f"params of {file}", *taken]))
    return file


ParamsOption = Annotated[
    Path | None,
    typer.Option(
        "--params",
        metavar="FILE",
        is_eager=True,  # before the options that it stands in for
        callback=_take_file,
        help="YAML laid over params.yaml; states only what differs. Default: leadscore.yaml, where there is one.",
    ),
]
DataOption = Annotated[Path | None, DATA]
RequiredDataOption = Annotated[Path, DATA]
OutOption = Annotated[Path | None, OUT]
RequiredOutOption = Annotated[Path, OUT]
ListsOption = Annotated[Path | None, LISTS]
RequiredListsOption = Annotated[Path, LISTS]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DAY",
        help="Day to score at, such as 2026-11-01, today (UTC), or for `score` and `lead` a moment, 2026-11-01T10:30Z; "
        "default: `score.as_of`.",
    ),
]
ByOption = Annotated[By, typer.Option("--by", help="Who scores: the model, or the hand-written rules alone.")]
EngineOption = Annotated[
    Engine, typer.Option("--engine", help="What aggregates the events: DuckDB, or Spark as `spark` says.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="A model's folder, or models:/NAME@ALIAS in MLflow; default: artifacts/model."
    ),
]
TrackOption = Annotated[bool, typer.Option("--track", help="Also log the results in MLflow.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Publish, send and delete nothing; say what would change.")
]
LeadArgument = Annotated[str, typer.Argument(metavar="ID", help="The lead's id, as the data hold it.")]


def loaded(params: Path | None, out: Path | None, as_of: str | None = None) -> RunContext:
    """Return the parameters and where everything lies; `today` is the only place where the clock decides a day."""
    from pipelines.config.params import load, with_as_of

    found = load(params)
    if as_of == "today":
        as_of = dt.datetime.now(dt.UTC).date().isoformat()
    return RunContext(found if as_of is None else with_as_of(found, as_of), layout_of(out))


def now() -> pd.Timestamp:
    """Return the moment, in UTC, for the records of decisions."""
    import pandas as pd

    return pd.Timestamp.now("UTC").tz_localize(None)


def layout_of(out: Path | None) -> Layout:
    """Return the folders of a run, or of the project; raises ParamsError where --out leads to a file."""
    if out is not None and (file := next((one for one in (out, *out.parents) if one.exists()), out)).is_file():
        raise ParamsError(f"--out {out}: {file} is a file; name a folder, which is made where it is missing")
    return Layout.workspace(Path()) if out is None else Layout.folder(out)


def opener(engine: Engine, params: Params) -> Opener:
    """Return what opens the contract tables on an engine."""
    from pipelines.storage.contract_store import Contract

    if engine is Engine.duckdb:
        return Contract.open
    from pipelines.storage.spark_store import SparkContract

    return partial(SparkContract.opened, params.spark)


OutcomeColumnOption = Annotated[
    str,
    typer.Option(
        "--outcome-column", metavar="COLUMN", help="Column that is the outcome; default: by names and values."
    ),
]
