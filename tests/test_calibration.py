"""The sigmoid keeps the ranking, finds a known slope, and stays finite where there is nothing or everything to find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from models.calibration import LEAST_SLOPE, Sigmoid, blend, fit_sigmoid

raw_scores = st.lists(st.floats(-20, 20), min_size=2, max_size=30).map(np.array)


def drawn(intercept: float, slope: float, n: int = 20_000, center: float = -2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    raw = rng.normal(center, 1.2, n)
    return raw, (rng.random(n) < expit(intercept + slope * raw)).astype("float64")


@given(raw_scores, st.randoms(use_true_random=False))
def test_the_ranking_never_changes(raw: np.ndarray, chance: object) -> None:
    label = (np.arange(len(raw)) % 2).astype("float64")
    np.random.default_rng(len(raw)).shuffle(label)
    calibrated = fit_sigmoid(raw, label).log_odds(raw)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(calibrated[order]) >= 0).all()
    apart = np.diff(raw[order]) > 1e-6
    assert (np.diff(calibrated[order])[apart] > 0).all()


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.7, 0.5), (-1.0, 1.8)])
def test_it_finds_a_known_slope_and_intercept(intercept: float, slope: float) -> None:
    raw, label = drawn(intercept, slope)
    found = fit_sigmoid(raw, label)
    assert found.intercept == pytest.approx(intercept, abs=0.15)
    assert found.slope == pytest.approx(slope, abs=0.06)
    plain = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(raw[:, None], label)
    assert found.slope == pytest.approx(plain.coef_[0, 0], abs=0.01)  # smoothed targets are worth two rows of thousands
    assert found.intercept == pytest.approx(plain.intercept_[0], abs=0.02)


def test_what_it_promises_is_what_came_on_average() -> None:
    for center in (-4.0, 0.0, 3.0):
        raw, label = drawn(0.4, 0.7, n=3000, center=center)
        assert expit(fit_sigmoid(raw, label).log_odds(raw)).mean() == pytest.approx(label.mean(), abs=0.001)


def test_a_model_that_is_wrong_way_round_is_flattened_and_keeps_the_base_rate() -> None:
    raw, label = drawn(0.0, -1.0)
    found = fit_sigmoid(raw, label)
    assert found.slope == LEAST_SLOPE
    assert expit(found.log_odds(raw)).mean() == pytest.approx(label.mean(), abs=0.001)


@pytest.mark.parametrize("scale", [0.001, 1.0, 50.0])
def test_scores_that_part_the_outcomes_get_the_odds_of_platt(scale: float) -> None:
    raw, label = np.array([-scale] * 30 + [scale] * 50), np.array([0.0] * 30 + [1.0] * 50)
    log_odds = fit_sigmoid(raw, label).log_odds(np.array([-scale, scale]))
    assert log_odds == pytest.approx([-math.log(31), math.log(51)], rel=1e-4)


def test_scores_without_any_spread_leave_the_base_rate() -> None:
    label = np.array([1.0] * 20 + [0.0] * 80)
    assert expit(fit_sigmoid(np.full(100, -1.5), label).log_odds(np.array([-1.5])))[0] == pytest.approx(0.2, abs=0.01)


def test_a_slope_that_turns_the_ranking_is_refused() -> None:
    for slope in (0.0, -1.0):
        with pytest.raises(ValueError, match="slope"):
            Sigmoid(intercept=0.0, slope=slope)


def test_the_loss_is_the_log_loss() -> None:
    raw, label = drawn(0.0, 1.0, n=200)
    sigmoid = Sigmoid(intercept=0.3, slope=0.8)
    assert sigmoid.loss(raw, label) == pytest.approx(log_loss(label, expit(0.3 + 0.8 * raw)))


def test_a_blend_is_a_weighted_mean_of_anything_alike() -> None:
    boosters, linear = np.array([[1.0, 2.0]]), np.array([[3.0, 10.0]])
    assert blend(boosters, linear, 0.25).tolist() == [[1.5, 4.0]]
    assert blend(boosters, linear, 0.0).tolist() == boosters.tolist()
    assert blend(boosters, linear, 1.0).tolist() == linear.tolist()
