"""`leadscore stage NAME`: one stage of the pipeline, as dvc.yaml calls it."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from pipelines.cli.options import (
    By,
    ByOption,
    DataOption,
    Engine,
    EngineOption,
    OutOption,
    ParamsOption,
    loaded,
    opener,
)

stage_app = typer.Typer(help="One stage of the pipeline, as DVC runs them all.", no_args_is_help=True)


@stage_app.command()
def resolve_params(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write the parameters of each stage, defaults and all.

    DVC compares these files, so that a changed value runs again only the stages that read it.

    IN: params.yaml.

    OUT: artifacts/params.
    """
    from pipelines.stages.resolve_params import resolve_params as stage

    stage(loaded(params, out))


@stage_app.command()
def simulate(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write a simulated B2B funnel whose truth is known.

    IN: params `simulate`.

    OUT: data/raw, data/oracle.
    """
    from pipelines.simulation.export import chunks
    from pipelines.stages.simulate import write

    run = loaded(params, out)
    market, layout = run.params.simulate, run.layout
    parts = chunks(market, run.params.project.seed, run.params.snapshots)
    flags = {"with_contacts": market.feedback is not None, "with_deals": market.deals is not None}
    write(parts, layout.raw, layout.oracle.path, **flags)


@stage_app.command()
def ingest(params: ParamsOption = None, data: DataOption = None, out: OutOption = None) -> None:
    """Map your files to the contract's tables.

    IN: the files of `source`.

    OUT: data/contract, bad rows with their reason in the quarantine.
    """
    from pipelines.stages.ingest import ingest as stage

    run = loaded(params, out)
    stage(run.params.source, run.params.ingest, run.params.project, data or run.layout.raw, run.layout)


@stage_app.command()
def build_features(params: ParamsOption = None, out: OutOption = None, engine: EngineOption = Engine.duckdb) -> None:
    """Compute labelled snapshots and their features.

    IN: data/contract.

    OUT: artifacts/features, catalogue.csv.
    """
    from pipelines.stages.build_features import build_features as stage

    run = loaded(params, out)
    stage(run, opener(engine, run.params))


@stage_app.command()
def audit(params: ParamsOption = None, out: OutOption = None) -> None:
    """Look for what gives the outcome away, and name the column.

    IN: data/contract, features.

    OUT: audit.json.
    """
    from pipelines.stages.audit import audit_leakage

    audit_leakage(loaded(params, out))


@stage_app.command()
def train(params: ParamsOption = None, out: OutOption = None) -> None:
    """Train the model, and beside it one on a random split.

    IN: artifacts/features.

    OUT: artifacts/model, artifacts/random_split, artifacts/selection.json.
    """
    from pipelines.stages.train import train as stage

    stage(loaded(params, out))


@stage_app.command()
def backtest(params: ParamsOption = None, out: OutOption = None) -> None:
    """Retrain at cuts in the past; score the period after each.

    IN: data/contract.

    OUT: backtest.json.
    """
    from pipelines.stages.backtest import backtest as stage

    stage(loaded(params, out))


@stage_app.command()
def evaluate(params: ParamsOption = None, out: OutOption = None) -> None:
    """Judge the model on the untouched later period.

    IN: features, models.

    OUT: metrics.json, plots, artifacts/predictions.parquet, the scorecard.
    """
    from pipelines.stages.evaluate import evaluate_model

    evaluate_model(loaded(params, out))


@stage_app.command()
def kpis(params: ParamsOption = None, out: OutOption = None, by: ByOption = By.model) -> None:
    """Figures by tier and period; are tiers too generous?

    IN: contract, predictions.

    OUT: kpis.json. With --by rules: of every list, in the tiers that the rules give.
    """
    from pipelines.reporting.tier_table import tier_table
    from pipelines.stages.kpis import measure_kpis, measure_kpis_by_rules

    stage = measure_kpis_by_rules if by is By.rules else measure_kpis
    result = stage(loaded(params, out))
    if sys.stdout.isatty():
        console = Console()
        console.print(tier_table(result))
        for line in result.verdict.lines:
            console.print(line, highlight=False)


@stage_app.command()
def explain(params: ParamsOption = None, out: OutOption = None) -> None:
    """Say what moves the scores of the later period.

    IN: features, model.

    OUT: artifacts/explanation.json, importance plot.
    """
    from pipelines.stages.explain import explain as stage

    stage(loaded(params, out))


@stage_app.command()
def score(params: ParamsOption = None, out: OutOption = None, engine: EngineOption = Engine.duckdb) -> None:
    """Score every open lead.

    IN: data/contract, artifacts/model.

    OUT: scores.parquet, scores.csv.
    """
    from pipelines.stages.score import score_leads

    run = loaded(params, out)
    score_leads(run, opener(engine, run.params))


@stage_app.command()
def report(params: ParamsOption = None, out: OutOption = None) -> None:
    """Write the page that people read.

    IN: metrics, explanation, scores, profile, catalogue.

    OUT: report.html.
    """
    from pipelines.stages.report import write_report

    write_report(loaded(params, out))


@stage_app.command()
def track(params: ParamsOption = None, out: OutOption = None) -> None:
    """Log the run and register its model in MLflow.

    IN: everything above.

    OUT: the tracking store of `track`.
    """
    from pipelines.stages.track import track as stage

    run = loaded(params, out)
    stage(run, params)
