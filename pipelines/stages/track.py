"""Stage track: logs the run in MLflow and registers its model as the challenger."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import subprocess
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from models.evaluation.results import EvaluationResult
from models.monitoring.results import MonitorResult
from models.scoring.scorer import Scorer
from pipelines.config.params import Params
from pipelines.registry.registry import CHALLENGER, Registry, open_experiment
from pipelines.reporting.charts import calibration, lift, svg
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import without_leads
from pipelines.storage.results import check_data, read_backtest, read_evaluation, read_selection
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import ROOT

log = logging.getLogger("leadscore")
LONGEST_DIGEST = 36  # characters that MLflow takes
HEADLINE = ("average_precision", "log_loss", "brier", "calibration_error", "precision_at_k", "base_rate")
SECTIONS = ("snapshots", "features", "split", "train", "selection", "scorecard", "points", "capacity", "tiers")


def track(run: RunContext, overlay: Path | None, made_by: str = "") -> str:
    """Log parameters, figures, plots, report, scorecard and model, and register the model.

    Parameters
    ----------
    made_by
        Who started it, as a tag; "" by hand.

    Returns
    -------
    str
        The run's id; known to MLflow alone, never an artifact of a stage.

    Raises
    ------
    DataError, ModelError
        Where a stage that it reads from has not run, or ran on other data than the model was trained on.
    """
    registry = Registry.open(run.params)
    open_experiment(run.params)
    scorer = load_bundle(run.layout.bundle, run.params.project.threads)
    metrics, fingerprint = read_evaluation(run.layout, scorer.tested_id), scorer.metadata.fingerprint
    selection = read_selection(run.layout, fingerprint)
    check_data("backtest.json", read_backtest(run.layout).fingerprint, "backtest", fingerprint, "the model")
    with mlflow.start_run(run_name=scorer.model_id) as tracked:
        mlflow.log_params(_flat(run.params))
        mlflow.log_metrics(_figures(metrics))
        mlflow.set_tags(_tags(scorer, metrics) | ({"made_by": made_by} if made_by else {}))
        mlflow.log_input(_dataset(fingerprint), "training")
        page = without_leads(run.layout.report.path.read_text(encoding="utf-8"))
        mlflow.log_text(page, run.layout.report.path.name)
        for file in (
            run.layout.metrics,
            run.layout.catalogue,
            run.layout.selection,
            run.layout.backtest,
            run.layout.audit,
        ):
            mlflow.log_artifact(str(file.path))
        for card in (run.layout.scorecard_csv, run.layout.scorecard_md, run.layout.scorecard_hubspot):
            mlflow.log_artifact(str(card.path), "scorecard")
        mlflow.log_artifacts(str(run.layout.plots), "plots")
        for name, picture in _pictures(run.layout.plots).items():
            mlflow.log_text(picture, f"pictures/{name}.svg")
        if overlay is not None:
            mlflow.log_artifact(str(overlay), "params")
        _log_trials(selection["trials"])
        version = registry.version_of(scorer.model_id) or registry.register(scorer, run.layout.bundle)
        registry.describe(version, _description(metrics))
        registry.set_alias(CHALLENGER, version)
    log.info("track: run %s in experiment %s of %s", tracked.info.run_id, run.params.project.name, run.params.track.uri)
    return str(tracked.info.run_id)


def track_monitoring(params: Params, result: MonitorResult) -> str:
    """Log the monitoring results of one day as metrics over time, in the run of the monitored model.

    The experiment is called `NAME monitoring`. A metric's time is the monitored day, and its step the number
    of days since the last outcome that the tested model learned from. The same results again add nothing.

    Returns
    -------
    str
        The run's id.
    """
    experiment = Registry.open(params).monitoring()
    day, learned = pd.Timestamp(result.as_of), pd.Timestamp(result.tested_until)
    client = mlflow.MlflowClient()
    runs = client.search_runs([experiment], f"tags.model_id = '{result.model_id}'")
    tags = {"model_id": result.model_id}
    run_id = str((runs[0] if runs else client.create_run(experiment, tags=tags, run_name=result.model_id)).info.run_id)
    figures = {"alerts": float(len(result.alerts))}
    for check in result.checks:
        alert = {} if check.status == "not applicable" else {"alert": float(check.failed)}
        figures |= {_metric(check.code, name): value for name, value in (alert | check.metrics).items()}
    age, moment = (day - learned).days, int(day.timestamp() * 1000)
    client.log_batch(run_id, [Metric(name, value, moment, age) for name, value in figures.items()])
    client.set_tag(run_id, "last_day", result.as_of)
    client.set_tag(run_id, "last_alerts", ", ".join(result.alerts))
    return run_id


def _metric(code: str, name: str) -> str:
    """Name a metric with the characters that MLflow allows."""
    return re.sub(r"[^\w./ -]", "_", f"{code}/{name}")[:250]


def _log_trials(trials: list[dict[str, float]]) -> None:
    """Log each trial of the search as a child run."""
    for number, trial in enumerate(trials):
        with mlflow.start_run(run_name=f"trial {number}", nested=True):
            mlflow.log_params({name: value for name, value in trial.items() if name != "loss"})
            mlflow.log_metric("forward_loss", trial["loss"])


def _flat(params: Params) -> dict[str, object]:
    tree = params.model_dump(mode="json")
    leaves: dict[str, object] = {"source.order": params.source.order, "project.seed": params.project.seed}
    for section in SECTIONS:
        leaves |= {f"{section}.{key}": str(value)[:500] for key, value in tree[section].items()}
    return leaves


def _figures(metrics: EvaluationResult) -> dict[str, float]:
    """Return the figures that runs are compared by, under names that sort; metrics.json beside them has all."""
    test, best, wins = metrics.test, metrics.best_baseline, metrics.wins
    figures = (
        {f"test.{name}": test[name].value for name in HEADLINE} | test.auc.flat("test.auc") | {"test.n": float(test.n)}
    )
    figures |= {"best_baseline.auc": best.auc.value, "best_baseline.log_loss": best.log_loss.value}
    figures |= best.log_loss_gap.flat("best_baseline.log_loss_gap")
    figures |= {"random_split.auc": metrics.random_split.auc.value, "wins.gained": wins.gained}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _description(metrics: EvaluationResult) -> str:
    """Say in Markdown what the report's first lines say."""
    return "\n\n".join(metrics.verdict.lines)


