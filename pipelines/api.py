"""The Python door: a run, its matrix, scorer and figures, for notebooks and scripts.

Reads alone, and each artifact when it is asked for; nothing of the program imports it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from features.matrix.catalogue import level_counts
from features.matrix.matrix import MatrixSpec
from features.matrix.point_in_time import point_in_time_features
from features.schema.errors import DataError
from models.evaluation.results import EvaluationResult
from models.explanation.results import ExplanationResult
from models.explanation.shap_values import shap_explanation
from models.kpis.results import KpiResult
from models.scoring.scorer import Scorer
from models.splitting.forward_folds import FoldParams, Order, in_time
from models.splitting.holdout import tested_rows
from models.splitting.sklearn_folds import ForwardFolds
from models.training.estimator import LeadScorer
from models.training.training import SIGNS, Chosen, taught
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import read_matrix
from pipelines.storage.data_profile import DataProfile, read_profile
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_result, read_selection, read_snapshot_counts

if TYPE_CHECKING:
    import shap

__all__ = ["ForwardFolds", "LeadScorer", "Run", "point_in_time_features"]
VARIABLE = "LEADSCORE_OUT"


@dataclass(frozen=True)
class Run:
    """What a run wrote.

    Attributes
    ----------
    layout
        Where each artifact lies.
    threads
        How many boosters predict side by side.
    """

    layout: Layout
    threads: int = 2

    @classmethod
    def open(cls, folder: str | Path | None = None) -> Self:
        """Open the folder of `leadscore run --out`, or of a project in which `dvc repro` has run.

        Parameters
        ----------
        folder
            None: what LEADSCORE_OUT names, else the working folder or the nearest above it that holds a run.

        Raises
        ------
        DataError
            Where there is no run.
        """
        named = folder or os.environ.get(VARIABLE)
        start = Path(named or ".").resolve()
        for one in [start] if named else [start, *start.parents]:
            for layout in (Layout.folder(one), Layout.workspace(one)):
                if layout.metrics.path.is_file():
                    return cls(layout)
        raise DataError(
            "metrics.json",
            "",
            found=f"none in {start}",
            expected="the folder of a run",
            fix="Name the folder of `leadscore run --out`.",
        )

    @property
    def matrix(self) -> pd.DataFrame:
        """Every labelled snapshot: lead_id, snapshot_at, known_at, label, part, weight, and the features."""
        return self._matrix_and_spec[0]

    @property
    def spec(self) -> MatrixSpec:
        """Which features there are; `spec.catalogue` says each in plain words."""
        return self._matrix_and_spec[1]

    @cached_property
    def _matrix_and_spec(self) -> tuple[pd.DataFrame, MatrixSpec]:
        return read_matrix(self.layout)

    @property
    def features(self) -> list[str]:
        """The names of the feature columns."""
        return [entry.name for entry in self.spec.catalogue]

    @property
    def training(self) -> pd.DataFrame:
        """The rows of the matrix to learn from, those before the test period, in the order of time."""
        return in_time(taught(self.matrix, ("train",)), self.order)

    @property
    def tested(self) -> pd.DataFrame:
        """The rows of the test period, with the predictions of `predictions` as columns, and the tier."""
        keys = ["lead_id", "snapshot_at"]
        predicted = self.predictions.drop(columns="label")
        return tested_rows(self.matrix).merge(predicted, "left", keys, validate="one_to_one")

    @property
    def predictions(self) -> pd.DataFrame:
        """What the model and each baseline predicted of the test period."""
        return pd.read_parquet(self.layout.predictions.path)

    @cached_property
    def scorer(self) -> Scorer:
        """The model that scores."""
        return load_bundle(self.layout.bundle, self.threads)

    @cached_property
    def metrics(self) -> EvaluationResult:
        """The figures of metrics.json."""
        return read_result(EvaluationResult, self.layout.metrics.path, "evaluate")

    @cached_property
    def explanation(self) -> ExplanationResult:
        """What moves the scores."""
        return read_result(ExplanationResult, self.layout.explanation.path, "explain")

    @cached_property
    def kpis(self) -> KpiResult:
        """Figures by tier and month."""
        return read_result(KpiResult, self.layout.kpis.path, "kpis")

    @cached_property
    def profile(self) -> DataProfile:
        """What the data are and how far they go."""
        return read_profile(self.layout)

    @property
    def order(self) -> Order:
        """What orders the rows: dates, their order, or nothing."""
        return read_snapshot_counts(self.layout).order

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the contract: leads, events, outcomes, stages or attribute_history."""
        return pd.read_parquet(getattr(self.layout, name).path)

    def folds(self, rows: pd.DataFrame | None = None, params: FoldParams | None = None) -> ForwardFolds:
        """Return forward folds of rows of the matrix; of `training` where none are given."""
        return ForwardFolds(self.training if rows is None else rows, self.order, params or FoldParams())

    def estimator(self, **values: Any) -> LeadScorer:
        """Return an untrained `LeadScorer` with the settings that the forward folds of this run chose."""
        chosen = Chosen.model_validate(read_selection(self.layout, self.profile.fingerprint)["chosen"])
        entries = self.spec.catalogue
        return LeadScorer(
            settings=chosen.for_catalogue(entries),
            levels=level_counts(entries),
            directions=tuple(SIGNS[entry.direction] for entry in entries),
            **values,
        )

    def shap(self, rows: pd.DataFrame) -> shap.Explanation:
        """Return the points of each feature of some rows as a `shap.Explanation`, for shap's own plots."""
        return shap_explanation(self.scorer, rows)
