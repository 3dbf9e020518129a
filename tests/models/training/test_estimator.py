"""`LeadScorer` is a classifier of scikit-learn, and the model of a run."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import expit
from sklearn.utils.estimator_checks import check_estimator

from models.learners.ensemble import Ensemble
from models.training.estimator import LeadScorer
from models.training.training import calibrate
from tests.support.small_model import LEVELS, NAMES, SETTINGS, history, matrix


def test_it_keeps_what_scikit_learn_asks_of_a_classifier() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(LeadScorer(), on_fail=None)
    assert len(results) > 50
    assert [one["check_name"] for one in results if one["status"] == "failed"] == []  # LGBMClassifier fails two


def test_it_is_the_ensemble_of_a_run_with_the_same_settings() -> None:
    rows = history()
    models = Ensemble.train(rows, SETTINGS, seed=3, threads=1)
    sigmoid = calibrate(models.log_odds_of(rows, SETTINGS), rows, SETTINGS, 0.0)
    expected = expit(models.log_odds(rows.sample.features, SETTINGS) + sigmoid.intercept)
    estimator = LeadScorer(SETTINGS, LEVELS, rows.directions, random_state=3)
    X, y = rows.sample.features, rows.sample.label  # noqa: N806
    np.testing.assert_allclose(estimator.fit(X, y).predict_proba(X)[:, 1], expected, atol=1e-12)


def test_it_takes_the_columns_of_a_frame_and_refuses_others() -> None:
    frame = matrix()[NAMES]
    estimator = LeadScorer().fit(frame, matrix()["label"])
    assert list(estimator.feature_names_in_) == NAMES
    assert estimator.classes_.tolist() == [0.0, 1.0]
