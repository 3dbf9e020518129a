"""Times to conversion equal hand-computed curves and closed forms, and what is not over yet never counts as an end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kpis.velocity import cycle_days, cycles_by, sales_cycle, survival, time_to_conversion
from tests.support.tables import DAY, MONDAY, PARAMS

UNTIL = MONDAY + 400 * DAY


def days_of(days: list[float], happened: list[int], shares: tuple[float, ...]) -> list[float]:
    result = survival(pd.Series(days, dtype="float64"), pd.Series(happened, dtype="bool"), shares, 0.9)
    return [np.nan if one.days is None else one.days for one in result.days]


def test_the_curve_equals_one_computed_by_hand() -> None:
    # At risk 6, 5, 3, 2 at the events: S = 5/6, then 5/6 * 4/5 = 2/3, then 2/3 * 2/3 = 4/9, then 4/9 * 1/2 = 2/9.
    days, happened = [1.0, 2.0, 2.0, 4.0, 6.0, 7.0], [1, 1, 0, 1, 1, 0]
    result = survival(pd.Series(days), pd.Series(happened, dtype="bool"), (1 / 6, 1 / 3, 0.5, 5 / 9, 7 / 9, 0.8), 0.9)
    assert [one.days for one in result.days][:5] == [1.0, 2.0, 4.0, 4.0, 6.0]
    assert result.days[5].days is None
    assert result.reached == pytest.approx(7 / 9)
    assert (result.n, result.happened, result.longest) == (6, 4, 7.0)


def test_at_the_same_moment_events_come_before_the_end_of_sight() -> None:
    assert days_of([1, 1, 2, 2], [1, 0, 1, 0], (0.25, 0.26, 0.625)) == [1.0, 2.0, 2.0]


def test_a_share_that_is_not_reached_has_no_days_and_neither_have_no_leads() -> None:
    assert np.isnan(days_of([1.0] * 9 + [50.0], [0] * 9 + [0], (0.1, 0.5))).all()
    assert np.isnan(days_of([], [], (0.5,))).all()
    assert np.isnan(days_of([3.0] + [9.0] * 99, [1] + [0] * 99, (0.1,))).all()
    assert days_of([5.0] * 3, [1] * 3, (0.1, 0.5)) == [5.0, 5.0]


def test_days_equal_the_closed_form_and_their_intervals_hold() -> None:
    rng, rate, shares = np.random.default_rng(7), 0.02, (0.1, 0.25, 0.5)
    true, held = -np.log1p(-np.array(shares)) / rate, np.zeros((300, 3))
    middle = np.zeros((300, 3))
    for scenario in range(300):
        time, sight = rng.exponential(1 / rate, 200), rng.uniform(10, 120, 200)
        result = survival(pd.Series(np.minimum(time, sight)), pd.Series(time <= sight), shares, 0.9).days
        middle[scenario] = [one.days for one in result]
        high = np.array([np.inf if one.high is None else one.high for one in result])
        held[scenario] = (np.array([one.low for one in result], "float64") <= true) & (true <= high)
    np.testing.assert_allclose(np.median(middle, axis=0), true, rtol=0.05)
    assert (held.mean(axis=0) > 0.85).all()
    assert (held.mean(axis=0) < 0.96).all()


def leads(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leads created over a year, who convert or are lost, whichever comes first."""
    at = MONDAY + pd.to_timedelta(rng.uniform(0, 390, n), unit="D").round("s")
    won, lost = rng.exponential(150, n), rng.exponential(60, n)
    ids = [f"l{number}" for number in range(n)]
    ends = {"converted_at": np.where(won < lost, won, np.nan), "lost_at": np.where(won < lost, np.nan, lost)}
    times = {name: pd.Series(at) + pd.to_timedelta(pd.Series(days), unit="D") for name, days in ends.items()}
    return pd.DataFrame({"lead_id": ids, "at": at}), pd.DataFrame({"lead_id": ids} | times)


def aalen_johansen(starts: pd.DataFrame, outcomes: pd.DataFrame, day: float) -> float:
    """The share converted by a day, losses being another end: the textbook estimator, event by event."""
    ends = outcomes[["converted_at", "lost_at"]].where(lambda times: times <= UNTIL)
    time = (ends.min(axis=1).fillna(UNTIL) - starts["at"]) / DAY
    kind = np.select([ends["converted_at"].notna(), ends["lost_at"].notna()], [1, 2], 0)
    order = np.argsort(time.to_numpy())
    free, share, at_risk = 1.0, 0.0, len(order)
    for place in order:
        if time.iloc[place] > day:
            break
        share += free * (kind[place] == 1) / at_risk
        free *= 1 - (kind[place] > 0) / at_risk
        at_risk -= 1
    return share


