"""Each policy, its triggers and exclusions, and the margin: who is in which tier, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tiers.assignment import TierContext, assign, working_rank
from models.tiers.declarations import TierParams
from models.tiers.exploration import Quota, explore
from models.tiers.score_lists import best_first, tier_columns
from models.tiers.tier_rules import EXCLUDED
from tests.support.tier_scenario import SCALE, before, chances, facts, ladder, leads, policies, tier_rule, with_points

flags = st.lists(st.booleans(), min_size=25, max_size=25)
ranks = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=25, max_size=25)
TRIGGERS = {"triggers": [tier_rule("asked", "tier 0"), tier_rule("read", "tier 1")]}
EXCLUSIONS = {"exclusions": [tier_rule("student", "tier 2"), tier_rule("gone", EXCLUDED)]}


def tiers_of(rows: pd.DataFrame, params: TierParams, capacity: int = 2, **more: Any) -> list[str]:
    return assign(rows, TierContext(params, capacity, SCALE, **more)).tolist()


def previous_tier_names(rows: pd.DataFrame, places: list[int | None]) -> pd.Series[str]:
    return before(rows, [None if place is None else f"tier {place}" for place in places[: len(rows)]])


@given(chances, policies, flags, flags, ranks, st.sampled_from([0.0, 5.0]), st.integers(1, 6))
def test_every_lead_is_in_one_tier_and_exclusions_win(
    probability: list[float],
    policy: str,
    asked: list[bool],
    gone: list[bool],
    places: list[int | None],
    margin: float,
    capacity: int,
) -> None:
    rows = leads(probability)
    n = len(rows)
    params = ladder(1.0, 1.5, "rest", policy=policy, margin=margin, **TRIGGERS, **EXCLUSIONS)
    known = facts(rows, asked=asked[:n], read=gone[:n][::-1], student=asked[:n][::-1], gone=gone[:n])
    found = assign(rows, TierContext(params, capacity, SCALE, known, previous_tier_names(rows, places)))
    assert found.index.equals(rows.index)
    assert set(found) <= {*params.names, EXCLUDED}
    assert ((found == EXCLUDED) == gone[:n]).all()
    sent = known.held["student"] & ~known.held["gone"]
    assert (found[sent] == "tier 2").all()
    free = ~sent & ~known.held["gone"]
    assert (found[free & known.held["asked"]] == "tier 0").all()
    assert found[free & known.held["read"]].isin(["tier 0", "tier 1"]).all()
    if policy == "capacity" and free.sum() > capacity:
        asked_free = int((free & known.held["asked"]).sum())
        assert (found == "tier 0").sum() == max(asked_free, min(capacity, int(free.sum())))


@given(chances, policies, st.integers(1, 6))
def test_a_better_probability_never_gives_a_worse_tier(probability: list[float], policy: str, capacity: int) -> None:
    rows = leads(probability)
    params = ladder(1.0, 2.0, "rest", policy=policy)
    place = assign(rows, TierContext(params, capacity)).str.removeprefix("tier ").astype(int)
    ordered = place[rows["probability"].sort_values(ascending=False, kind="stable").index]
    worst_so_far = ordered.groupby(rows["probability"]).max().sort_index(ascending=False)
    best_after = ordered.groupby(rows["probability"]).min().sort_index(ascending=False)
    assert (best_after.to_numpy()[1:] >= worst_so_far.to_numpy()[:-1]).all()


@given(chances, policies, ranks, st.integers(1, 6))
def test_without_margin_each_list_stands_alone(
    probability: list[float], policy: str, places: list[int | None], capacity: int
) -> None:
    rows, params = leads(probability), ladder(1.0, 2.0, "rest", policy=policy)
    assert tiers_of(rows, params, capacity, previous=previous_tier_names(rows, places)) == tiers_of(
        rows, params, capacity
    )


@given(chances, policies, st.integers(1, 6), st.lists(st.floats(-2.4, 2.4), min_size=25, max_size=25))
def test_nothing_flaps_inside_the_margin(
    probability: list[float], policy: str, capacity: int, nudges: list[float]
) -> None:
    """Whoever moves by less than half the margin keeps its tier, whatever the others do within that too."""
    rows = leads(probability)
    params = ladder(1.0, 2.0, "rest", policy=policy, margin=5)
    first = assign(rows, TierContext(params, capacity, SCALE))
    moved = with_points(rows["points"] + nudges[: len(rows)])
    again = assign(moved, TierContext(params, capacity, SCALE, previous=before(rows, first.tolist())))
    assert again.tolist() == first.tolist()


@given(chances, ranks, st.integers(1, 6))
def test_under_capacity_only_a_lead_better_by_more_takes_a_place(
    probability: list[float], places: list[int | None], capacity: int
) -> None:
    rows, params = leads(probability), ladder(1.0, "rest", margin=5)
    previous = previous_tier_names(rows, [None if place is None else min(place, 1) for place in places])
    found = assign(rows, TierContext(params, capacity, previous=previous))
    if len(rows) <= capacity:
        return  # fixed scores hold
    assert (found == "tier 0").sum() == capacity
    was = rows["lead_id"].map(previous) == "tier 0"
    for left in rows.index[was & (found != "tier 0")]:
        for came in rows.index[~was & (found == "tier 0")]:
            assert rows["points"][came] >= rows["points"][left] + 5


def test_whoever_falls_out_of_a_tier_is_kept_in_the_next_before_those_from_below() -> None:
    rows, params = with_points([80, 70, 60, 58]), ladder(1.0, 1.0, "rest", margin=5)
    previous = before(rows, ["tier 1", "tier 1", "tier 2", "tier 0"])
    assert tiers_of(rows, params, 1, previous=previous) == ["tier 0", "tier 1", "tier 2", "tier 2"]
    assert tiers_of(rows.drop(1), params, 1, previous=previous) == ["tier 0", "tier 2", "tier 1"]


def test_a_lead_leaves_a_fixed_score_only_past_the_margin() -> None:
    params = ladder(1.0, 1.0, "rest", policy="score", margin=5)
    rows = with_points([55, 54, 65, 64, 60, 59, 25, 24])
    was = ["tier 0", "tier 0", "tier 1", "tier 1", None, None, "tier 1", "tier 1"]
    assert tiers_of(rows, params, previous=before(rows, was)) == [
        "tier 0", "tier 1", "tier 0", "tier 1", "tier 0", "tier 1", "tier 1", "tier 2",
    ]  # fmt: skip


def test_a_cut_off_near_the_end_of_the_scale_can_still_be_passed() -> None:
    tiers = ladder(1.0, "rest").model_dump()["ladder"]
    params = ladder(1.0, "rest", policy="score", margin=5, ladder=[tiers[0] | {"min_score": 98}, tiers[1]])
    rows = with_points([102, 103])
    assert rows["score"].tolist() == [100, 100]
    assert tiers_of(rows, params, previous=before(rows, ["tier 1", "tier 1"])) == ["tier 1", "tier 0"]


def test_a_list_shorter_than_capacity_has_no_best_tier_of_everybody() -> None:
    """25 leads for 200 calls were all hot, whoever they were; by fixed scores they are what they are."""
    rows, params = leads(np.linspace(0.001, 0.5, 25)), ladder(1.0, 3.0, "rest")
    by_capacity, by_score = tiers_of(rows, params, 200), tiers_of(rows, ladder(1.0, 3.0, "rest", policy="score"))
    assert by_capacity == by_score
    assert len(set(by_capacity)) == 3
    assert tiers_of(rows, params, 24).count("tier 0") == 24
    gone = facts(rows, gone=[True] * 10 + [False] * 15, student=[False] * 25)
    outside, scored = (ladder(1.0, 3.0, "rest", policy=policy, **EXCLUSIONS) for policy in ("capacity", "score"))
    assert tiers_of(rows, outside, 15, facts=gone) == tiers_of(rows, scored, facts=gone), "the excluded are not called"
    explored = explore(rows, TierContext(params, 200, SCALE), Quota(0.5, 1, ""))
    assert explored.explored.sum() == 25 - by_score.count("tier 0"), "half of the tier is more than all the rest"


def test_value_is_what_a_call_brings_over_its_cost() -> None:
    params = ladder(1.0, 1.0, "rest", policy="value")  # 1000 a deal, 100 a call: 2 times at 20%, 1 times at 10%
    rows = leads([0.2, 0.19, 0.1, 0.09, 0.05, 0.9])
    assert tiers_of(rows, params) == ["tier 0", "tier 1", "tier 1", "tier 2", "tier 2", "tier 0"]
    own = facts(rows, [None, 2000, 500, 5000, 0, -10])
    assert tiers_of(rows, params, facts=own) == ["tier 0", "tier 0", "tier 2", "tier 0", "tier 2", "tier 2"]


def test_a_margin_under_value_is_in_points() -> None:
    params = ladder(1.0, "rest", policy="value", margin=5)
    at = SCALE.points(np.log(0.1 / 0.9))  # worth one call
    rows = with_points([at - 4.9, at - 5.1, at + 4.9, at + 5.1])
    was = ["tier 0", "tier 0", "tier 1", "tier 1"]
    assert tiers_of(rows, params, previous=before(rows, was)) == ["tier 0", "tier 1", "tier 1", "tier 0"]
    with pytest.raises(ValueError, match="needs the scale of the points"):
        assign(rows, TierContext(params, 1, previous=before(rows, was)))
    alone = params.model_copy(update={"margin": 0.0})
    other = assign(rows, TierContext(alone, 1, previous=before(rows, was)))
    assert other.tolist() == ["tier 1", "tier 1", "tier 0", "tier 0"]


def test_triggers_take_places_first_and_all_of_them_stay() -> None:
    rows = leads([0.9, 0.5, 0.2, 0.05, 0.02, 0.01])
    params = ladder(1.0, 1.0, "rest", **TRIGGERS)
    one = facts(rows, asked=[False] * 5 + [True], read=[False] * 6)
    assert tiers_of(rows, params, 2, facts=one) == ["tier 0", "tier 1", "tier 1", "tier 2", "tier 2", "tier 0"]
    three = facts(rows, asked=[False] * 3 + [True] * 3, read=[False] * 6)
    assert tiers_of(rows, params, 2, facts=three) == ["tier 1", "tier 1", "tier 2", "tier 0", "tier 0", "tier 0"]


def test_a_trigger_never_lowers_and_an_exclusion_takes_no_place() -> None:
    rows = leads([0.9, 0.5, 0.2, 0.1])
    params = ladder(1.0, 1.0, "rest", **TRIGGERS, **EXCLUSIONS)
    known = facts(rows, asked=[False] * 4, read=[True, False, False, True], student=[False, True, False, False],
                  gone=[False] * 4)  # fmt: skip
    assert tiers_of(rows, params, 1, facts=known) == ["tier 0", "tier 2", "tier 2", "tier 1"]


def test_the_reason_is_shown_where_the_score_alone_does_not_say_it() -> None:
    rows = with_points([80, 70, 66, 64, 50, 40, 30])
    params = ladder(1.0, 1.0, "rest", margin=5, **TRIGGERS, **EXCLUSIONS)
    nobody = [False] * 7
    known = facts(rows, asked=[False] * 5 + [True, True], read=[True, *nobody[1:]], student=nobody,
                  gone=[False] * 6 + [True])  # fmt: skip
    previous = before(rows, ["tier 0", "tier 1", "tier 0", "tier 0", None, None, "tier 0"])
    shown = tier_columns(rows, TierContext(params, 3, SCALE, facts=known, previous=previous), None)
    assert shown["tier"].tolist() == ["tier 0", "tier 1", "tier 0", "tier 1", "tier 1", "tier 0", EXCLUDED]
    assert shown["tier_reason"].tolist() == [
        "",
        "kept tier 1: within 5 points of the cut-off",
        "kept tier 0: within 5 points of the cut-off",
        "",
        "",
        "trigger: asked",
        "excluded: gone",
    ]
    assert shown["stage"].tolist() == ["stage 0", "stage 1", "stage 0", "stage 1", "stage 1", "stage 0", ""]
    assert shown["previous_tier"].tolist() == ["tier 0", "tier 1", "tier 0", "tier 0", "", "", "tier 0"]
    both = facts(rows, asked=nobody, read=nobody, student=[*nobody[1:], True], gone=[*nobody[1:], True])
    assert tier_columns(rows, TierContext(params, 3, SCALE, facts=both), None)["tier_reason"][6] == "excluded: gone"
    new = tier_columns(rows, TierContext(params, 3, SCALE, facts=known, previous=previous.drop("lead 1")), None)
    assert new["tier_reason"][1] == "not yet tier 0: within 5 points of the cut-off"


def test_a_list_is_worked_from_the_top() -> None:
    rows = leads([0.9, 0.5, 0.2, 0.1, 0.05])
    params = ladder(1.0, 1.0, "rest", **TRIGGERS, **EXCLUSIONS)
    known = facts(rows, asked=[False] * 4 + [True], read=[False] * 5, student=[False] * 5, gone=[True] + [False] * 4)
    tiers = assign(rows, TierContext(params, 2, facts=known))
    assert tiers.tolist() == [EXCLUDED, "tier 0", "tier 1", "tier 1", "tier 0"]
    assert working_rank(rows, tiers, params, known).tolist() == [np.inf, 1, 2, 3, 0]


def test_a_tier_of_another_ladder_counts_as_none() -> None:
    rows, params = with_points([70, 60]), ladder(1.0, "rest", margin=50)
    assert tiers_of(rows, params, 1, previous=before(rows, [None, "golden"])) == ["tier 0", "tier 1"]
    assert tiers_of(rows, params, 1, previous=before(rows, [None, "tier 0"])) == ["tier 1", "tier 0"]


def test_nothing_is_changed_in_place() -> None:
    rows = leads([0.1, 0.9])
    params = ladder(1.0, "rest", margin=5, triggers=[tier_rule("asked", "tier 0")])
    known, previous = facts(rows, asked=[True, False]), before(rows, ["tier 0", None])
    copies = rows.copy(), known.held.copy(), previous.copy()
    tier_columns(rows, TierContext(params, 1, SCALE, facts=known, previous=previous), None)
    pd.testing.assert_frame_equal(rows, copies[0])
    pd.testing.assert_frame_equal(known.held, copies[1])
    pd.testing.assert_series_equal(previous, copies[2])


def test_another_figure_ranks_where_the_list_has_one_and_the_margin_holds_for_it() -> None:
    rows = with_points([80, 70, 60, 50]).assign(rank_value=[100.0, 400.0, 100.0, 390.0])
    alone = TierContext(ladder(0.5, "rest", margin=5.0), 4, scale=SCALE)
    assert assign(rows, alone).tolist() == ["tier 1", "tier 0", "tier 1", "tier 0"]
    held = alone.of(rows.index, before(rows, ["tier 0", "tier 0", "tier 1", "tier 1"]))
    assert assign(rows, held).tolist() == ["tier 1", "tier 0", "tier 1", "tier 0"], "four times as much is more"
    close = rows.assign(rank_value=[380.0, 400.0, 100.0, 390.0])
    assert assign(close, held).tolist() == ["tier 0", "tier 0", "tier 1", "tier 1"], "within the margin it stays"
    assert best_first(rows).tolist() == [1, 3, 0, 2]
