"""The exact contributions of a scorer as shap has them, for shap's own plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.matrix.catalogue import Entry
from models.scoring.scorer import Scorer

if TYPE_CHECKING:
    import shap


def shap_explanation(scorer: Scorer, matrix: pd.DataFrame) -> shap.Explanation:
    """Return the points of each feature as a `shap.Explanation`: base values and row sums make the points of a lead.

    Parameters
    ----------
    matrix
        The features of the leads to explain, one row each.

    Returns
    -------
    shap.Explanation
        values and data of shape (n, k), base_values of shape (n,), feature_names in plain words; display_data has the
        names of categories. A feature that the model leaves out has no points.
    """
    import shap  # takes seconds, and only this needs it

    base, points = scorer.contributions(matrix)
    data = scorer.values(matrix).astype("float64")
    return shap.Explanation(
        values=points,
        base_values=np.full(len(points), base),
        data=data,
        display_data=np.column_stack(
            [_shown(column, entry) for column, entry in zip(data.T, scorer.catalogue, strict=True)]
        ),
        feature_names=[entry.label for entry in scorer.catalogue],
        output_names="points",
    )


def _shown(column: np.ndarray, entry: Entry) -> np.ndarray:
    """Return values as people read them."""
    shown = np.empty(len(column), dtype="object")
    shown[:] = [_word(value, entry) for value in column]
    return shown


def _word(value: float, entry: Entry) -> object:
    if np.isnan(value):
        return "not known"
    if entry.levels is None:
        return round(value, 3)
    return entry.levels[int(value)] if 0 <= value < len(entry.levels) else "other"
