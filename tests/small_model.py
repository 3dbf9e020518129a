"""A small matrix with every kind of feature, and learners that train on it in a moment."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from conftest import MONDAY, PARAMS, SPEC
from scipy.special import expit

from features.catalogue import Catalogue, Entry
from models.learning import sample_of, train_final
from models.scorer import FORMAT, Card, Scorer

ENTRIES: Catalogue = SPEC.catalogue
NAMES = [entry.name for entry in ENTRIES]
LEVELS = {place: len(entry.levels) for place, entry in enumerate(ENTRIES) if entry.levels is not None}
TRAIN = PARAMS.train.model_copy(
    update={
        "boosters": 2,
        "learning_rate": 0.3,
        "max_rounds": 12,
        "early_stopping_rounds": 3,
        "num_leaves": 6,
        "max_depth": 3,
        "min_child_samples": 5,
        "lambda_l2": 1.0,
        "logistic_c": [0.01, 0.1],
        "drift_limits": [1.0],
        "linear_shares": [0.0, 0.5, 1.0],
    }
)
PART_ROWS = {"fit": 0.5, "gap": 0.6, "valid": 0.75, "embargo": 0.8, "test": 1.0}  # of the rows, up to this share


@cache
def matrix(n: int = 600, seed: int = 1) -> pd.DataFrame:
    """Labelled snapshots of n leads, one each, in the order of their parts; a copy of it may be changed, it may not."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame({entry.name: _column(entry, n, rng) for entry in ENTRIES}).astype("float32")
    known = features.fillna(0.0)
    log_odds = 2.0 * (known["sector"] == 1) + 1.5 * known["count__visit__7d"] - 0.2 * known["recency__call"] - 1.0
    share = (np.arange(n) + 1) / n
    part = np.array(list(PART_ROWS))[np.searchsorted(list(PART_ROWS.values()), share)]
    beside = {
        "lead_id": [f"lead {number:05d}" for number in rng.permutation(n)],
        "snapshot_at": pd.Series(MONDAY, index=range(n)),
        "label": (rng.random(n) < expit(log_odds)).astype("float64"),
        "part": part,
    }
    return pd.concat([pd.DataFrame(beside), features], axis=1)


def _column(entry: Entry, n: int, rng: np.random.Generator) -> np.ndarray:
    if entry.levels is not None:
        values = rng.integers(0, len(entry.levels), n).astype("float64")
    elif entry.unit == "month":
        return rng.integers(1, 13, n)
    elif entry.unit == "hours":
        return rng.integers(0, 24, n)
    elif entry.measure in ("count", "active_days", "unanswered", "missing"):
        return rng.poisson(1.0, n)
    elif entry.measure == "trend":
        return rng.integers(-2, 3, n)
    else:
        values = np.round(rng.exponential(20.0, n), 2) * (rng.random(n) < 0.9)
    may_be_missing = entry.levels is not None or entry.empty == "missing" or entry.measure == "value"
    return np.where(rng.random(n) < 0.2 * may_be_missing, np.nan, values)


@cache
def scorer(boosters: int = 2, linear_share: float = 0.5) -> Scorer:
    """A scorer trained on all of `matrix()`."""
    params = TRAIN.model_copy(update={"boosters": boosters})
    trees, linear = train_final(sample_of(matrix(), ENTRIES), LEVELS, 8, 0.1, params, seed=3, threads=2)
    return Scorer(card(linear_share=linear_share), trees, linear)


def card(**values: object) -> Card:
    """The words and numbers of a scorer, as params.yaml has them."""
    rest = {
        "format": FORMAT,
        "matrix": SPEC,
        "snapshots": PARAMS.snapshots,
        "left_out": [],
        "linear_share": 0.5,
        "sigmoid": {"intercept": -0.2, "slope": 0.9},
        "points": PARAMS.points,
        "tiers": PARAMS.tiers,
        "capacity": 20,
        "base_rate": 0.3,
        "trained_until": "2024-03-04",
        "fingerprint": "abc",
    }
    return Card.model_validate(rest | values)
