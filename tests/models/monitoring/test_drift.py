"""Shifts are as large as they are, and chance is called chance as often as it should be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp

from models.monitoring.drift import DriftSample, feature_drift, holm, independent_leads, population_shift, shift
from tests.support.small_model import ENTRIES, matrix

RNG = np.random.default_rng(8)


def moved(by: float, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    return RNG.normal(0, 1, n), RNG.normal(by, 1, n)


def test_the_index_by_hand() -> None:
    before, now = np.array([99.5, 299.5]), np.array([199.5, 199.5])  # half a row more: 1/4, 3/4 and 1/2, 1/2
    assert population_shift(before, now) == pytest.approx(0.25 * np.log(2) + -0.25 * np.log(2 / 3))
    assert population_shift(before, before) == 0
    assert population_shift(now, before) == pytest.approx(population_shift(before, now))


@given(st.lists(st.floats(-5, 5), min_size=30, max_size=60), st.floats(0.1, 3))
def test_neither_order_nor_unit_matters(values: list[float], unit: float) -> None:
    before, now = np.array(values[:20]).round(3), np.array(values[20:]).round(3)
    found = shift(before, now, 20, len(now), None)
    again = shift(before[::-1], np.sort(now), 20, len(now), None)
    scaled = shift(before * 2.0**10, now * 2.0**10, 20, len(now), None)
    assert found == again
    assert scaled["ks"] == found["ks"]
    assert 0 <= found["p_value"] <= 1
    assert found["psi"] >= 0


def test_a_larger_shift_is_larger_and_surer() -> None:
    found = [shift(*moved(by), 3000, 3000, None) for by in (0.0, 0.2, 0.5, 1.0)]
    for name in ("psi", "ks"):
        assert [one[name] for one in found] == sorted(one[name] for one in found)
    assert found[0]["p_value"] > 0.01
    assert found[1]["p_value"] < 1e-6


def test_one_row_a_lead_is_the_textbook_test() -> None:
    before, now = RNG.integers(0, 3, 500).astype(float), RNG.choice(3, 400, p=[0.4, 0.3, 0.3]).astype(float)
    found = shift(before, now, 500, 400, codes=3)
    table = [np.bincount(side.astype(int), minlength=3) for side in (before, now)]
    assert found["p_value"] == pytest.approx(chi2_contingency(table).pvalue)
    assert found["ks"] is None
    numbers = moved(0.1, 400)
    assert shift(*numbers, 400, 400, None)["ks"] == pytest.approx(ks_2samp(*numbers).statistic)


def test_copies_of_a_lead_make_nothing_surer() -> None:
    rows = pd.DataFrame({"lead_id": [f"l{n}" for n in range(300)], "x": RNG.normal(0, 1, 300)})
    other = pd.DataFrame({"lead_id": [f"m{n}" for n in range(300)], "x": RNG.normal(0.2, 1, 300)})
    four = pd.concat([rows] * 4)
    assert independent_leads(four["lead_id"]) == pytest.approx(300)
    once = shift(rows["x"].to_numpy(), other["x"].to_numpy(), independent_leads(rows["lead_id"]), 300, None)
    copied = shift(four["x"].to_numpy(), other["x"].to_numpy(), independent_leads(four["lead_id"]), 300, None)
    assert copied["p_value"] == pytest.approx(once["p_value"], rel=0.3)


def test_what_goes_missing_is_a_shift() -> None:
    before, now = moved(0.0)
    holes = np.where(RNG.random(len(now)) < 0.5, np.nan, now)
    found = shift(before, holes, 3000, 3000, None)
    assert found["psi"] > 1
    assert found["p_value"] < 1e-9
    not_applicable = shift(before, np.full(50, np.nan), 3000, 50, None)
    assert not_applicable["ks"] is None
    assert not_applicable["p_value"] < 1e-9


def test_two_bins_that_are_too_thin_are_tested_exactly() -> None:
    """One of ten against none of 1,200: the chi-square calls it a matter of one in ten million."""
    before, now = np.zeros(1200), np.array([1.0] + [0.0] * 9)
    assert shift(before, now, 1200, 10, codes=2)["p_value"] == pytest.approx(10 / 1210)


def test_rare_levels_are_held_together() -> None:
    before = np.repeat([0.0, 1.0, 2.0, 3.0], [940, 20, 20, 20])
    now = np.repeat([0.0, 1.0, 2.0, 3.0], [92, 6, 1, 1])
    assert shift(before, now, 1000, 100, codes=4)["p_value"] > 0.3  # 6 where 2 are expected, of bins too thin alone


@pytest.mark.parametrize("copies", [1, 5])
def test_chance_is_called_a_shift_no_more_often_than_it_says(copies: int) -> None:
    """With one row a lead, and with five of one lead that move a little."""
    rng, sure = np.random.default_rng(4), 0
    for _ in range(400):
        sides = [np.repeat(rng.normal(0, 1, n), copies) + 0.3 * rng.normal(0, 1, n * copies) for n in (300, 150)]
        sure += shift(*sides, 300, 150, None)["p_value"] < 0.05
    assert sure / 400 < 0.08


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])).tolist() == pytest.approx([1.0, 1.0])


def test_the_feature_that_moved_comes_first_and_the_others_stay() -> None:
    rows = matrix(2000, 5)
    half = rows["lead_id"].index < 1000
    mean = float(rows["size"].mean())
    now = rows[~half].assign(size=rows.loc[~half, "size"] + mean)
    found = feature_drift(DriftSample.of(rows[half]), DriftSample.of(now), ENTRIES)
    assert found[0]["name"] == "size"
    assert found[0]["adjusted_p_value"] < 1e-6
    assert [row["name"] for row in found if row["adjusted_p_value"] < 0.01] == ["size"]
    assert len(found) == len(ENTRIES)
