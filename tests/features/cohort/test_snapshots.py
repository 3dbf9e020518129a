"""The rows that exist: every open lead at every moment of the grid, and nobody else."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cohort.snapshots import at_risk, grid, one_per_lead
from features.schema.declarations import SnapshotParams
from tests.support.tables import DAY, HOUR, MONDAY, PARAMS, TICK, frame

WEEKLY = PARAMS.snapshots.model_copy(update={"anchor": dt.date(2024, 1, 1)})
times = st.builds(
    lambda days, nudge: MONDAY + days * DAY + nudge,
    st.integers(-30, 60),
    st.sampled_from([0 * DAY, 0 * DAY, TICK, -TICK, 9 * HOUR]),
)
limits = st.builds(
    lambda low, span, every: WEEKLY.model_copy(
        update={"min_age_days": low, "max_age_days": max(1, low + span), "every_days": every}
    ),
    st.sampled_from([0, 1, 7]),
    st.sampled_from([0, 1, 14, 90]),
    st.sampled_from([1, 7, 10]),
)


def outcome(lead: str, converted: pd.Timestamp | None = None, lost: pd.Timestamp | None = None) -> dict[str, object]:
    return {"lead_id": lead, "converted_at": converted, "lost_at": lost}


def of_a(created: pd.Timestamp, at: pd.Timestamp, params: SnapshotParams, *outcomes: dict[str, object]) -> bool:
    """Whether a lead is at risk at one moment."""
    leads = frame("leads", [{"lead_id": "a", "created_at": created}])
    return len(at_risk(leads, frame("outcomes", outcomes), pd.DatetimeIndex([at]).as_unit("us"), params)) == 1


@given(
    st.lists(st.tuples(times, st.none() | times, st.none() | times), max_size=6),
    st.lists(times, max_size=8, unique=True),
    limits,
)
def test_the_population_at_risk(
    leads: list[tuple[pd.Timestamp, pd.Timestamp | None, pd.Timestamp | None]],
    moments: list[pd.Timestamp],
    params: SnapshotParams,
) -> None:
    expected = [
        (f"lead {number}", at)
        for number, (created, converted, lost) in enumerate(leads)
        for at in sorted(moments)
        if created < at
        and params.min_age_days * DAY <= at - created <= params.max_age_days * DAY
        and (converted is None or at <= converted)
        and (lost is None or at <= lost)
    ]
    rows = [{"lead_id": f"lead {number}", "created_at": created} for number, (created, _, _) in enumerate(leads)]
    ends = [outcome(f"lead {number}", *ends) for number, (_, *ends) in enumerate(leads) if any(ends)]
    index = pd.DatetimeIndex(sorted(moments)).as_unit("us")
    result = at_risk(frame("leads", rows[::-1]), frame("outcomes", ends), index, params)
    assert list(result.itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("min_age", [0, 1])
def test_a_lead_created_at_the_moment_is_not_in(min_age: int) -> None:
    params = WEEKLY.model_copy(update={"min_age_days": min_age})
    assert not of_a(MONDAY, MONDAY, params)
    assert of_a(MONDAY - TICK, MONDAY, params) is (min_age == 0)
    assert of_a(MONDAY - DAY, MONDAY, params)


def test_a_lead_that_closes_at_the_moment_is_still_open_then() -> None:
    for closes in ("converted", "lost"):
        assert of_a(MONDAY - 9 * DAY, MONDAY, WEEKLY, outcome("a", **{closes: MONDAY}))
        assert not of_a(MONDAY - 9 * DAY, MONDAY, WEEKLY, outcome("a", **{closes: MONDAY - TICK}))


def test_the_oldest_age_is_in() -> None:
    oldest = WEEKLY.max_age_days * DAY
    assert of_a(MONDAY - oldest, MONDAY, WEEKLY)
    assert not of_a(MONDAY - oldest - TICK, MONDAY, WEEKLY)


@given(times, times, st.integers(1, 40), st.dates(dt.date(2023, 1, 1), dt.date(2025, 12, 31)))
def test_the_grid(first: pd.Timestamp, last: pd.Timestamp, every: int, anchor: dt.date) -> None:
    params = WEEKLY.model_copy(update={"every_days": every, "anchor": anchor})
    midnights = [first.normalize() + days * DAY for days in range((last - first).days + 2)]
    expected = [at for at in midnights if first <= at <= last and (at.date() - anchor).days % every == 0]
    result = grid(first, last, params)
    assert (list(result), result.unit) == (expected, "us")


def test_one_row_a_lead_where_there_are_no_dates() -> None:
    leads = pd.DataFrame({"lead_id": ["b", "a"], "position": [4, 2]}, index=[7, 3])
    result = one_per_lead(leads)
    assert result[["lead_id", "position"]].to_dict("list") == {"lead_id": ["b", "a"], "position": [4, 2]}
    assert result["snapshot_at"].isna().all()
    assert list(result.index) == [0, 1]
