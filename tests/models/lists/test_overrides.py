"""Overrides: which count on a day, what they move and what not, and whether they were right."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.lists.overrides import as_overrides, in_force, judge, override_at_moment, override_tiers
from models.tiers.assignment import TierContext
from models.tiers.at_moment import MomentTier
from models.tiers.score_lists import tier_columns
from tests.support.tier_scenario import facts, ladder, tier_rule, with_points

MONDAY, DAY = pd.Timestamp("2026-06-01"), pd.Timedelta(days=1)
PARAMS = ladder(1.0, 1.0, "rest", exclusions=[tier_rule("gone", "excluded")])
STAGES = {tier.name: tier.stage for tier in PARAMS.ladder}
ROWS = with_points([80, 70, 60, 50, 40, 30])


def said(*rows: dict[str, Any]) -> pd.DataFrame:
    """Overrides of people; each from Monday for a week, by Anna, unless it says otherwise."""
    rest = {"who": "Anna", "until": MONDAY + 7 * DAY, "given_at": MONDAY}
    return as_overrides(pd.DataFrame([rest | row for row in rows]))


def moved(*rows: dict[str, Any], gone: int | None = None) -> pd.DataFrame:
    """The tier columns of six leads, two to a tier, after what people said."""
    known = facts(ROWS, gone=[number == gone for number in range(len(ROWS))])
    own = tier_columns(ROWS, TierContext(PARAMS, 2, facts=known), None)
    return override_tiers(ROWS, own, in_force(said(*rows), MONDAY), STAGES)


def test_a_tier_by_a_person_is_on_the_list_beside_the_model_s_own() -> None:
    found = moved({"lead_id": "lead 4", "tier": "tier 0", "why": "met at the fair"})
    assert found["tier"].tolist() == ["tier 0", "tier 0", "tier 1", "tier 1", "tier 0", "tier 2"], "nobody else moves"
    lead = found.loc[4]
    assert (lead["earned_tier"], lead["stage"], lead["propensity"]) == ("tier 2", "stage 0", 1.0)
    assert lead["tier_reason"] == "override by Anna until 2026-06-08: met at the fair"


def test_points_lead_to_the_tier_whose_least_points_are_reached() -> None:
    tiers = [moved({"lead_id": "lead 4", "points": more}).loc[4, "tier"] for more in (-5, 5, 10, 29, 30)]
    assert tiers == ["tier 2", "tier 2", "tier 1", "tier 1", "tier 0"]
    reason = moved({"lead_id": "lead 4", "points": 10.0, "until": None}).loc[4, "tier_reason"]
    assert reason == "override by Anna, +10 points"


def test_points_where_money_ranks_lead_to_a_tier_as_large_by_points() -> None:
    """The lead with the fewest points is in the best tier for its deal: no reason that ten points lead there."""
    rows = ROWS.assign(rank_value=[5.0, 4.0, 3.0, 2.0, 1.0, 6.0])
    own = tier_columns(rows, TierContext(PARAMS, 2), None)
    found = override_tiers(rows, own, in_force(said({"lead_id": "lead 4", "points": 10.0}), MONDAY), STAGES)
    assert (own.loc[5, "tier"], found.loc[4, "tier"]) == ("tier 0", "tier 1")


def test_an_exclusion_goes_before_a_person_who_would_call() -> None:
    found = moved({"lead_id": "lead 0", "tier": "tier 0"}, {"lead_id": "lead 1", "tier": "excluded"}, gone=0)
    assert found["tier"].tolist()[:2] == ["excluded", "excluded"]
    assert found.loc[0, "tier_reason"] == "excluded: gone"
    assert found.loc[1, "tier_reason"] == "override by Anna until 2026-06-08"


@pytest.mark.parametrize("tier", ["tier 0", "tier 2", "excluded"])
@pytest.mark.parametrize("gone", [None, 1])
def test_a_lead_alone_is_told_as_on_the_list(tier: str, gone: int | None) -> None:
    row = {"lead_id": "lead 1", "tier": tier}
    own, listed = moved(gone=gone).loc[1], moved(row, gone=gone).loc[1]
    alone = override_at_moment(
        MomentTier(own["tier"], own["stage"], own["tier_reason"]), in_force(said(row), MONDAY), str, STAGES
    )
    assert (alone.tier, alone.stage, alone.reason) == (listed["tier"], listed["stage"], listed["tier_reason"])


def test_what_counts_on_a_day() -> None:
    rows = said(
        {"lead_id": "a", "tier": "early", "until": MONDAY},
        {"lead_id": "a", "tier": "late", "given_at": MONDAY + DAY},
        {"lead_id": "b", "tier": "back", "withdrawn_at": MONDAY + DAY},
        {"lead_id": "c", "tier": "always", "given_at": None, "until": None},
    )
    by_day = {n: in_force(rows, MONDAY + n * DAY)["tier"].to_dict() for n in (-1, 0, 1, 7, 8)}
    assert by_day == {
        -1: {"c": "always"},
        0: {"a": "early", "b": "back", "c": "always"},
        1: {"a": "late", "c": "always"},
        7: {"a": "late", "c": "always"},
        8: {"c": "always"},
    }
    assert in_force(rows, pd.NaT)["tier"].to_dict() == {"a": "late", "c": "always"}, "a list without a day"


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["tier 0", "tier 1", "tier 2", "excluded"])), max_size=6))
def test_people_move_nobody_but_the_leads_they_name(given_tiers: list[tuple[int, str]]) -> None:
    rows = [{"lead_id": f"lead {number}", "tier": tier} for number, tier in given_tiers]
    own = tier_columns(ROWS, TierContext(PARAMS, 2, facts=facts(ROWS, gone=[False] * 6)), None)
    found = override_tiers(ROWS, own, in_force(said(*rows), MONDAY), STAGES)
    named = ROWS["lead_id"].isin([row["lead_id"] for row in rows])
    pd.testing.assert_frame_equal(found[~named], own[~named])
    assert found["earned_tier"].equals(own["earned_tier"])
    last = {str(row["lead_id"]): row["tier"] for row in rows}
    assert found["tier"][named].tolist() == [last[lead] for lead in ROWS["lead_id"][named]]


def test_whether_they_were_right() -> None:
    """Twenty leads raised, whom the model gave 10%: 12 convert. Four lowered, 50%: none.

    One came too late to judge, although it has won.
    """
    raised = [{"lead_id": f"r{n}", "tier": "tier 0", "own_tier": "tier 2", "own_probability": 0.1} for n in range(20)]
    lowered = [{"lead_id": f"l{n}", "tier": "tier 2", "own_tier": "tier 0", "own_probability": 0.5} for n in range(4)]
    others = [
        {"lead_id": "won before", "tier": "tier 0"},
        {"lead_id": "young", "tier": "tier 0", "given_at": MONDAY + 80 * DAY},
        {"lead_id": "r0", "tier": "tier 0", "given_at": MONDAY + DAY, "own_probability": 0.1},
    ]
    won = {f"r{n}": MONDAY + 5 * DAY for n in range(12)} | {"r12": MONDAY + 31 * DAY, "won before": MONDAY - DAY}
    won["young"] = MONDAY + 82 * DAY
    result = judge(said(*raised, *lowered, *others), pd.Series(won), MONDAY + 90 * DAY, 30 * DAY, list(STAGES), 0.9)
    assert (result.given, result.judged) == (27, 25)
    assert result.raised is not None and result.lowered is not None
    assert (result.raised.n, result.raised.converted, result.raised.right) == (20, 12, True)
    assert result.raised.rate_low == pytest.approx(0.3936, abs=1e-4)  # Clopper and Pearson, 12 of 20, 90%
    assert (result.lowered.n, result.lowered.converted, result.lowered.right) == (4, 0, None)
    assert result.lines[1].startswith("Of 20 leads that people raised, 12 converted: 60.0% (39.4% to 78.3%); the model")
    assert result.lines[1].endswith("gave 10.0% on average: people were right.")
    assert result.lines[2].endswith("this cannot tell who was right.")