def _dataset(fingerprint: str) -> MetaDataset:
    """Name the data without a row or a path of them."""
    source, digest = CodeDatasetSource({}), fingerprint[:LONGEST_DIGEST]
    return MetaDataset(source, "ingested tables", digest)  # type: ignore[abstract]  # MLflow leaves out `profile` itself


def _pictures(plots: Path) -> dict[str, str]:
    """Draw how probabilities fit and what ranking buys, which MLflow shows of the run."""
    curves = {name: pd.read_csv(plots / f"{name}.csv") for name in ("calibration", "lift")}
    charts = {"calibration": calibration(curves["calibration"]), "lift": lift(curves["lift"], {"model": "Model"})}
    return {name: svg(chart) for name, chart in charts.items()}


def _tags(scorer: Scorer, metrics: EvaluationResult) -> dict[str, str]:
    lock = Path("dvc.lock")
    tags = {
        "model_id": scorer.model_id,
        "data_fingerprint": scorer.metadata.fingerprint,
        "verdict": metrics.verdict.state,
        MLFLOW_RUN_NOTE: _description(metrics),
        "git_commit": _git_commit(),
        "dvc_lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "",
    }
    return {name: value for name, value in tags.items() if value}


def _git_commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
    return answer.stdout.strip() if answer.returncode == 0 else ""
