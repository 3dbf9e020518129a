"""The registry of models, and the only module besides track that talks to MLflow: versions, aliases and decisions."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from features.schema.errors import ModelError, first_line
from models.scoring.scorer import Scorer
from pipelines.config.params import Params
from pipelines.storage.layout import TESTED
from pipelines.storage.versions import PACKAGES, ROOT

REQUIREMENTS = ["ibis-framework", "lightgbm", "mlflow-skinny", "numpy", "pandas", "pydantic", "scikit-learn", "scipy"]
CHAMPION, PREVIOUS, CHALLENGER, REFERENCE = "champion", "previous", "challenger", "reference"
LONGEST = 8000  # characters that MLflow keeps of a run's tag; longer ones are cut silently
SERVED = Path(__file__).parents[1] / "serving" / "pyfunc_model.py"  # its source, which MLflow runs
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # by which the UI shows runs and not traces
Aliases = list[tuple[str, str | None]]


@dataclass(frozen=True)
class Unfinished:
    """A decision that is recorded, while not all of its aliases may be set."""

    run_id: str
    action: str
    aliases: Aliases


@dataclass(frozen=True)
class Registry:
    """The registered model of a project. A version is never changed; an alias points to one version or to none."""

    client: mlflow.MlflowClient
    name: str
    artifacts: str

    @classmethod
    def open(cls, params: Params) -> Registry:
        """Connect to the tracking store of `track`, or of the environment's MLFLOW_TRACKING_URI."""
        _connect(params)
        return cls(mlflow.MlflowClient(), params.project.name, params.track.artifacts)

    def register(self, scorer: Scorer, bundle: Path) -> str:
        """Log a bundle in the active run and register it.

        Returns
        -------
        str
            The new version; it carries the tag model_id once it is complete.
        """
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED),
            artifacts={"bundle": str(bundle)} | _tested(bundle, scorer),
            code_paths=[str(ROOT / floor) for floor in PACKAGES],
            signature=_signature(scorer),
            input_example=_example(scorer),
            pip_requirements=[f"{package}=={importlib.metadata.version(package)}" for package in REQUIREMENTS],
            registered_model_name=self.name,
        )
        version = str(info.registered_model_version)
        self.client.set_model_version_tag(self.name, version, "model_id", scorer.model_id)
        return version

    def describe(self, version: str, text: str) -> None:
        """Say what a version is worth, in Markdown."""
        self.client.update_model_version(self.name, version, description=text)

    def version_of(self, model_id: str) -> str | None:
        """Return the newest version of a model, None where it is not registered."""
        versions = [
            int(one.version)
            for one in self.client.search_model_versions(f"name = '{self.name}'")
            if one.tags.get("model_id") == model_id
        ]
        return str(max(versions)) if versions else None

    def aliases(self) -> dict[str, str]:
        """Return alias to version; empty where no model is registered."""
        try:
            aliases = self.client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: str(version) for alias, version in aliases.items()}

    def set_alias(self, alias: str, version: str | None) -> None:
        """Let an alias point to a version, or remove it; one transaction of the registry."""
        if version is None:
            self.client.delete_registered_model_alias(self.name, alias)
        else:
            self.client.set_registered_model_alias(self.name, alias, version)

    def record(self, decision: Mapping[str, Any], aliases: Aliases, at: pd.Timestamp) -> Unfinished:
        """Write a decision, with the aliases that it sets in their order, in one transaction.

        Raises
        ------
        ModelError
            Where the record is longer than MLflow keeps.
        """
        tags = {
            "action": str(decision["action"]),
            "answer": str(decision["answer"]),
            "aliases": json.dumps(aliases),
            "decision": json.dumps(decision, sort_keys=True, ensure_ascii=False, allow_nan=False),
        }
        if longest := [name for name, text in tags.items() if len(text) > LONGEST]:
            raise ModelError(f"the {longest[0]} is longer than the {LONGEST} characters that MLflow keeps of a tag")
        name = f"{tags['answer']} {at:%Y-%m-%d %H:%M}"
        run = self.client.create_run(self._experiment(), start_time=_millis(at), tags=tags, run_name=name)
        return Unfinished(run.info.run_id, tags["action"], aliases)

    def finish(self, decision: Unfinished, at: pd.Timestamp) -> None:
        """Record that the aliases of a decision are set."""
        self.client.set_terminated(decision.run_id, "FINISHED", _millis(at))

    def unfinished(self) -> list[Unfinished]:
        """Return decisions whose aliases may not be set, oldest first; a killed command leaves one at most."""
        runs = self._decisions("attributes.status = 'RUNNING'")
        return [
            Unfinished(
                run.info.run_id,
                run.data.tags["action"],
                [(alias, version) for alias, version in json.loads(run.data.tags["aliases"])],
            )
            for run in runs
        ]

    def decisions(self) -> list[dict[str, Any]]:
        """Return every decision, oldest first."""
        return [json.loads(run.data.tags["decision"]) for run in self._decisions("")]

    def _decisions(self, query: str) -> list[Any]:
        return list(self.client.search_runs([self._experiment()], query, order_by=["attributes.start_time ASC"]))

    def monitoring(self) -> str:
        """Return the id of the experiment that holds the results of the monitor; it is created."""
        return _experiment_id(f"{self.name} monitoring", self.artifacts)

    def _experiment(self) -> str:
        return _experiment_id(f"{self.name} decisions", self.artifacts)


