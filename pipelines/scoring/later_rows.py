"""Rows of the test period that explanations are computed from."""

from __future__ import annotations

import pandas as pd

from models.splitting.holdout import draw
from pipelines.config.params import Params


def sample_later(matrix: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Draw `explain.sample_rows` rows of the test period, always the same ones."""
    rows = matrix[matrix["part"] == "test"]
    key = rows["lead_id"] + "@" + rows["snapshot_at"].astype("str")
    order = draw(key, params.project.seed, "explain").sort_values(kind="stable").index
    return rows.loc[order[: params.explain.sample_rows]].reset_index(drop=True)
