"""Revenue of lists: each deal once, the answers of intervals, and against rules and chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.kpis.revenue import ALL, RevenueResult, RevenueRows, revenue_gains, revenue_groups

WEEK = pd.Timedelta(days=7)
MONDAY = pd.Timestamp("2026-06-01")
N = 300


def listed(promised: float = 1.0) -> RevenueRows:
    """Two lists of the same leads; the model calls the 60 likeliest, the rules 60 others; deals are worth 1,000."""
    rng = np.random.default_rng(1)
    chance = np.sort(rng.beta(0.8, 8, N))[::-1]
    won = rng.random(N) < chance
    one = pd.DataFrame(
        {
            "lead_id": [f"{row:03}" for row in range(N)],
            "snapshot_at": MONDAY,
            "label": won.astype("float64"),
            "probability": np.minimum(chance * promised, 1.0),
            "won_at": np.where(won, MONDAY + WEEK * 2, pd.NaT),
            "value": np.where(won, 1000.0, np.nan),
            "log_value": np.log(1000.0),
            "called": np.arange(N) < 60,
            "called_by_rules": np.arange(N) >= N - 60,
            "tier": np.where(np.arange(N) < 60, "hot", "cold"),
        }
    )
    one["won_at"] = pd.to_datetime(one["won_at"])
    both = pd.concat([one, one.assign(snapshot_at=MONDAY + WEEK)], ignore_index=True)
    return RevenueRows(both, np.zeros((len(both), 0)), np.zeros(50), call_cost=50.0, confidence=0.9, seed=1)


def test_a_lead_counts_once_and_each_of_its_lists_costs_a_call() -> None:
    given = listed()
    whole = revenue_groups(given, {})[0]
    won = given.rows.head(N).loc[given.rows.head(N)["called"], "label"].sum()
    assert (whole.name, whole.leads, whole.calls) == (ALL, 60, 120)
    assert (whole.won, whole.actual, whole.cost) == (won, won * 1000, 6000)
    assert whole.returned == pytest.approx(won * 1000 / 6000)
    assert whole.days == 14.0
    assert whole.pays is True


def test_a_deal_without_a_value_is_one_on_however_many_lists() -> None:
    given = listed()
    won = given.rows.loc[given.rows["label"] == 1, "lead_id"].iloc[0]
    rows = given.rows.assign(value=given.rows["value"].mask(given.rows["lead_id"] == won))
    assert replace(given, rows=rows).without_value == 1


@pytest.mark.parametrize(("promised", "answer"), [(1.0, "as predicted"), (2.0, "less than predicted")])
def test_a_promise_that_was_too_high_is_said(promised: float, answer: str) -> None:
    assert revenue_groups(listed(promised), {})[0].answer == answer


def test_what_is_too_little_to_tell_is_said() -> None:
    given = listed()
    odd = pd.Series(["odd" if n % N == 40 else "" for n in range(2 * N)], index=given.rows.index)
    group = next(one for one in revenue_groups(given, {"source": odd}) if one.group == "source")
    assert (group.leads, group.answer, group.pays) == (1, "cannot tell", None)


def test_gains_are_over_as_many_calls_and_said_in_words() -> None:
    given = listed()
    rules, chance = revenue_gains(given)
    assert (rules.against, chance.against) == ("today's rules", "chance")
    first = given.rows.head(N)
    expected = first["label"][first["called"]].sum() - first["label"].mean() * 60
    assert chance.wins == pytest.approx(expected)
    assert rules.answer == chance.answer == "gains"
    result = RevenueResult(
        deals=50, constant=True, told=0.0, without_value=0, groups=revenue_groups(given, {}), gains=[rules]
    )
    stored = RevenueResult.model_validate_json(result.model_dump_json().replace("NaN", "null"))
    assert stored.lines[0].endswith("each is worth the average.")
    assert "calls pay" in stored.lines[1]
