"""Moments between lists: which there are, who is open at them, and that nothing later moves them."""

from __future__ import annotations

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.cohort.moments import (
    INBOUND,
    Grain,
    age_moments,
    all_moments,
    days_only,
    inbound_moments,
    moment_kinds,
    open_moments,
)
from features.schema.declarations import MomentParams, SnapshotParams
from tests.support.tables import DAY, HOUR, MONDAY, TICK, Row, frame, table

CREATED = MONDAY + 9 * HOUR
LEADS = frame("leads", [{"lead_id": "a", "created_at": CREATED}])
POPULATION = SnapshotParams(max_age_days=20)
IN_DAYS = frame("leads", [{"lead_id": "a", "created_at": MONDAY}])


def acts(*times: pd.Timestamp, lead: str = "a", late: pd.Timedelta = 0 * DAY, direction: str = "inbound") -> list[Row]:
    return [{"lead_id": lead, "event_at": at, "known_at": at + late, "direction": direction} for at in times]


def moments_after(events: list[Row], grain: Grain = "times") -> list[pd.Timestamp]:
    found = inbound_moments(ibis.memtable(table("events", events)), grain)
    assert (found["moment"] == INBOUND).all()
    return found["snapshot_at"].to_list()


@pytest.mark.parametrize(
    ("leads", "grain", "expected"),
    [
        (LEADS, "times", [CREATED + TICK, CREATED + HOUR + TICK, CREATED + DAY + TICK]),  # its own form counts
        (IN_DAYS, "created in days", [MONDAY, MONDAY + DAY]),  # nothing of the day counts, and hours are not known
        (LEADS, "facts in days", [MONDAY + DAY, MONDAY + DAY, MONDAY + 2 * DAY]),  # what came first is not known before
    ],
)
def test_ages_are_moments_as_fine_as_times_are_known(
    leads: pd.DataFrame, grain: Grain, expected: list[pd.Timestamp]
) -> None:
    assert age_moments(leads, [0, 1, 24], grain)["snapshot_at"].to_list() == expected


def test_a_lead_that_acts_often_counts_little_more() -> None:
    often = [CREATED + number * HOUR for number in range(100)]
    expected = [often[number - 1] + TICK for number in (1, 2, 4, 8, 16, 32, 64)]
    assert moments_after(acts(*often)) == expected
    assert moments_after(acts(*often, *often)) == expected  # two events of one moment are one moment
    assert moments_after(acts(*often, direction="outbound")) == []


def test_an_event_is_a_moment_once_it_is_known() -> None:
    assert moments_after(acts(CREATED, late=2 * HOUR)) == [CREATED + 2 * HOUR]
    assert moments_after(acts(MONDAY, MONDAY + DAY), "facts in days") == [MONDAY + DAY, MONDAY + 2 * DAY]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), max_size=8),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(25, 80)), max_size=8),
)
def test_no_later_event_moves_an_earlier_moment(earlier: list[tuple[str, int]], later: list[tuple[str, int]]) -> None:
    until = max([CREATED, *(CREATED + hours * HOUR for _, hours in earlier)])
    first = [row for lead, hours in earlier for row in acts(CREATED + hours * HOUR, lead=lead)]
    after = [row for lead, hours in later for row in acts(max(CREATED + hours * HOUR, until + TICK), lead=lead)]
    params = MomentParams()
    known, more = (
        all_moments(LEADS, ibis.memtable(table("events", rows)), params, "times") for rows in (first, first + after)
    )
    same = more[(more["snapshot_at"] <= until + TICK)].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, known[known["snapshot_at"] <= until + TICK].reset_index(drop=True))


def test_who_is_open_at_a_moment() -> None:
    leads = frame("leads", [{"lead_id": name, "created_at": CREATED} for name in "abcd"])
    ends = [
        {"lead_id": "a", "converted_at": CREATED + HOUR},
        {"lead_id": "b", "lost_at": CREATED + DAY},
        {"lead_id": "d", "converted_at": CREATED},
    ]
    moments = age_moments(leads, [0, 1, 24, 480], "times")
    found = open_moments(pd.concat([moments, moments]), leads, frame("outcomes", ends), POPULATION)
    assert found.groupby("lead_id")["moment"].agg(list).to_dict() == {
        "a": ["creation"],
        "b": ["creation", "1 hour"],
        "c": ["creation", "1 hour", "1 day", "20 days"],
    }


def test_days_alone_are_found() -> None:
    days = pd.Series([MONDAY, pd.NaT, MONDAY + DAY], dtype="datetime64[us]")
    assert days_only(days)
    assert not days_only(pd.concat([days, pd.Series([CREATED])]))
    assert not days_only(days.iloc[:0])


def test_the_parameters_name_kinds_and_are_not_there_by_default() -> None:
    assert moment_kinds(MomentParams()) == ["creation", "1 hour", "1 day", "7 days", INBOUND]
    assert "moments" not in SnapshotParams().model_dump()  # so that no model's identity changes
    for wrong in ({"ages_hours": [1, 0]}, {"ages_hours": [], "after_inbound": False}):
        with pytest.raises(ValidationError):
            MomentParams.model_validate(wrong)
