"""A small matrix with every kind of feature, and learners that train on it in a moment."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import expit

from features.matrix.catalogue import Catalogue, Entry
from models.learners.calibration import Sigmoid
from models.learners.ensemble import Ensemble, EnsembleSettings, TrainingHistory
from models.learners.gradient_boosting import TrainingSample, TrainParams
from models.points.grades import GradeCuts
from models.scorecard.scorecard import Scorecard
from models.scoring.scorer import FORMAT, ModelMetadata, Scorer
from models.splitting.forward_folds import Order
from models.splitting.holdout import SplitParams, split_by_time
from models.training.training import history_of
from tests.support.tables import DAY, MONDAY, PARAMS, SCALE, SPEC

ENTRIES: Catalogue = SPEC.catalogue
NAMES = [entry.name for entry in ENTRIES]
LEVELS = {index: len(entry.levels) for index, entry in enumerate(ENTRIES) if entry.levels is not None}
TRAIN = PARAMS.train.boosting.model_copy(
    update={
        "boosters": 2,
        "learning_rate": 0.3,
        "max_rounds": 12,
        "num_leaves": 6,
        "max_depth": 3,
        "min_child_samples": 5,
        "lambda_l2": 1.0,
        "feature_fraction": 1.0,
        "bagging_fraction": 1.0,
    }
)
SELECTION = PARAMS.selection.model_copy(
    update={
        "folds": PARAMS.selection.folds.model_copy(update={"count": 2, "first_share": 0.5, "period_rows": 20}),
        "drift_limits": [1.0],
        "recency_half_lives": [0.0],
        "logistic_c": [0.01, 0.1],
        "linear_shares": [0.0, 0.5, 1.0],
        "level_half_lives": [0.0, 0.25],
    }
)
CARD = PARAMS.scorecard.model_copy(update={"max_lines": 5, "min_rows": 20, "l2": [1.0, 50.0]})
SETTINGS = EnsembleSettings(
    left_out=frozenset(),
    half_life=0.0,
    target_encoding=False,
    monotone=True,
    train=TRAIN,
    rounds=8,
    c=0.1,
    linear_share=0.5,
    slope=0.9,
    recalibration_half_life=0.0,
)
WEEKS, HORIZON = 30, 14  # of the matrix, and days until a label is known


def no_search(loss: object, start: TrainParams) -> TrainParams:
    """Find nothing better."""
    return start


@cache
def matrix(n: int = 600, seed: int = 1) -> pd.DataFrame:
    """Labelled weekly snapshots of n leads, one each, in the order of time; a copy may be changed, it may not.

    Each feature is drawn by itself, so that one more moves no other.
    """
    columns = {entry.name: _column(entry, n, np.random.default_rng([seed, *entry.name.encode()])) for entry in ENTRIES}
    features = pd.DataFrame(columns).astype("float32")
    rng = np.random.default_rng(seed)
    known = features.fillna(0.0)
    log_odds = 3.0 * (known["sector"] == 1) + 1.5 * known["count__visit__7d"] - 0.2 * known["recency__call"] - 1.0
    at = MONDAY + pd.Series(np.arange(n) * WEEKS // n * 7) * DAY
    beside = pd.DataFrame(
        {
            "lead_id": [f"lead {number:05d}" for number in rng.permutation(n)],
            "snapshot_at": at,
            "known_at": at + HORIZON * DAY,
            "position": np.arange(n),
            "label": (rng.random(n) < expit(log_odds)).astype("float64"),
            "weight": 1.0,
        }
    )
    beside["part"] = split_by_time(beside, SplitParams(test_share=0.2))
    return pd.concat([beside, features], axis=1)


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


def history(rows: pd.DataFrame | None = None, order: Order = "dates") -> TrainingHistory:
    """All rows as learners see them."""
    return history_of(matrix() if rows is None else rows, ENTRIES, order, seed=1)


@cache
def everything() -> TrainingSample:
    """All rows of `matrix()`."""
    return history().sample


@cache
def scorer(boosters: int = 2, linear_share: float = 0.5, target_encoding: bool = False) -> Scorer:
    """A scorer trained on all of `matrix()`."""
    train = TRAIN.model_copy(update={"boosters": boosters})
    settings = replace(SETTINGS, train=train, target_encoding=target_encoding)
    models = Ensemble.train(history(), settings, seed=3, threads=2)
    return Scorer(metadata(linear_share=linear_share), models, scorecard())


@cache
def scorecard() -> Scorecard:
    return Scorecard.train(everything(), ENTRIES, CARD, 1.0)


def metadata(**values: object) -> ModelMetadata:
    """The words and numbers of a scorer, as params.yaml has them."""
    rest = {
        "format": FORMAT,
        "matrix": SPEC,
        "snapshots": PARAMS.snapshots,
        "left_out": [],
        "linear_share": 0.5,
        "sigmoid": Sigmoid(intercept=-0.2, slope=0.9),
        "recalibration_half_life": None,
        "uncorrected": Sigmoid(intercept=-0.6, slope=0.9),
        "rules": None,
        "points": SCALE,
        "grades": GradeCuts(fit=(6.0, 0.0, -6.0), engagement=(6.0, 0.0, -6.0)),
        "base_rate": 0.3,
        "trained_until": "2024-03-04",
        "fingerprint": "abc",
    }
    return ModelMetadata.model_validate(rest | values)
