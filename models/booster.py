"""Seeded gradient-boosted trees whose log-odds are averaged.

Each booster runs on one core and the boosters side by side: LightGBM's own threads wait by spinning, which on a busy
machine made two of them nine times slower than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Self, TypeVar

import lightgbm as lgb
import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class TrainParams(BaseModel):
    """How the boosters and the logistic regression are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boosters: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    max_rounds: int = Field(ge=1)
    early_stopping_rounds: int = Field(ge=1)
    num_leaves: int = Field(ge=2)
    max_depth: int = Field(ge=1)
    min_child_samples: int = Field(ge=1)
    feature_fraction: float = Field(gt=0, le=1)
    bagging_fraction: float = Field(gt=0, le=1)
    lambda_l2: float = Field(ge=0)
    cat_smooth: float = Field(ge=0)
    max_bin: int = Field(ge=2)
    logistic_c: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    drift_limits: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)
    linear_shares: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1)


@dataclass(frozen=True)
class Sample:
    """Rows to learn from: features (n, k) with NaN for missing, and labels (n,) of 0 and 1."""

    features: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Boosters:
    """A mean of LightGBM models on the log-odds scale.

    Attributes
    ----------
    models
        Trained on the same rows with different seeds.
    threads
        How many models run side by side; the result does not depend on it.
    """

    models: tuple[lgb.Booster, ...]
    threads: int

    @property
    def rounds(self) -> int:
        return max(model.num_trees() for model in self.models)

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Return the mean log-odds, shape (n,)."""
        return self._mean(lambda model: _predict(model, features))

    def contributions(self, features: np.ndarray) -> np.ndarray:
        """Return path-dependent TreeSHAP values, shape (n, k + 1); the last column is the base. Rows sum to `log_odds`.

        Source: Lundberg et al. 2020, Nature Machine Intelligence 2, 56-67.
        """
        return self._mean(lambda model: _predict(model, features, contributions=True))

    def _mean(self, predict: Callable[[lgb.Booster], np.ndarray]) -> np.ndarray:
        """Add model after model: numpy's mean adds a single row in another order than many, with other last bits."""
        total: np.ndarray = reduce(np.add, _side_by_side(predict, self.models, self.threads))
        return total / len(self.models)

    def to_text(self) -> list[str]:
        return [model.model_to_string(num_iteration=-1) for model in self.models]

    @classmethod
    def from_text(cls, texts: Sequence[str], threads: int) -> Self:
        """Rebuild from `to_text`. The texts must be whole: LightGBM does not survive every damage."""
        return cls(tuple(lgb.Booster(model_str=text) for text in texts), threads)


def tune_rounds(
    fit: Sample, valid: Sample, categorical: list[int], params: TrainParams, seed: int, threads: int
) -> tuple[Boosters, int]:
    """Train each seed on `fit` until `valid` no longer improves.

    Returns
    -------
    Boosters, int
        The stopped models, and the median of their numbers of rounds.
    """

    def tune(number: int) -> lgb.Booster:
        train_set = _dataset(fit, categorical, params)
        model = lgb.train(
            _settings(params, seed + number),
            train_set,
            num_boost_round=params.max_rounds,
            valid_sets=[lgb.Dataset(valid.features, valid.label, reference=train_set)],
            callbacks=[lgb.early_stopping(params.early_stopping_rounds, verbose=False)],
        )
        return lgb.Booster(model_str=model.model_to_string(num_iteration=model.best_iteration))

    models = _side_by_side(tune, range(params.boosters), threads)
    return Boosters(tuple(models), threads), int(np.median([model.num_trees() for model in models]))


def train_boosters(
    sample: Sample, rounds: int, categorical: list[int], params: TrainParams, seed: int, threads: int
) -> Boosters:
    """Train each seed on all rows for a fixed number of rounds."""

    def train(number: int) -> lgb.Booster:
        train_set = _dataset(sample, categorical, params)
        return lgb.train(_settings(params, seed + number), train_set, num_boost_round=max(rounds, 1))

    return Boosters(tuple(_side_by_side(train, range(params.boosters), threads)), threads)


Item = TypeVar("Item")
Result = TypeVar("Result")


def _side_by_side(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _predict(model: lgb.Booster, features: np.ndarray, contributions: bool = False) -> np.ndarray:
    if contributions and not len(features):  # LightGBM divides by the number of rows
        return np.empty((0, features.shape[1] + 1))
    return np.asarray(model.predict(features, raw_score=True, pred_contrib=contributions, num_threads=1))


def _dataset(sample: Sample, categorical: list[int], params: TrainParams) -> lgb.Dataset:
    return lgb.Dataset(
        sample.features,
        sample.label,
        categorical_feature=categorical,
        params={"max_bin": params.max_bin, "num_threads": 1, "verbose": -1},
    )


def _settings(params: TrainParams, seed: int) -> dict[str, object]:
    return {
        "objective": "binary",
        "learning_rate": params.learning_rate,
        "num_leaves": params.num_leaves,
        "max_depth": params.max_depth,
        "min_child_samples": params.min_child_samples,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": params.lambda_l2,
        "cat_smooth": params.cat_smooth,
        "max_bin": params.max_bin,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
