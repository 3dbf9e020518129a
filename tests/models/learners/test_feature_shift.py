"""Feature shift within training is measured correctly, and features left out have no effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ks_2samp

from models.learners.ensemble import Ensemble
from models.learners.feature_shift import candidates, drift, drifts, without
from models.learners.gradient_boosting import TrainingSample
from tests.support.small_model import NAMES, SETTINGS, everything, history, scorer


def test_drift_of_a_number_is_the_kolmogorov_smirnov_distance() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.5, 3.0):
        earlier, later = rng.normal(size=300), rng.normal(shift, size=200).round(1)
        assert drift(earlier, later, is_categorical=False) == pytest.approx(ks_2samp(earlier, later).statistic)


def test_drift_of_a_category_is_the_share_that_would_have_to_move() -> None:
    earlier, later = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0, 2.0])
    assert drift(earlier, later, is_categorical=True) == pytest.approx(0.5)
    assert drift(earlier, earlier, is_categorical=True) == 0.0


@pytest.mark.parametrize("is_categorical", [True, False])
def test_a_field_that_begins_to_fill_has_drifted(is_categorical: bool) -> None:
    earlier, later = np.full(50, np.nan), np.full(50, 3.0)
    assert drift(earlier, later, is_categorical) == 1.0


def test_candidates_grow_are_never_repeated_and_never_all() -> None:
    drifts = np.array([0.9, 0.5, 0.1])
    assert candidates(drifts, [0.05, 1.0, 0.3, 0.95, 0.6]) == [frozenset(), frozenset({0}), frozenset({0, 1})]


def test_without_hides_only_the_features_left_out() -> None:
    sample = TrainingSample(np.arange(6, dtype="float32").reshape(2, 3), np.array([0.0, 1.0]))
    hidden = without(sample, frozenset({1})).features
    assert np.isnan(hidden[:, 1]).all()
    np.testing.assert_array_equal(hidden[:, [0, 2]], sample.features[:, [0, 2]])
    assert np.isfinite(sample.features).all()  # the sample itself is as it was


def test_without_keeps_labels_and_weights() -> None:
    sample = TrainingSample(np.zeros((2, 2), dtype="float32"), np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    hidden = without(sample, frozenset({0}))
    assert (hidden.label is sample.label, hidden.weight is sample.weight) == (True, True)
    assert without(sample, frozenset()).features.tolist() == sample.features.tolist()


def test_drifts_take_each_feature_for_what_it_is() -> None:
    earlier = np.array([[0.0, 0.0, 5.0], [0.0, 2.0, 5.0]])
    later = np.array([[1.0, 1.0, np.nan], [1.0, 1.0, np.nan]])
    result = drifts(TrainingSample(earlier, np.zeros(2)), TrainingSample(later, np.zeros(2)), [1])
    assert result == pytest.approx([1.0, 1.0, 1.0])
    as_number = drifts(TrainingSample(earlier, np.zeros(2)), TrainingSample(later, np.zeros(2)), [])
    assert as_number == pytest.approx([1.0, 0.5, 1.0])


@pytest.mark.parametrize("is_categorical", [True, False])
def test_drift_does_not_depend_on_the_order_of_rows_or_on_copies_of_all_of_them(is_categorical: bool) -> None:
    rng = np.random.default_rng(4)
    earlier, later = rng.integers(0, 4, 60).astype("float64"), rng.integers(1, 5, 40).astype("float64")
    plain = drift(earlier, later, is_categorical)
    assert 0 < plain < 1
    assert drift(np.sort(earlier), np.tile(later, 3), is_categorical) == pytest.approx(plain)
    assert drift(later, earlier, is_categorical) == pytest.approx(plain)


def test_what_is_left_out_has_no_contribution() -> None:
    left_out = frozenset({NAMES.index("sector"), NAMES.index("size")})
    settings = replace(SETTINGS, left_out=left_out)
    models = Ensemble.train(history(), settings, seed=3, threads=2)
    hidden = without(everything(), left_out).features
    usual = scorer().models
    for without_them, with_them in (
        (models.boosters.contributions(hidden), usual.boosters.contributions(everything().features)),
        (models.linear.contributions(hidden), usual.linear.contributions(everything().features)),
    ):
        np.testing.assert_array_equal(without_them[:, sorted(left_out)], 0.0)
        assert np.abs(with_them[:, sorted(left_out)]).max() > 0.1
