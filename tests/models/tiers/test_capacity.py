"""What capacity buys: exact wins of independent leads, and the wins of held-out lists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models.tiers.capacity import expected_wins, observed_wins, scaled_capacity, wins_distribution, wins_interval
from tests.support.tables import MONDAY
from tests.support.tier_scenario import leads


@given(st.integers(0, 60), st.floats(0, 1))
def test_equal_chances_give_the_binomial(n: int, chance: float) -> None:
    found = wins_distribution(np.full(n, chance))
    np.testing.assert_allclose(found, binom.pmf(np.arange(n + 1), n, chance), atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_unequal_chances_give_what_counting_all_outcomes_gives(chances: list[float]) -> None:
    counted = np.zeros(len(chances) + 1)
    for outcome in np.ndindex(*[2] * len(chances)):
        counted[sum(outcome)] += np.prod(np.where(outcome, chances, 1 - np.array(chances)))
    np.testing.assert_allclose(wins_distribution(np.array(chances)), counted, atol=1e-12)


def test_the_interval_holds_the_wins_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    chances = rng.beta(1, 8, 300)
    low, high = wins_interval(chances, 0.9)
    wins = (rng.random((4_000, 300)) < chances).sum(axis=1)
    assert 0.9 <= ((wins >= low) & (wins <= high)).mean() < 0.96
    assert wins_interval(np.array([]), 0.9) == (0, 0)
    assert wins_interval(np.ones(5), 0.9) == (5, 5)


def test_a_tenth_is_whole_leads() -> None:
    assert [scaled_capacity(200, times) for times in (0.9, 1.0, 1.1)] == [180, 200, 220]
    assert [scaled_capacity(5, times) for times in (0.9, 1.0, 1.1)] == [5, 5, 6]  # 4.5 and 5.5


def test_capacity_is_spent_from_the_top_and_never_on_the_excluded() -> None:
    rows = leads([0.1, 0.8, 0.5, 0.3, 0.9])
    place = pd.Series([4.0, 0.0, 1.0, 2.0, np.inf])
    less, as_it_is, more = expected_wins(rows, place, 3, 0.9)
    assert (less.leads, as_it_is.leads, more.leads) == (3, 3, 3)
    assert as_it_is.wins == pytest.approx(1.6)
    assert as_it_is.cut_off == rows["score"][3]
    assert expected_wins(rows, place, 10, 0.9)[1].leads == 4
    assert expected_wins(rows.head(0), place.head(0), 10, 0.9)[1].cut_off is None
    by_money = expected_wins(rows.assign(rank_value=1.0), place, 3, 0.9)[1]
    assert by_money.cut_off is None and by_money.down_to == ""
    assert as_it_is.down_to == f", from score {rows['score'][3]} up"


def test_realised_wins_are_counted_by_list_and_vary_by_lead() -> None:
    n_lists, n = 6, 40
    rows = pd.DataFrame(
        {
            "lead_id": [f"lead {number}" for _ in range(n_lists) for number in range(n)],
            "snapshot_at": np.repeat([MONDAY + pd.Timedelta(weeks=week) for week in range(n_lists)], n),
            "label": np.tile(np.arange(n) % 4 == 0, n_lists).astype("float64"),
        }
    )
    place = pd.Series(np.tile(np.arange(n, dtype="float64"), n_lists))
    less, as_it_is, more = observed_wins(rows, place, 20, 0.9)
    assert [one.wins for one in (less, as_it_is, more)] == [5, 5, 6]  # leads 0, 4, 8, 12, 16, and 20
    assert (as_it_is.lists, as_it_is.leads, as_it_is.rate) == (n_lists, 20, 0.25)
    assert as_it_is.wins_low < 3.5 < 5 < 6.5 < as_it_is.wins_high  # six rows of a lead are one draw, not six
    assert as_it_is.rate_low < 0.25 < as_it_is.rate_high


@pytest.mark.parametrize("won", [173, 180, 0])
def test_wins_never_lie_above_the_calls(won: int) -> None:
    """173 of 180 calls won were said to be 154 to 194, because the leads called were drawn anew, and their number."""
    rows = pd.DataFrame({"lead_id": [f"lead {n}" for n in range(180)], "snapshot_at": pd.NaT})
    rows = rows.assign(label=(np.arange(180) < won).astype("float64"))
    less, as_it_is, _ = observed_wins(rows, pd.Series(np.arange(180.0)), 180, 0.9)
    assert 0 <= as_it_is.wins_low <= won == as_it_is.wins <= as_it_is.wins_high <= as_it_is.leads == 180
    assert as_it_is.wins_high - as_it_is.wins_low < 15
    assert less.leads == 162
    assert observed_wins(rows.head(0), pd.Series(dtype="float64"), 180, 0.9)[0].wins == 0
