"""Figures by tier and period count each lead once, leave out what is not known yet, and add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binomtest

from models.evaluation.intervals import clopper_pearson
from models.kpis.tier_kpis import (
    KpiParams,
    as_listed,
    first_lists,
    known,
    period_of,
    tier_metrics,
    winners,
    within,
)
from models.tiers.assignment import TierContext, assign
from models.tiers.score_lists import assign_in_order
from tests.support.tables import DAY, MONDAY, PARAMS

LADDER = ["hot", "warm", "cold"]
TIERS = PARAMS.tiers.model_copy(
    update={
        "margin": 0.0,
        "triggers": [],
        "exclusions": [],
        "ladder": [
            tier.model_copy(update={"share_of_capacity": share})
            for tier, share in zip(PARAMS.tiers.ladder, (1.0, 2.0, "rest"), strict=True)
        ],
    }
)
WEEK = 7 * DAY


def with_params(**values: object) -> KpiParams:
    return KpiParams.model_validate(PARAMS.kpis.model_dump() | values)


def listed(rows: list[tuple[str, int, str, float | None]]) -> pd.DataFrame:
    """Rows of lead, week, tier and label, in any order."""
    frame = pd.DataFrame(rows, columns=["lead_id", "week", "tier", "label"]).astype(
        {"label": "float64", "week": "int64"}
    )
    at = MONDAY + frame["week"] * WEEK
    return frame.assign(snapshot_at=at, probability=0.2, period=period_of(at, PARAMS.kpis))


def facts(rows: pd.DataFrame, **known_of: float) -> pd.DataFrame:
    blank = dict.fromkeys(("engaged", "accepted", "fell_back", "lost"), float("nan"))
    return first_lists(rows, ["tier", "period"]).assign(**(blank | known_of))


def figures(rows: pd.DataFrame, **known_of: float) -> dict[str, Any]:
    result = tier_metrics(rows, facts(rows, **known_of), LADDER, 0.9)
    return {tier.name: tier.model_dump() for tier in result}


MARCH, APRIL = 0, 5  # weeks after Monday, 4 March


def test_each_lead_counts_once_at_its_first_list_in_a_tier_and_period() -> None:
    rows = listed(
        [
            ("a", MARCH, "hot", 0.0),
            ("a", MARCH + 1, "hot", 1.0),
            ("a", MARCH + 2, "warm", 1.0),
            ("b", MARCH + 1, "hot", 1.0),
            ("b", APRIL, "hot", 0.0),
            ("c", APRIL, "cold", 0.0),
        ]
    )
    hot = figures(rows.sample(frac=1, random_state=3))["hot"]
    assert [hot["all"][name] for name in ("leads", "rows", "matured", "converted")] == [2, 4, 2, 1]
    assert [(one["period"], one["leads"], one["converted"]) for one in hot["periods"]] == [
        ("2024-03", 2, 1),
        ("2024-04", 1, 0),
    ]
    assert hot["all"]["conversion_rate"] == 0.5


def test_what_has_not_matured_is_no_failure() -> None:
    rows = listed([("a", 0, "hot", 1.0), ("b", 0, "hot", None), ("c", 0, "hot", None)])
    hot = figures(rows)["hot"]["all"]
    assert [hot[name] for name in ("leads", "matured", "converted", "conversion_rate")] == [3, 1, 1, 1.0]
    later = pd.concat([rows, listed([("d", 9, "hot", None)])], ignore_index=True)
    same = figures(later)["hot"]["all"]
    assert same["conversion_rate_low"] == hot["conversion_rate_low"]
    empty = figures(listed([("a", 0, "cold", None)]))["cold"]["all"]
    assert empty["matured"] == 0
    assert [empty["conversion_rate"], empty["conversion_rate_low"]] == [None, None]


def test_every_win_is_caught_by_the_best_tier_it_was_in() -> None:
    rows = listed(
        [
            ("a", 0, "cold", 1.0),
            ("a", 1, "hot", 1.0),
            ("b", 0, "hot", 0.0),  # its win came later than the horizon of this list
            ("b", 6, "cold", 1.0),
            ("c", 0, "warm", 0.0),
        ]
    )
    assert winners(rows, LADDER).set_index("lead_id")["tier"].to_dict() == {"a": "hot", "b": "cold"}
    result = figures(rows)
    assert [result[name]["all"]["wins_caught"] for name in LADDER] == [0.5, 0.0, 0.5]
    april = [result[name]["periods"][1]["wins_caught"] for name in LADDER]
    assert april == [0.0, 0.0, 1.0]


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 2), st.integers(0, 1)), max_size=40))
def test_shares_of_wins_add_up_and_leads_are_never_counted_twice(cells: list[tuple[int, int, int, int]]) -> None:
    unique = {(lead, week): (tier, label) for lead, week, tier, label in cells}
    rows = listed([(f"l{lead}", week, LADDER[tier], label) for (lead, week), (tier, label) in unique.items()])
    result = figures(rows)
    won = rows.loc[rows["label"] == 1, "lead_id"].nunique()
    shares = [result[name]["all"]["wins_caught"] for name in LADDER]
    assert shares == [None] * 3 if won == 0 else sum(shares) == pytest.approx(1)
    for name in LADDER:
        assert result[name]["all"]["leads"] == rows.loc[rows["tier"] == name, "lead_id"].nunique()
        assert sum(one["rows"] for one in result[name]["periods"]) == result[name]["all"]["rows"]


def fill(one: pd.DataFrame, previous: pd.Series[str] | None) -> pd.Series[str]:
    return assign(one, TierContext(TIERS, 2))


def test_lists_are_put_into_tiers_one_by_one() -> None:
    rows = pd.DataFrame(
        {
            "lead_id": [f"l{number}" for number in range(10)] * 2,
            "snapshot_at": [MONDAY] * 10 + [MONDAY + WEEK] * 10,
            "label": 0.0,
            "probability": np.r_[np.linspace(0.9, 0.5, 10), np.linspace(0.01, 0.05, 10)],
            "score": 50,
        }
    )
    shuffled = rows.sample(frac=1, random_state=1)
    result = as_listed(shuffled.assign(tier=assign_in_order(shuffled, fill)), PARAMS.kpis)
    tiers = result.groupby("snapshot_at")["tier"].value_counts().unstack()[LADDER]  # noqa: PD010
    assert tiers.to_numpy().tolist() == [[2, 4, 4], [2, 4, 4]]
    assert result.loc[result["tier"] == "hot", "lead_id"].tolist() == ["l0", "l1", "l8", "l9"]
    undated = rows.head(10).assign(snapshot_at=pd.NaT)
    undated = as_listed(undated.assign(tier=assign_in_order(undated, fill)), PARAMS.kpis)
    assert (undated["tier"] == "hot").sum() == 2
    assert set(undated["period"]) == {""}


@pytest.mark.parametrize(
    ("period", "named"),
    [("week", "2024-02-26"), ("month", "2024-03"), ("quarter", "2024Q1"), ("year", "2024")],
)
def test_periods_are_named(period: str, named: str) -> None:
    at = pd.Series([pd.Timestamp("2024-03-03 23:59"), pd.NaT])
    assert period_of(at, with_params(period=period)).tolist() == [named, ""]


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 11), (40, 2000)])
def test_the_interval_is_that_of_clopper_and_pearson(k: int, n: int) -> None:
    result = binomtest(k, n).proportion_ci(0.9, method="exact")
    assert clopper_pearson(k, n, 0.9) == pytest.approx((result.low, result.high))


def test_the_interval_covers_the_rate_for_leads_that_differ() -> None:
    rng = np.random.default_rng(1)
    chance = rng.beta(0.5, 8, 120)
    hits = (rng.random((1500, 120)) < chance).sum(axis=1)
    bounds = {k: clopper_pearson(int(k), 120, 0.9) for k in np.unique(hits)}
    covered = np.mean([bounds[k][0] <= chance.mean() <= bounds[k][1] for k in hits])
    assert covered >= 0.9


def test_a_window_is_half_open_and_unknown_until_it_has_passed() -> None:
    at = pd.Series([MONDAY] * 4)
    events = pd.Series([MONDAY - pd.Timedelta(1, "us"), MONDAY, MONDAY + 7 * DAY, pd.NaT])
    assert within(at, events, 7).tolist() == [False, True, False, False]
    assert known(within(at, events, 7), at, 7, MONDAY + 7 * DAY).tolist() == [0, 1, 0, 0]
    assert known(within(at, events, 7), at, 7, MONDAY + 7 * DAY - pd.Timedelta(1, "us")).isna().all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stages": ["lead", "MQL", "lead"]}, "stages must differ"),
        ({"shares": [0.5, 0.1]}, "shares must ascend"),
        ({"qualified_stage": "Mql"}, "qualified_stage must be one of stages"),
        ({"sales_stage": "won"}, "sales_stage must be one of stages"),
        ({"telling": 1.0}, "greater than 1"),
        ({"period": "day"}, "period"),
    ],
)
def test_params_that_are_not_valid_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        with_params(**values)