def open_experiment(params: Params) -> None:
    """Let new runs go to the project's experiment, which is created."""
    mlflow.set_experiment(experiment_id=_experiment_id(params.project.name, params.track.artifacts))


def _experiment_id(name: str, artifacts: str) -> str:
    known = mlflow.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    location = Path(artifacts).resolve().as_uri()
    return str(mlflow.create_experiment(name, artifact_location=location, tags=MODEL_TRAINING))


def _millis(at: pd.Timestamp) -> int:
    return int(at.timestamp() * 1000)


def download_bundle(uri: str, params: Params, folder: Path) -> Path:
    """Fetch the scorer of a registered model, such as models:/lead-scoring@champion, into an emptied folder.

    Returns
    -------
    Path
        The bundle.

    Raises
    ------
    ModelError
        Where the registry has no such model, or it holds no scorer.
    """
    _connect(params)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        # Without the program's own files, which stand beside it for `mlflow models serve`: three hundred of them.
        mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/artifacts", dst_path=str(folder))
    except MlflowException as error:
        raise ModelError(f"{uri}: {first_line(error)}; run track and promote, or name a bundle's folder") from None
    bundles = sorted(folder.rglob("card.json"))
    if not bundles:
        raise ModelError(f"{uri} holds no scorer of this program; register one with track, or name a bundle's folder")
    return bundles[0].parent


def _connect(params: Params) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", params.track.uri))


def _tested(bundle: Path, scorer: Scorer) -> dict[str, str]:
    """The model that was tested goes with the one that scores: the gate compares tested models."""
    return {} if scorer.metadata.tested_as is None else {"tested": str(bundle.parent / TESTED)}


def _signature(scorer: Scorer) -> ModelSignature:
    """Declare features as optional doubles: integer columns would reject missing values."""
    features = [ColSpec("double", name, required=False) for name in scorer.feature_names]
    outputs = [("string", "lead_id"), ("double", "probability"), ("long", "score"),
               ("string", "reasons"), ("string", "reasons_text")]  # fmt: skip
    facts = ColSpec(AnyType(), "facts", required=False)  # type: ignore[no-untyped-call]
    inputs = Schema([ColSpec("string", "lead_id", required=False), facts, *features])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec(kind, name) for kind, name in outputs]))


def _example(scorer: Scorer) -> pd.DataFrame:
    """Return one made-up row with nothing known: real leads do not go into a registry."""
    return pd.DataFrame({"lead_id": ["example"]} | {name: [float("nan")] for name in scorer.feature_names})
