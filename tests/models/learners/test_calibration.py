"""The sigmoid keeps the ranking, its slope is fitted within periods, and its intercept follows recent outcomes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import log_loss

from models.learners.calibration import (
    LEAST_SLOPE,
    HeldOut,
    MaturedRows,
    Sigmoid,
    blend,
    fit_intercept,
    fit_slope,
    fresh_intercepts,
    losses,
    losses_within,
    recency,
)

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def periods(draw: st.DrawFn) -> Rows:
    """Log-odds, label and period of a few rows; periods with one outcome alone are common."""
    n = draw(st.integers(2, 30))
    rows = st.tuples(st.floats(-8, 8), st.booleans(), st.integers(0, 3))
    log_odds, label, period = zip(*draw(st.lists(rows, min_size=n, max_size=n)), strict=True)
    return np.array(log_odds), np.array(label, dtype="float64"), np.array(period)


def simulated(intercept: float, slope: float, n: int = 20_000, center: float = -2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    raw = rng.normal(center, 1.2, n)
    return raw, (rng.random(n) < expit(intercept + slope * raw)).astype("float64")


def test_the_losses_are_the_log_losses() -> None:
    raw, label = simulated(0.0, 1.0, n=200)
    each = losses(raw, label)
    assert each.mean() == pytest.approx(log_loss(label, expit(raw)))
    assert each[:3] == pytest.approx(-np.log(np.where(label == 1, expit(raw), expit(-raw)))[:3])
    assert losses(np.array([800.0, -800.0]), np.array([1.0, 1.0])).tolist() == [0.0, 800.0]


@settings(max_examples=100)
@given(periods())
def test_losses_within_equal_those_of_each_period_fitted_separately(rows: Rows) -> None:
    log_odds, label, period = rows
    result = losses_within(*rows)
    for code in np.unique(period):
        inside = period == code
        r, y = log_odds[inside], label[inside]
        if y.min() == y.max():
            assert (result[inside] == 0).all()
            continue
        best = minimize_scalar(lambda shift, r=r, y=y: losses(r + shift, y).sum(), bounds=(-30, 30), method="bounded")
        assert result[inside].sum() == pytest.approx(best.fun, abs=1e-4)
        assert result[inside].sum() <= best.fun + 1e-6


@settings(max_examples=100)
@given(periods(), st.integers(0, 3), st.floats(-20, 20))
def test_the_intercept_of_a_period_changes_no_loss_within(rows: Rows, moved: int, by: float) -> None:
    log_odds, label, period = rows
    shifted = log_odds + by * (period == moved)
    assert losses_within(shifted, label, period) == pytest.approx(losses_within(*rows), abs=1e-6)


def test_a_better_order_within_periods_loses_less_and_one_across_them_changes_nothing() -> None:
    label = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    period = np.array([0, 0, 0, 1, 1, 1])
    right, level = label * 2 - 1, period * 5.0
    assert losses_within(right, label, period).sum() < losses_within(0 * right, label, period).sum()
    assert losses_within(level, label, period) == pytest.approx(losses_within(0 * level, label, period))
    assert losses_within(-right, label, period).sum() > losses_within(0 * right, label, period).sum()


@pytest.mark.parametrize("spread", [30.0, 100.0])
def test_losses_within_stay_finite_and_right_where_scores_are_extreme(spread: float) -> None:
    log_odds = np.array([-spread, 0.0, spread, spread + 1])
    label = np.array([1.0, 0.0, 1.0, 0.0])
    result = losses_within(log_odds, label, np.zeros(4, dtype="int64"))
    grid = np.linspace(-150, 150, 6001)
    assert result.sum() <= min(losses(log_odds + shift, label).sum() for shift in grid) + 1e-6


def held_out(raw: np.ndarray, label: np.ndarray, period: np.ndarray) -> HeldOut:
    """Rows of as many leads."""
    return HeldOut(raw, label, np.ones(len(raw)), period, np.arange(len(raw)))


@pytest.mark.parametrize("slope", [0.4, 1.0, 2.5])
def test_the_slope_is_found_under_any_shift_of_the_periods(slope: float) -> None:
    rng = np.random.default_rng(2)
    n, n_periods = 30_000, 20
    period = rng.integers(0, n_periods, n)
    raw = rng.normal(0, 1, n)
    label = (rng.random(n) < expit(slope * raw + rng.normal(-1, 2, n_periods)[period])).astype("float64")
    result = fit_slope(held_out(raw, label, period))
    assert result == pytest.approx(slope, rel=0.07)
    moved = raw + rng.normal(0, 5, n_periods)[period]  # the model's own level of each period does not count either
    assert fit_slope(held_out(moved, label, period)) == pytest.approx(result, rel=0.01)


def test_a_model_without_skill_is_flattened_and_one_upside_down_not_turned() -> None:
    raw, label = simulated(0.0, -1.0)
    one = np.zeros(len(raw), dtype="int64")
    assert fit_slope(held_out(raw, label, one)) == pytest.approx(LEAST_SLOPE, abs=1e-3)
    noise = np.random.default_rng(1).normal(size=len(label))
    assert fit_slope(held_out(noise, label, one)) < 0.1


def test_a_slope_within_its_error_of_one_is_one_and_a_sure_one_stays() -> None:
    one = np.zeros(400, dtype="int64")
    rng = np.random.default_rng(5)
    raws = rng.normal(size=(20, 400))
    near, far = (
        [fit_slope(held_out(raw, (rng.random(400) < expit(slope * raw)).astype("float64"), one)) for raw in raws]
        for slope in (1.0, 3.0)
    )
    assert near.count(1.0) >= 10
    assert np.mean(far) == pytest.approx(3.0, abs=0.3)


def test_a_row_that_counts_twice_is_the_row_twice() -> None:
    raw, label = simulated(-1.0, 1.5, n=300)
    period, weight = np.arange(300) % 3, 1.0 + np.arange(300) % 2
    twice = np.repeat(np.arange(300), weight.astype(int))
    once, often = losses_within(raw, label, period, weight), losses_within(raw[twice], label[twice], period[twice])
    assert once[twice] == pytest.approx(often)


def later_rows(seed: int, drift: float, weeks: int = 60, n: int = 40) -> MaturedRows:
    """A model whose level moves with time: each row's outcome is known four weeks later."""
    rng = np.random.default_rng(seed)
    at = np.repeat(np.arange(weeks) * 7.0, n)
    raw = rng.normal(size=len(at))
    level = -2.5 + drift * at / at.max()
    return MaturedRows(raw, (rng.random(len(at)) < expit(raw + level)).astype("float64"), np.ones(len(at)), at, at + 28)


