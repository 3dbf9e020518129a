"""What commands have in common: their options, and how they are read."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.storage.layout import Layout

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


ParamsOption = Annotated[
    Path | None, typer.Option("--params", help="YAML laid over params.yaml; states only what differs.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the files named in `source`.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder of a `leadscore run`; default: the project's own folders.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="Day to stand at, such as 2026-11-01, or today (in UTC); default: `score.as_of`."),
]
EngineOption = Annotated[
    Engine, typer.Option(help="What works through the events: DuckDB in this process, or Spark as `spark` says.")
]


def loaded(params: Path | None, out: Path | None, as_of: str | None = None) -> tuple[Params, Layout]:
    """Return the parameters and where everything lies; `today` is the only place where the clock decides a day."""
    from pipelines.config.params import load, with_as_of

    found = load(params)
    if as_of == "today":
        as_of = dt.datetime.now(dt.UTC).date().isoformat()
    return with_as_of(found, as_of) if as_of is not None else found, layout_of(out)


def now() -> pd.Timestamp:
    """Return the moment, in UTC, for the records of decisions."""
    import pandas as pd

    return pd.Timestamp.now("UTC").tz_localize(None)


def layout_of(out: Path | None) -> Layout:
    """Return the folders of a run, or of the project."""
    return Layout.workspace(Path()) if out is None else Layout.folder(out)


def opener(engine: Engine, params: Params) -> Opener:
    """Return what opens the contract tables on an engine."""
    from pipelines.storage.contract_store import Contract

    if engine is Engine.duckdb:
        return Contract.open
    from pipelines.storage.spark_store import SparkContract

    return partial(SparkContract.opened, params.spark)
