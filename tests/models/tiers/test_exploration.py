"""The lot that puts a few leads of lower tiers into the best one: how many, who, and with what chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tiers.assignment import TierContext
from models.tiers.declarations import TierParams
from models.tiers.exploration import Quota, period_of
from models.tiers.score_lists import list_summary, previous_tiers, tier_columns
from models.tiers.tier_rules import EXCLUDED
from tests.support.tables import DAY, MONDAY, PARAMS
from tests.support.tier_scenario import SCALE, before, chances, facts, ladder, leads, policies, tier_rule, with_points

RNG = np.random.default_rng(4)
MANY = with_points((20 + 60 * RNG.random(300)).tolist())
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5])
POLICIES = ["capacity", "score", "value"]


def listed(
    rows: pd.DataFrame, params: TierParams, capacity: int, share: float, period: str = "1", **more: object
) -> pd.DataFrame:
    """A list with its lot."""
    quota = Quota(share, seed=7, period=period)
    given = {"facts": None, "previous": None} | more
    return tier_columns(rows, TierContext(params, capacity, scale=SCALE, **given), quota)  # type: ignore[arg-type]  # facts and previous


def drawn(one: pd.DataFrame) -> pd.Series[bool]:
    return one["explored"] == "yes"


def sizes(one: pd.DataFrame) -> dict[str, int]:
    return one["tier"].value_counts().to_dict()


@given(chances, SHARES, st.integers(1, 12), st.integers(0, 3), st.lists(st.booleans(), min_size=50, max_size=50))
def test_tiers_stay_as_large_as_without_the_lot(
    probability: list[float], share: float, capacity: int, margin: int, held: list[bool]
) -> None:
    rows, n = leads(probability), len(probability)
    params = ladder(
        1.0, 1.0, "rest", margin=margin, triggers=[tier_rule("asked", "tier 0"), tier_rule("read", "tier 1")],
        exclusions=[tier_rule("gone", EXCLUDED), tier_rule("student", "tier 2")],
    )  # fmt: skip
    known = facts(rows, asked=held[:n], read=held[10 : 10 + n], gone=held[20 : 20 + n], student=held[25 : 25 + n])
    without, found = (listed(rows, params, capacity, part, facts=known) for part in (0.0, share))
    gone = known.held["gone"] | known.held["student"]
    full = without["tier"].isin(["tier 0", "tier 1"]) | gone  # nobody is left to take the places of those drawn
    short = (~gone).sum() <= capacity  # tiers follow fixed scores, to which those drawn are added
    assert sizes(found) == sizes(without) or full.all() or short
    assert not drawn(without).any()
    assert not drawn(found)[gone].any() and (found["propensity"][gone] == 0).all()
    asked = known.held["asked"] & ~gone
    assert (found["tier"][asked] == "tier 0").all()
    if not asked.sum() > capacity:
        assert (found["tier"] == "tier 0").sum() <= capacity


@pytest.mark.parametrize("policy", POLICIES)
def test_so_many_are_drawn_as_the_share_says_and_each_says_why(policy: str) -> None:
    params = ladder(1.0, 3.0, "rest", policy=policy, margin=5)
    alone, found = (listed(MANY, params, 40, share) for share in (0.0, 0.1))
    best = int((alone["tier"] == "tier 0").sum())
    n = int(drawn(found).sum())
    assert n == round(0.1 * best) > 0
    assert (found["tier"] == "tier 0").sum() == (best if policy == "capacity" else best + n)
    assert set(found["tier"][drawn(found)]) == {"tier 0"}
    why = "random sample to learn: else " + found["earned_tier"]
    assert (found["tier_reason"] == why)[drawn(found)].all()
    assert not found["tier_reason"][~drawn(found)].str.contains("lot").any()
    assert (found["earned_tier"][~drawn(found)] == found["tier"][~drawn(found)]).all()
    assert "tier 0" not in set(found["earned_tier"][drawn(found)])


@pytest.mark.parametrize("policy", POLICIES)
def test_the_chance_adds_up_to_the_leads_drawn_and_is_even(policy: str) -> None:
    found = listed(MANY, ladder(1.0, 3.0, "rest", policy=policy), 40, 0.25)
    earned = found["earned_tier"] == "tier 0"
    assert (found["propensity"][earned] == 1).all()
    assert len(found["propensity"][~earned].drop_duplicates()) == 1
    assert found["propensity"][~earned].sum() == pytest.approx(drawn(found).sum())


def test_over_many_periods_each_lead_is_drawn_as_often_as_its_chance_says() -> None:
    params = ladder(1.0, "rest")
    rows = MANY.head(60)
    lists = [listed(rows, params, 10, 0.5, period=str(number)) for number in range(150)]
    often = sum(drawn(one).to_numpy(dtype=int) for one in lists)
    chance = lists[0]["propensity"].to_numpy()
    possible = chance < 1
    spread = np.sqrt(150 * chance * (1 - chance))
    assert np.abs(often - 150 * chance)[possible].max() < 4 * spread[possible].max()
    assert possible.sum() == 55 and chance[possible] == pytest.approx(5 / 55)
    assert (often[possible] > 0).all(), "the lot favours nobody"


def test_the_same_period_and_seed_draw_the_same_and_others_draw_others() -> None:
    params = ladder(1.0, "rest")
    first = listed(MANY, params, 40, 0.2)
    pd.testing.assert_frame_equal(listed(MANY, params, 40, 0.2), first)
    shuffled = MANY.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(listed(shuffled, params, 40, 0.2).sort_index(), first)
    assert not drawn(listed(MANY, params, 40, 0.2, period="2")).equals(drawn(first))
    other = tier_columns(MANY, TierContext(params, 40, scale=SCALE), Quota(0.2, 8, "1"))
    assert not drawn(other).equals(drawn(first))


def test_who_is_drawn_stays_drawn_when_others_leave() -> None:
    params = ladder(1.0, "rest")
    first = listed(MANY, params, 40, 0.2)
    left = MANY.drop(index=MANY.index[drawn(first)][0])
    again = listed(left, params, 40, 0.2)
    stayed = first.index[drawn(first)].intersection(left.index)
    assert drawn(again)[stayed].all()


def test_the_next_list_gives_nothing_for_having_been_drawn() -> None:
    params = ladder(1.0, "rest", margin=60)
    first = listed(MANY, params, 40, 0.5)
    in_place = pd.concat([MANY["lead_id"], first], axis=1).assign(as_of=MONDAY, model_id="m")
    previous = previous_tiers(in_place, MONDAY + 7 * DAY, "m")
    second = listed(MANY, params, 40, 0.0, period="2", previous=previous)
    flattered = listed(MANY, params, 40, 0.0, period="2", previous=before(MANY, first["tier"].tolist()))
    lucky = drawn(first)
    assert lucky.sum() == 20
    assert (second["previous_tier"][lucky] == first["earned_tier"][lucky]).all()
    assert (flattered["tier"][lucky] == "tier 0").all(), "the margin should matter here, or the test says nothing"
    without = listed(MANY, params, 40, 0.0)
    assert (second["tier"][lucky] == without["tier"][lucky]).all()


def test_triggered_leads_go_before_the_lot() -> None:
    params = ladder(1.0, "rest", triggers=[tier_rule("asked", "tier 0")])
    for asked, n in ((5, 4), (8, 2), (10, 0), (12, 0)):
        known = facts(MANY, asked=[number < asked for number in range(len(MANY))])
        found = listed(MANY, params, 10, 0.4, facts=known)
        assert drawn(found).sum() == n
        assert (found["tier"] == "tier 0").sum() == max(10, asked)


def test_a_drawn_lead_is_called_first_and_lends_the_tier_no_score() -> None:
    params = ladder(1.0, "rest")
    found = MANY.join(listed(MANY, params, 40, 0.1))
    figures = list_summary(found, params, 40, None, 0.9)
    assert figures.explored == 4
    assert figures.capacity[1].leads == 40
    earned = found[(found["tier"] == "tier 0") & ~drawn(found)]
    assert figures.capacity[1].cut_off == earned["score"].min() > found["score"][drawn(found)].min()
    assert figures.capacity[1].wins == pytest.approx(found["probability"][found["tier"] == "tier 0"].sum())


def test_a_period_is_one_of_the_grid() -> None:
    population = PARAMS.snapshots.model_copy(update={"every_days": 7})
    week = [period_of(MONDAY + day * DAY, population) for day in range(-1, 8)]
    assert len(set(week[1:8])) == 1
    assert len(set(week)) == 3
    assert period_of(pd.NaT, population) == period_of(MONDAY, None) == ""


@given(chances, policies)
def test_a_ladder_of_one_tier_draws_nobody(probability: list[float], policy: str) -> None:
    found = listed(leads(probability), ladder("rest", policy=policy), 3, 0.5)
    assert not drawn(found).any()
    assert (found["propensity"] == 1).all()
