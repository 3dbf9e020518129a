"""A lead past its age comes back when it acts: on lists, between them, in the count of wins, and for serve alike."""

from __future__ import annotations

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cohort.moments import acted_lately, age_moments, came_back, open_moments
from features.cohort.snapshots import at_risk, revivals_of
from features.schema.declarations import ReviveParams, SnapshotParams
from models.evaluation.list_coverage import TOO_OLD
from models.evaluation.wins_on_no_list import DatedWins
from tests.support.tables import DAY, HOUR, MONDAY, TICK, Row, frame, table

YOUNG, DAYS = 30, 10
PARAMS = SnapshotParams(max_age_days=YOUNG, revive_on=ReviveParams(days=DAYS), horizon_days=5)
LEADS = frame("leads", [{"lead_id": "a", "created_at": MONDAY}])
LISTS = pd.DatetimeIndex([MONDAY + number * DAY for number in range(1, 90)]).as_unit("us")


def act(days: float, late: float = 0, event_type: str = "visit", direction: str = "inbound") -> Row:
    at = MONDAY + days * DAY
    row = {"lead_id": "a", "event_at": at, "known_at": at + late * DAY}
    return row | {"event_type": event_type, "direction": direction}


def revivals(events: list[Row], params: SnapshotParams = PARAMS) -> pd.DataFrame | None:
    return revivals_of(ibis.memtable(table("events", events)), LEADS, params)


def ages(events: list[Row], params: SnapshotParams = PARAMS, ends: list[Row] | None = None) -> list[int]:
    rows = at_risk(LEADS, frame("outcomes", ends or []), LISTS, params, revivals(events, params))
    return ((rows["snapshot_at"] - MONDAY) // DAY).to_list()


def test_a_lead_past_its_age_is_there_again_for_some_days_after_it_acted() -> None:
    young = [*range(1, YOUNG + 1)]
    assert ages([]) == young
    assert ages([act(50.5)]) == [*young, *range(51, 61)]
    assert ages([act(50.5, late=3)]) == [*young, *range(54, 64)]  # from when it was known
    assert ages([act(50.5), act(52.5)]) == [*young, *range(51, 63)]
    assert ages([act(25.5)]) == [*young, *range(31, 36)]  # it acted before it was too old
    assert ages([act(50.5, direction="outbound")]) == young
    closed = [{"lead_id": "a", "lost_at": MONDAY + 55 * DAY}]
    assert ages([act(50.5)], ends=closed) == [*young, *range(51, 56)]


def test_only_some_types_bring_it_back() -> None:
    params = PARAMS.model_copy(update={"revive_on": ReviveParams(types=["demo"], days=DAYS)})
    assert max(ages([act(50.5)], params)) == YOUNG
    assert max(ages([act(50.5, event_type="demo", direction="outbound")], params)) == 60


def test_without_the_setting_nobody_comes_back_and_with_it_the_times_are_needed() -> None:
    plain = SnapshotParams(max_age_days=YOUNG)
    assert revivals([act(50.5)], plain) is None
    assert "revive_on" not in plain.model_dump()
    with pytest.raises(ValueError, match="revive_on needs"):
        at_risk(LEADS, frame("outcomes", []), LISTS, PARAMS)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([19.0, 20.5, 29.0, 35.0, 60.0]), st.sampled_from([0.0, 0.5, 12.0])), max_size=4),
    st.sampled_from([*range(1, 80)]),
    st.sampled_from([0 * DAY, TICK, -TICK, 6 * HOUR]),
)
def test_lists_moments_and_one_lead_agree_and_no_later_event_matters(
    acts: list[tuple[float, float]], day: int, nudge: pd.Timedelta
) -> None:
    at = MONDAY + day * DAY + nudge
    events = [act(*one) for one in acts]
    found = revivals(events)
    assert found is not None
    one = pd.DatetimeIndex([at]).as_unit("us")
    listed = len(at_risk(LEADS, frame("outcomes", []), one, PARAMS, found)) == 1
    young = at - MONDAY <= YOUNG * DAY
    assert listed == (young or acted_lately(table("events", events), at, PARAMS))
    rows = pd.DataFrame({"lead_id": ["a"], "snapshot_at": pd.Series([at], dtype="datetime64[us]")})
    assert listed == (young or bool(came_back(rows, found, PARAMS)[0]))
    known = [row for row in events if row["event_at"] < at and row["known_at"] <= at]
    assert listed == (len(at_risk(LEADS, frame("outcomes", []), one, PARAMS, revivals(known))) == 1)


def test_a_moment_of_an_old_lead_is_one_once_it_acted() -> None:
    moments = age_moments(LEADS, [50 * 24, 51 * 24, 70 * 24], "times")
    found = open_moments(moments, LEADS, frame("outcomes", []), PARAMS, revivals([act(50.5)]))
    assert found["moment"].to_list() == ["51 days"]


def test_a_win_of_an_old_lead_is_on_a_list_once_it_acted() -> None:
    params = PARAMS.model_copy(update={"every_days": 7})

    def reason(won: float, events: list[Row]) -> str:
        ends = frame("outcomes", [{"lead_id": "a", "converted_at": MONDAY + won * DAY}])
        wins = DatedWins.of(LEADS, ends, params, MONDAY + 90 * DAY, revivals(events, params))
        return str(wins.rows["reason"][0])

    assert reason(58.5, []) == TOO_OLD
    assert reason(58.5, [act(50.5)]) == ""  # on the list of day 56
    assert reason(53.5, [act(50.5)]) == TOO_OLD  # before the next list
    assert reason(58.5, [act(57.5)]) == TOO_OLD
