"""Lists that follow one another: what a list is compared with, made once or again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from models.tiers.assignment import TierContext, assign, working_rank
from models.tiers.results import Overfull
from models.tiers.score_lists import (
    assign_lists,
    best_first,
    list_summary,
    lowest_scores,
    previous_tiers,
    share_changed,
    tier_columns,
    working_ranks,
)
from tests.support.tables import DAY, MONDAY
from tests.support.tier_scenario import SCALE, facts, ladder, tier_rule, with_points

PARAMS = ladder(1.0, 2.0, "rest", margin=5)


def make(points: list[float], as_of: pd.Timestamp, model_id: str, in_place: pd.DataFrame | None) -> pd.DataFrame:
    """Score as the stage does: figures, then tiers against the list in place."""
    rows = with_points(points)
    previous = previous_tiers(in_place, as_of, model_id)
    tiers = tier_columns(rows, TierContext(PARAMS, 3, scale=SCALE, previous=previous), None)
    return pd.concat([rows, tiers], axis=1).assign(as_of=as_of, model_id=model_id)


RNG = np.random.default_rng(1)
FIRST = (RNG.random(30) * 60).tolist()
SECOND = (np.array(FIRST) + RNG.normal(0, 4, 30)).tolist()


@pytest.mark.parametrize("day", [MONDAY, pd.NaT])
def test_a_list_made_again_is_the_same_whatever_came_before(day: pd.Timestamp) -> None:
    first = make(FIRST, day, "old", None)
    retrained = make(SECOND, day, "new", first)
    assert (retrained["previous_tier"] == first["tier"]).all()
    again = make(SECOND, day, "new", retrained)
    pd.testing.assert_frame_equal(again, retrained)
    pd.testing.assert_frame_equal(make(SECOND, day, "new", again), retrained)
    alone = make(SECOND, day, "new", None)
    assert (alone["tier"] != retrained["tier"]).any(), "the margin should matter here, or the test says nothing"
    pd.testing.assert_frame_equal(make(FIRST, day, "old", first), first)


def test_an_earlier_list_counts_and_a_later_one_does_not() -> None:
    today = make(FIRST, MONDAY, "m", None)
    next_week = make(SECOND, MONDAY + 7 * DAY, "m", today)
    assert (next_week["previous_tier"] == today["tier"]).all()
    pd.testing.assert_frame_equal(make(SECOND, MONDAY + 7 * DAY, "m", next_week), next_week)
    assert previous_tiers(next_week, MONDAY, "m") is None
    assert previous_tiers(None, MONDAY, "m") is None
    assert previous_tiers(today.head(0), MONDAY, "m") is None


def lists(n_lists: int = 5, n: int = 40) -> pd.DataFrame:
    """Lists a week apart of leads whose points wander; every lead misses some list."""
    rng = np.random.default_rng(2)
    walk = 40 + np.cumsum(rng.normal(0, 6, (n_lists, n)), axis=0)
    weeks = [
        with_points(points.tolist()).assign(snapshot_at=MONDAY + week * 7 * DAY)[rng.random(n) < 0.8]
        for week, points in enumerate(walk)
    ]
    return pd.concat(weeks, ignore_index=True).sample(frac=1, random_state=3)


def test_each_list_is_compared_with_the_one_before_it() -> None:
    rows = lists()
    known = facts(rows, asked=(rows["points"] > 60).tolist())
    params = PARAMS.model_validate(PARAMS.model_dump() | {"triggers": [tier_rule("asked", "tier 1")]})
    found = assign_lists(rows, TierContext(params, 4, scale=SCALE, facts=known))
    assert found.index.equals(rows.index)
    days = sorted(rows["snapshot_at"].unique())
    first = rows[rows["snapshot_at"] == days[0]]
    assert found[first.index].equals(assign(first, TierContext(params, 4, facts=known.of(first.index))))
    for earlier, later in pairwise(days):
        before, one = (rows[rows["snapshot_at"] == day] for day in (earlier, later))
        previous = found[before.index].set_axis(pd.Index(before["lead_id"]))
        alone = assign(one, TierContext(params, 4, scale=SCALE, facts=known.of(one.index), previous=previous))
        assert found[one.index].equals(alone)
        place = working_ranks(rows, found, params, known)[one.index]
        assert place.equals(working_rank(one, found[one.index], params, known.of(one.index)))
    unordered = rows.assign(snapshot_at=pd.NaT)
    one_list = unordered.drop_duplicates("lead_id")
    assert assign_lists(one_list, TierContext(PARAMS, 4, scale=SCALE)).equals(assign(one_list, TierContext(PARAMS, 4)))


def test_the_share_that_changed_is_of_leads_on_two_lists_in_a_row() -> None:
    weeks = [MONDAY, MONDAY, MONDAY, MONDAY + 7 * DAY, MONDAY + 7 * DAY, MONDAY + 14 * DAY]
    rows = pd.DataFrame({"lead_id": ["a", "b", "c", "a", "b", "c"], "snapshot_at": weeks})
    assert share_changed(rows, pd.Series(["hot", "hot", "hot", "hot", "warm", "warm"])) == 0.5
    assert np.isnan(share_changed(rows.head(3), pd.Series(["hot", "hot", "hot"])))


def test_a_tier_too_small_for_its_triggers_is_told() -> None:
    rows = with_points([80, 70, 60, 50])
    params = ladder(1.0, "rest", triggers=[tier_rule("asked", "tier 0")], exclusions=[tier_rule("gone", "excluded")])
    known = facts(rows, asked=[True, True, True, False], gone=[False] * 4)
    listed = rows.assign(tier=assign(rows, TierContext(params, 2, facts=known)), explored="no", tier_reason="")
    found = list_summary(listed, params, 2, known, 0.9)
    assert found.overfull == {"tier 0": Overfull(capacity=2, triggered=3)}
    assert found.tiers == {"tier 0": 3, "tier 1": 1}
    assert found.capacity[1].leads == 2
    roomy = list_summary(listed.assign(tier=assign(rows, TierContext(params, 3, facts=known))), params, 3, known, 0.9)
    assert roomy.overfull == {}
    gone = facts(rows, asked=[False] * 4, gone=[False] * 3 + [True])
    listed = listed.assign(tier=assign(rows, TierContext(params, 2, facts=gone)))
    assert list_summary(listed, params, 2, gone, 0.9).tiers == {"tier 0": 2, "tier 1": 1, "excluded": 1}


def test_the_best_come_first_ties_broken_by_lead_however_they_come() -> None:
    leads = pd.DataFrame({"lead_id": list("dbcae"), "probability": [0.5, 0.5, 0.9, 0.5, 0.1]})
    for seed in range(5):
        mixed = leads.sample(frac=1, random_state=seed)
        assert mixed["lead_id"].iloc[best_first(mixed)].tolist() == list("cabde")


def test_where_money_ranks_the_cut_offs_make_tiers_by_score_as_large() -> None:
    """A lead of score 5 with a large deal is no reason to call all that score 5."""
    tiers, kept = ["hot", "hot", "warm", "warm", "cold", "excluded"], "kept warm: within 2 points of the cut-off"
    reasons = ["", "", "", kept, "", "excluded: gone"]
    listed = pd.DataFrame({"score": [5, 90, 80, 30, 40, 70], "tier": tiers, "tier_reason": reasons})
    names = ["hot", "warm", "cold"]
    assert lowest_scores(listed, names) == {"hot": 5, "warm": 80, "cold": 40, "excluded": 70}
    ranked = listed.assign(rank_value=[9.0, 8.0, 7.0, 6.0, 5.0, 4.0])
    assert lowest_scores(ranked, names) == {"hot": 80, "warm": 30, "cold": 5, "excluded": 70}