def test_losses_are_a_competing_end_and_not_censored() -> None:
    starts, outcomes = leads(np.random.default_rng(5), 3000)
    result = time_to_conversion(starts, outcomes, UNTIL, (0.1, 0.2), 0.9)
    for one in result.days:
        assert aalen_johansen(starts, outcomes, one.days) == pytest.approx(one.share, abs=0.01)
    gone = outcomes["lost_at"] <= UNTIL
    until = outcomes["converted_at"].where(~gone, outcomes["lost_at"]).where(lambda at: at <= UNTIL, UNTIL)
    days, happened = (until - starts["at"]) / DAY, outcomes["converted_at"] <= UNTIL
    censored = survival(days, happened, (0.1, 0.2), 0.9).days
    assert censored[1].days < 0.9 * result.days[1].days, "with losses censored leads seem faster than they are"


def test_what_comes_after_the_end_of_the_data_changes_nothing() -> None:
    starts, outcomes = leads(np.random.default_rng(6), 300)
    cut = outcomes.assign(converted_at=outcomes["converted_at"].where(outcomes["converted_at"] <= UNTIL))
    late = pd.DataFrame({"lead_id": ["new"], "at": [UNTIL + DAY]})
    known_then = time_to_conversion(starts, cut, UNTIL, (0.05, 0.1), 0.9)
    assert time_to_conversion(starts, outcomes, UNTIL, (0.05, 0.1), 0.9) == known_then
    assert time_to_conversion(pd.concat([starts, late]), outcomes, UNTIL, (0.05, 0.1), 0.9) == known_then
    touched = pd.Series(starts["at"].to_numpy() + 3 * DAY, index=starts["lead_id"])
    wins = cut.dropna(subset="converted_at")
    pd.testing.assert_frame_equal(cycle_days(touched, outcomes, UNTIL), cycle_days(touched, wins, UNTIL))
    assert cut["converted_at"].isna().sum() > outcomes["converted_at"].isna().sum(), "the cut cuts something"


@settings(max_examples=8)
@given(st.permutations(range(40)))
def test_the_order_of_leads_does_not_matter(order: list[int]) -> None:
    starts, outcomes = leads(np.random.default_rng(8), 40)
    shuffled = time_to_conversion(starts.iloc[order], outcomes.iloc[order[::-1]], UNTIL, (0.1, 0.5), 0.9)
    assert shuffled == time_to_conversion(starts, outcomes, UNTIL, (0.1, 0.5), 0.9)


def test_a_sales_cycle_runs_from_the_first_touch_before_the_win() -> None:
    outcomes = pd.DataFrame(
        {
            "lead_id": ["a", "b", "c", "d", "e"],
            "converted_at": [MONDAY + 10 * DAY, MONDAY + 40 * DAY, MONDAY + 5 * DAY, UNTIL + DAY, pd.NaT],
        }
    )
    touched = pd.Series([MONDAY, MONDAY + 20 * DAY, MONDAY + 5 * DAY, MONDAY], index=["a", "b", "c", "d"])
    cycles = cycle_days(touched, outcomes, UNTIL)
    assert cycles["lead_id"].tolist() == ["a", "b", "c"]
    assert cycles["days"].tolist()[:2] == [10.0, 20.0]
    assert np.isnan(cycles["days"].iloc[2]), "the win itself is no touch before it"
    result = sales_cycle(cycles["days"], 0.9)
    assert (result.n, result.median) == (2, 15.0)
    by_month = cycles_by(cycles, PARAMS.kpis, 0.9)
    assert [(one.period, one.n) for one in by_month] == [("2024-03", 1), ("2024-04", 1)]
    assert cycle_days(pd.Series(dtype="datetime64[us]"), outcomes, UNTIL)["days"].isna().all()
    assert sales_cycle(cycles["days"].head(0), 0.9).median is None


def test_the_interval_of_the_median_cycle_holds() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(120):
        result = sales_cycle(pd.Series(rng.lognormal(3, 1, 60)), 0.9)
        held.append(result.median_low <= np.exp(3) <= result.median_high)
    assert np.mean(held) > 0.85
