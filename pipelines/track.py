"""Stage track: the one module that talks to MLflow. Logs the run, registers its model, and fetches one to score by."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from features.errors import ModelError
from models.scorer import Scorer
from pipelines.artifacts import Layout
from pipelines.bundle import load_bundle
from pipelines.params import Params

log = logging.getLogger("leadscore")
ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ["ibis-framework", "lightgbm", "mlflow-skinny", "numpy", "pandas", "pydantic", "scikit-learn", "scipy"]
SECTIONS = ("snapshots", "features", "split", "train", "selection", "scorecard", "points", "capacity", "tiers")


def track(params: Params, layout: Layout, overlay: Path | None) -> str:
    """Log parameters, figures, plots, report and model, and register the model.

    Returns
    -------
    str
        The run's id; known to MLflow alone, never an artifact of a stage.
    """
    _quiet()
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", params.track.uri))
    _ensure_experiment(params)
    scorer = load_bundle(layout.bundle, params.project.threads)
    metrics = json.loads(layout.metrics.path.read_text(encoding="utf-8"))
    with mlflow.start_run(run_name=scorer.model_id) as run:
        mlflow.log_params(_flat(params))
        mlflow.log_metrics(_figures(metrics))
        mlflow.set_tags(_tags(scorer, metrics))
        for file in (layout.report, layout.metrics, layout.catalogue, layout.selection, layout.backtest, layout.audit):
            mlflow.log_artifact(str(file.path))
        mlflow.log_artifacts(str(layout.plots), "plots")
        if overlay is not None:
            mlflow.log_artifact(str(overlay), "params")
        _log_trials(json.loads(layout.selection.path.read_text(encoding="utf-8"))["trials"])
        _log_model(scorer, layout, params.project.name)
    log.info("track: run %s in experiment %s of %s", run.info.run_id, params.project.name, params.track.uri)
    return str(run.info.run_id)


def download_bundle(uri: str, params: Params, folder: Path) -> Path:
    """Fetch the scorer of a registered model, such as models:/lead-scoring@champion, into a folder, which is emptied.

    Returns
    -------
    Path
        The bundle.

    Raises
    ------
    ModelError
        Where the registry has no such model, or it holds no scorer.
    """
    _quiet()
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", params.track.uri))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    except MlflowException as error:
        raise ModelError(
            f"{uri}: {str(error).splitlines()[0]}; run track and promote, or name a bundle's folder"
        ) from None
    found = sorted(folder.rglob("card.json"))
    if not found:
        raise ModelError(f"{uri} holds no scorer of this program; register one with track, or name a bundle's folder")
    return found[0].parent


def _quiet() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow").setLevel(logging.WARNING)


def _ensure_experiment(params: Params) -> None:
    if mlflow.get_experiment_by_name(params.project.name) is None:
        place = Path(params.track.artifacts).resolve().as_uri()
        mlflow.create_experiment(params.project.name, artifact_location=place)
    mlflow.set_experiment(params.project.name)


def _log_trials(trials: list[dict[str, float]]) -> None:
    """Log each trial of the search as a child run."""
    for number, trial in enumerate(trials):
        with mlflow.start_run(run_name=f"trial {number}", nested=True):
            mlflow.log_params({name: value for name, value in trial.items() if name != "loss"})
            mlflow.log_metric("forward_loss", trial["loss"])


def _log_model(scorer: Scorer, layout: Layout, name: str) -> None:
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("served_model.py")),
        artifacts={"bundle": str(layout.bundle)},
        code_paths=[str(ROOT / room) for room in ("features", "models", "pipelines")],
        signature=_signature(scorer),
        input_example=_example(scorer),
        pip_requirements=[f"{package}=={importlib.metadata.version(package)}" for package in REQUIREMENTS],
        registered_model_name=name,
    )


def _signature(scorer: Scorer) -> ModelSignature:
    """Declare features as optional doubles: integer columns would refuse missing values at the model's door."""
    features = [ColSpec("double", name, required=False) for name in scorer.feature_names]
    outputs = [("string", "lead_id"), ("double", "probability"), ("long", "score"),
               ("string", "reasons"), ("string", "reasons_text")]  # fmt: skip
    inputs = Schema([ColSpec("string", "lead_id"), *features])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec(kind, name) for kind, name in outputs]))


def _example(scorer: Scorer) -> pd.DataFrame:
    """Return one made-up row with nothing known: real leads do not go into a registry."""
    return pd.DataFrame({"lead_id": ["example"]} | {name: [float("nan")] for name in scorer.feature_names})


def _flat(params: Params) -> dict[str, object]:
    tree = params.model_dump(mode="json")
    leaves: dict[str, object] = {"source.order": params.source.order, "project.seed": params.project.seed}
    for section in SECTIONS:
        leaves |= {f"{section}.{key}": str(value)[:500] for key, value in tree[section].items()}
    return leaves


def _figures(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    groups = {"test": metrics["test"], "random_split": metrics["random_split"]}
    groups |= {f"baselines.{name}": figures for name, figures in metrics["baselines"].items()}  # type: ignore[misc]  # nested one deeper
    return {
        f"{group}.{name}": value
        for group, figures in groups.items()
        for name, value in figures.items()
        if value is not None
    }


def _tags(scorer: Scorer, metrics: dict[str, object]) -> dict[str, str]:
    lock = Path("dvc.lock")
    tags = {
        "model_id": scorer.model_id,
        "data_fingerprint": scorer.card.fingerprint,
        "verdict": json.dumps(metrics["verdict"]),
        "git_commit": _git_commit(),
        "dvc_lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "",
    }
    return {name: value for name, value in tags.items() if value}


def _git_commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
    return answer.stdout.strip() if answer.returncode == 0 else ""
