"""How far a list's scores have moved."""

from __future__ import annotations

import numpy as np
import pytest

from models.monitoring.drift import population_stability

RNG = np.random.default_rng(3)
SCORES = RNG.integers(0, 101, 1000)


def test_the_same_scores_in_any_order_have_not_moved() -> None:
    assert population_stability(SCORES, RNG.permutation(SCORES)) == 0


def test_by_hand() -> None:
    before, now = np.repeat([5, 95], 50), np.repeat([5, 95], [20, 80])
    old = np.array([50.5, *[0.5] * 8, 50.5]) / 105
    new = np.array([20.5, *[0.5] * 8, 80.5]) / 105
    assert population_stability(before, now) == pytest.approx(float(((new - old) * np.log(new / old)).sum()), abs=1e-6)


def test_the_further_the_more_and_either_way_alike() -> None:
    shifts = [population_stability(SCORES, np.clip(SCORES + by, 0, 100)) for by in (0, 5, 15, 40)]
    assert shifts == sorted(shifts) and shifts[1] > 0
    moved = np.clip(SCORES + 15, 0, 100)[:500]
    assert population_stability(SCORES, moved) == pytest.approx(population_stability(moved, SCORES))


def test_an_empty_band_and_the_ends_of_the_scale_are_finite() -> None:
    assert np.isfinite(population_stability(np.array([0]), np.array([100, 99, 90])))
