"""Tiers hold what sales can work, best first, and a ladder that cannot be meant is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tiers.assignment import TierContext, assign
from models.tiers.declarations import TierParams
from tests.support.tier_scenario import ladder, leads, tier_rule


def sizes(n: int, params: TierParams, capacity: int) -> list[int]:
    tiers = assign(leads(list(np.linspace(0.9, 0.1, n))), TierContext(params, capacity))
    return [int((tiers == tier.name).sum()) for tier in params.ladder]


def test_capacity_fills_exactly() -> None:
    assert sizes(100, ladder(1.0, 3.0, "rest"), capacity=10) == [10, 30, 60]
    assert sizes(41, ladder(1.0, 3.0, "rest"), capacity=10) == [10, 30, 1]
    assert sizes(40, ladder(1.0, 3.0, "rest"), capacity=10) == [10, 30, 0]
    assert sizes(7, ladder(1.0, 3.0, "rest"), capacity=10) == [7, 0, 0]
    assert sizes(15, ladder(1.0, 3.0, "rest"), capacity=10) == [10, 5, 0]
    assert sizes(5, ladder("rest"), capacity=1) == [5]
    assert sizes(0, ladder(1.0, "rest"), capacity=1) == [0, 0]


@given(st.integers(1, 400), st.integers(1, 300), st.integers(1, 300))
def test_shares_of_hundredths_never_take_a_lead_too_many(capacity: int, hundredths: int, more: int) -> None:
    first, both = capacity * hundredths // 100, capacity * (hundredths + more) // 100
    found = sizes(both + 5, ladder(hundredths / 100, more / 100, "rest"), capacity)
    assert found == [first, both - first, 5]


def test_a_share_with_a_binary_rounding_error() -> None:
    assert 1.1 * 50 > 55
    assert sizes(100, ladder(1.1, "rest"), capacity=50) == [55, 45]
    assert 0.29 * 100 < 29
    assert sizes(100, ladder(0.29, "rest"), capacity=100) == [29, 71]


def test_the_best_come_first_and_ties_are_broken_by_lead() -> None:
    rows = leads([0.2, 0.7, 0.7, 0.7, 0.1]).iloc[[4, 3, 0, 2, 1]]
    tiers = assign(rows, TierContext(ladder(1.0, 1.0, "rest"), capacity=2))
    assert tiers.index.tolist() == rows.index.tolist()
    assert tiers.sort_index().tolist() == ["tier 1", "tier 0", "tier 0", "tier 1", "tier 2"]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20))
def test_fixed_scores_are_reached_or_not(scores: list[int]) -> None:
    params = ladder(1.0, 3.0, "rest", policy="score")
    tiers = assign(leads([0.5] * len(scores), scores), TierContext(params, capacity=1))
    assert tiers.tolist() == [f"tier {0 if score >= 60 else 1 if score >= 30 else 2}" for score in scores]


def test_nothing_is_changed_in_place() -> None:
    rows = leads([0.1, 0.9])
    before = rows.copy()
    assign(rows, TierContext(ladder(1.0, "rest"), capacity=1))
    pd.testing.assert_frame_equal(rows, before)


REST: dict[str, Any] = {"min_value_ratio": 0.0, "certify": None}
GOOD: dict[str, Any] = REST | {
    "name": "hot",
    "stage": "SQL",
    "share_of_capacity": 1.0,
    "min_score": 70,
    "min_value_ratio": 5,
}
LAST: dict[str, Any] = REST | {"name": "cold", "stage": "lead", "share_of_capacity": "rest", "min_score": 0}
WHOLE = ladder("rest").model_dump()


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([GOOD], "end at 0, found \\[70"),
        ([GOOD | {"min_score": 0, "min_value_ratio": 0}], "'hot', and no other, has share_of_capacity: rest"),
        ([GOOD, LAST | {"share_of_capacity": 2.0}], "'cold', and no other, has share_of_capacity: rest"),
        ([GOOD | {"share_of_capacity": "rest"}, LAST], "'cold', and no other, has share_of_capacity: rest"),
        ([GOOD, GOOD | {"name": "warm"}, LAST], "must fall from tier to tier and end at 0, found \\[70"),
        ([GOOD, GOOD | {"name": "warm", "min_score": 80}, LAST], "min_score must fall from tier to tier"),
        ([GOOD, GOOD | {"name": "warm", "min_score": 60}, LAST], "min_value_ratio must fall from tier to tier"),
        ([GOOD, LAST | {"min_score": 5}], "end at 0, found \\[70.0, 5"),
        ([GOOD, LAST | {"min_value_ratio": 1}], "min_value_ratio must fall from tier to tier and end at 0"),
        ([GOOD, LAST | {"name": "hot"}], "tier names must differ"),
        ([GOOD | {"name": "excluded"}, LAST], "'excluded' stands for leads outside of the ladder"),
        ([GOOD | {"share_of_capacity": 0}, LAST], "share_of_capacity"),
        ([GOOD | {"min_score": 101}, LAST], "min_score"),
        ([GOOD | {"name": ""}, LAST], "name"),
        ([GOOD | {"colour": "red"}, LAST], "colour"),
        ([GOOD | {"certify": {"rate": 1.2, "confidence": 0.9, "steps": 1}}, LAST], "certify.rate"),
        ([GOOD | {"certify": {"times_average": 0.0}}, LAST], "certify.times_average"),
        ([], "ladder"),
    ],
)
def test_bad_ladders_are_refused_with_a_reason(tiers: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TierParams.model_validate(WHOLE | {"ladder": tiers})
    assert TierParams.model_validate(WHOLE | {"policy": "score", "ladder": [GOOD, LAST]}).policy == "score"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"triggers": [tier_rule("a", "tier 9")]}, "'a' gives tier 'tier 9', which is none of tier 0, tier 1"),
        ({"triggers": [tier_rule("a", "excluded")]}, "'a' gives tier 'excluded', which is none of tier 0, tier 1"),
        ({"exclusions": [tier_rule("a", "tier 9")]}, "none of tier 0, tier 1, excluded"),
        ({"triggers": [tier_rule("a", "tier 0")], "exclusions": [tier_rule("a", "excluded")]}, "are called 'a'"),
        ({"triggers": [tier_rule("a", "tier 0") | {"when": {"types": ["x", "x"], "days": 1}}]}, "'x' occurs twice"),
        ({"triggers": [tier_rule("a", "tier 0") | {"when": {"types": [], "days": 1}}]}, "types"),
        ({"triggers": [tier_rule("a", "tier 0") | {"when": {"types": ["x"], "days": 0}}]}, "days"),
        (
            {"triggers": [tier_rule("a", "tier 0") | {"when": {"attribute": "b", "test": "is", "value": 3}}]},
            "a list of",
        ),
        ({"margin": -1}, "margin"),
    ],
)
def test_bad_overrides_are_refused_with_a_reason(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ladder(1.0, "rest", **changed)
    assert ladder(1.0, "rest", exclusions=[tier_rule("a", "excluded"), tier_rule("b", "tier 1")]).exclusions
