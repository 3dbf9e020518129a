"""What each baseline says of the rows that the model is judged on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.scoring.scorer import Scorer


def baselines(rows: pd.DataFrame, scorer: Scorer) -> dict[str, np.ndarray]:
    """Return what each baseline says of the rows, by name; the hand-written rules only where there are any."""
    curve = scorer.metadata.rules
    rules = {} if curve is None else {"rules": curve.probability(rows["rule_points"].to_numpy("float64"))}
    return {
        "prior": np.full(len(rows), scorer.metadata.base_rate),
        "logistic": scorer.logistic(rows),
        "scorecard": scorer.by_scorecard(rows),
    } | rules
