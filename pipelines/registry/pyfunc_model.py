"""The model as MLflow serves it: loaded from this source file and the text bundle, so that nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from models.scoring.scorer import Scorer
from pipelines.storage.bundle import load_bundle

REASONS = 5
OUTPUT = ["probability", "score", "reasons", "reasons_text"]


class ServedModel(PythonModel):
    """Scores feature rows; tiers belong to a complete list, which a batch is not, so there are none."""

    scorer: Scorer

    def load_context(self, context: PythonModelContext) -> None:
        self.scorer = load_bundle(Path(context.artifacts["bundle"]), threads=1)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return probability, score and reasons, in the order of the rows."""
        scored = self.scorer.score(model_input.reset_index(drop=True), REASONS).set_index("lead_id")
        return scored.loc[model_input["lead_id"], OUTPUT].reset_index()


mlflow.models.set_model(ServedModel())