def test_a_fresh_intercept_follows_what_was_known_and_nothing_later() -> None:
    rows, moments = later_rows(1, drift=-1.5), np.array([0.0, 27.0, 200.0, 400.0])
    fresh = fresh_intercepts(rows, moments, 28.0)
    assert np.isnan(fresh[:2]).all()
    assert fresh[2] == pytest.approx(-2.5 - 1.5 * 172 / 413, abs=0.5)
    assert fresh[3] < fresh[2]
    turned = replace(rows, label=np.where(rows.known > 200, 1 - rows.label, rows.label))
    assert fresh_intercepts(turned, moments, 28.0)[2] == fresh[2]
    assert fresh_intercepts(turned, moments, 28.0)[3] != fresh[3]
    shifted = replace(rows, log_odds=rows.log_odds + 2)
    assert fresh_intercepts(shifted, moments, 28.0)[2:] == pytest.approx(fresh[2:] - 2, abs=1e-6)


@settings(max_examples=50)
@given(periods(), st.floats(-3, 3), st.floats(0.1, 5))
def test_what_is_promised_is_what_came_with_half_a_row_of_either_outcome(rows: Rows, by: float, scale: float) -> None:
    log_odds, label, period = rows
    weight = scale * (1.0 + period)
    shift = fit_intercept(log_odds, label, weight)
    predicted = (weight @ expit(log_odds + shift)) / weight.sum()
    assert predicted == pytest.approx((weight @ label + 0.5) / (weight.sum() + 1), abs=1e-6)
    assert fit_intercept(log_odds + by, label, weight) == pytest.approx(shift - by, abs=1e-6)  # no level of its own


def test_one_more_conversion_raises_the_intercept_and_the_heavier_row_raises_it_more() -> None:
    log_odds, weight = np.linspace(-3, 1, 9), np.linspace(0.1, 1, 9)
    label = np.zeros(9)
    result = []
    for index in (None, 0, 8):
        now = label.copy()
        now[[] if index is None else [index]] = 1
        result.append(fit_intercept(log_odds, now, weight))
    assert result == sorted(result)
    assert len(set(result)) == 3


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_the_intercept_is_finite_where_only_one_outcome_was_seen(outcome: float) -> None:
    for n in (1, 100):
        shift = fit_intercept(np.full(n, -1.5), np.full(n, outcome), np.ones(n))
        odds = (2 * n + 1) ** (2 * outcome - 1)
        assert -1.5 + shift == pytest.approx(math.log(odds))


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=20), st.sampled_from([0.025, 0.25, 1.0]))
def test_weights_halve_after_the_half_life(at: list[float], half_life: float) -> None:
    when = np.array([*at, 0.0, 1000.0])
    weight = recency(when, half_life)
    assert weight[-1] == 1.0
    assert (weight > 0).all()
    assert (np.diff(weight[np.argsort(when)]) >= 0).all()
    one_earlier = recency(np.append(when, 1000.0 - 1000 * half_life), half_life)
    assert one_earlier[-1] == pytest.approx(0.5)
    assert recency(7 + 3 * when, half_life) == pytest.approx(weight)  # whatever the unit and the epoch


def test_without_a_half_life_or_without_time_all_rows_weigh_alike() -> None:
    assert recency(np.arange(4.0), 0).tolist() == [1, 1, 1, 1]
    assert recency(np.full(3, 9.0), 0.5).tolist() == [1, 1, 1]
    assert recency(np.empty(0), 0.5).shape == (0,)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=30).map(np.array), st.floats(0.05, 5), st.floats(-9, 9))
def test_the_ranking_never_changes(raw: np.ndarray, slope: float, intercept: float) -> None:
    calibrated = Sigmoid(intercept=intercept, slope=slope).log_odds(raw)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(calibrated[order]) >= 0).all()
    assert (np.diff(calibrated[order])[np.diff(raw[order]) > 1e-6] > 0).all()


def test_a_slope_that_turns_the_ranking_is_refused() -> None:
    for slope in (0.0, -1.0):
        with pytest.raises(ValueError, match="slope"):
            Sigmoid(intercept=0.0, slope=slope)


def test_a_blend_is_a_weighted_mean_of_anything_alike() -> None:
    boosters, linear = np.array([[1.0, 2.0]]), np.array([[3.0, 10.0]])
    assert blend(boosters, linear, 0.25).tolist() == [[1.5, 4.0]]
    assert blend(boosters, linear, 0.0).tolist() == boosters.tolist()
    assert blend(boosters, linear, 1.0).tolist() == linear.tolist()
