"""The intercept of each list, from the outcomes that were known by its day.

How leads of one list compare holds longer than how many of them buy, so that the level follows the outcomes and the
ranking does not change.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.learners.calibration import MaturedRows, fresh_intercepts
from models.scoring.scorer import Scorer
from models.splitting.forward_folds import days

HALVINGS = 7  # older outcomes count less than a hundredth


def list_intercepts(scorer: Scorer, matured: pd.DataFrame, moments: pd.Series[pd.Timestamp]) -> np.ndarray:
    """Return the intercept of each moment's list, shape (m,): the model's own where no outcome was known.

    Parameters
    ----------
    matured
        snapshot_at, known_at, label and the scorer's features of rows whose outcome is known at some time; and weight:
        how many rows each stands for, without it one.
    """
    half_life, own = scorer.metadata.recalibration_half_life, scorer.metadata.sigmoid
    if half_life is None or matured.empty:
        return np.full(len(moments), own.intercept)
    weight = matured["weight"].to_numpy("float64") if "weight" in matured else np.ones(len(matured))
    history = MaturedRows(
        log_odds=own.slope * scorer.raw(matured),
        label=matured["label"].to_numpy("float64"),
        weight=weight,
        at=days(matured["snapshot_at"]),
        known=days(matured["known_at"]),
    )
    fresh = fresh_intercepts(history, days(moments), half_life)
    return np.where(np.isnan(fresh), own.intercept, fresh)


def fresh_log_odds(
    scorer: Scorer, rows: pd.DataFrame, matured: pd.DataFrame, lists: pd.Series[pd.Timestamp] | None = None
) -> np.ndarray:
    """Return the log-odds of rows (n,) with the intercepts of their `lists`; without, of lists at their moments."""
    at = rows["snapshot_at"] if lists is None else lists
    return scorer.log_odds(rows) - scorer.sigmoid.intercept + list_intercepts(scorer, matured, at)
