"""The learners of a run as a classifier of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import scipy
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from models.learners.ensemble import Ensemble, EnsembleSettings, TrainingHistory
from models.learners.gradient_boosting import TrainingSample, TrainParams
from models.training.training import calibrate

DEFAULT = EnsembleSettings(
    left_out=frozenset(),
    half_life=0.0,
    target_encoding=False,
    monotone=False,
    train=TrainParams(boosters=1),
    rounds=60,
    c=0.1,
    linear_share=0.5,
    slope=1.0,
    recalibration_half_life=0.0,
)


class LeadScorer(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Seeded boosters blended with logistic regression, calibrated, with settings that are chosen already.

    Rows come in the order of time, the oldest first. Missing values are NaN; a category is a code from 0 to the number
    of its levels less one.

    Parameters
    ----------
    settings
        What the forward folds of a run chose: `Run.estimator` has those. None: one booster of 60 trees, and as much
        logistic regression.
    levels
        Number of levels of each categorical feature, by its index; None: all are numbers.
    directions
        Of each feature 1 where more is better, -1 where it is worse, 0 where the data say; None: 0 for all.
    random_state, n_jobs
        Seed, and how many boosters train side by side; the result does not depend on that.
    """

    def __init__(
        self,
        settings: EnsembleSettings | None = None,
        levels: Mapping[int, int] | None = None,
        directions: tuple[int, ...] | None = None,
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.settings, self.levels, self.directions = settings, levels, directions
        self.random_state, self.n_jobs = random_state, n_jobs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train on all rows; raises ValueError where y has not two classes."""
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", ensure_min_samples=2)  # noqa: N806
        check_classification_targets(y)
        if (kind := type_of_target(y, input_name="y", raise_unknown=True)) != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        weight = _check_sample_weight(sample_weight, X, dtype="float64", ensure_non_negative=True)
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(np.unique(label[weight > 0])) < 2:
            raise ValueError(f"y has one class with a positive weight; two are needed to learn from (of {len(y)} rows)")
        settings = self.settings or DEFAULT
        kept = weight > 0
        history = self._history(X[kept].astype("float32"), label[kept].astype("float64"), weight[kept])
        self.models_ = Ensemble.train(history, settings, self.random_state, self.n_jobs)
        log_odds = self.models_.log_odds_of(history, settings)
        self.sigmoid_ = calibrate(log_odds, history, settings, settings.recalibration_half_life)
        return self

    def _history(self, features: np.ndarray, label: np.ndarray, weight: np.ndarray) -> TrainingHistory:
        n, k = features.shape
        at = np.arange(n, dtype="float64")
        return TrainingHistory(
            sample=TrainingSample(np.ascontiguousarray(features), label, weight),
            at=at,
            known=at,
            lead=np.arange(n),
            bucket=np.arange(n) % 5,
            levels=dict(self.levels or {}),
            directions=tuple(self.directions or (0,) * k),
            pairs=frozenset(),
            ordered=True,
        )

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the calibrated log-odds of the second class, shape (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan")  # noqa: N806
        settings = self.settings or DEFAULT
        log_odds = self.models_.log_odds(X.astype("float32"), settings)
        return np.asarray(log_odds + self.sigmoid_.intercept)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the probability of either class, shape (n, 2)."""
        probability = scipy.special.expit(self.decision_function(X))
        return np.column_stack([1 - probability, probability])

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the more probable class, shape (n,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[(self.decision_function(X) > 0).astype("int64")])
