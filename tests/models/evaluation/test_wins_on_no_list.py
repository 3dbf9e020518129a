"""Wins on no list: those that the lists at risk do not hold, each with one reason, and no future row moves them."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cohort.labels import label_dated
from features.cohort.snapshots import at_risk, grid
from features.schema.declarations import ReviveParams, SnapshotParams
from models.evaluation.intervals import clopper_pearson
from models.evaluation.list_coverage import BETWEEN, EARLY, LOST, REASONS, TOO_OLD, TOO_YOUNG, ListCoverage
from models.evaluation.wins_on_no_list import DatedWins, by_interval, cover, reasons
from tests.support.paths import REAL
from tests.support.small_source import EXAMPLES
from tests.support.tables import DAY, HOUR, MONDAY, TICK, Row, frame

UNTIL = MONDAY + 400 * DAY
WEEKLY = SnapshotParams(min_age_days=1, max_age_days=60, horizon_days=30)  # through a Monday
DAILY = WEEKLY.model_copy(update={"every_days": 1, "min_age_days": 0})

moments = st.builds(
    lambda days, nudge: MONDAY + days * DAY + nudge,
    st.integers(-10, 60),
    st.sampled_from([0 * DAY, 0 * DAY, TICK, -TICK, 9 * HOUR]),
)
histories = st.lists(
    st.tuples(moments, st.none() | moments, st.none() | moments).map(
        lambda lead: (lead[0], *(None if at is None else max(at, lead[0]) for at in lead[1:]))
    ),
    min_size=1,
    max_size=8,
)
grids = st.builds(
    lambda every, low, span, horizon: WEEKLY.model_copy(
        update={"every_days": every, "min_age_days": low, "max_age_days": max(1, low + span), "horizon_days": horizon}
    ),
    st.sampled_from([1, 7, 10]),
    st.sampled_from([0, 1, 7]),
    st.sampled_from([0, 5, 40]),
    st.sampled_from([1, 5, 30]),
)
History = list[tuple[pd.Timestamp, pd.Timestamp | None, pd.Timestamp | None]]


def tables(history: History) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leads 0, 1, 2 ... as (created_at, converted_at, lost_at)."""
    leads: list[Row] = [{"lead_id": f"{n}", "created_at": created} for n, (created, _, _) in enumerate(history)]
    ends: list[Row] = [
        {"lead_id": f"{n}", "converted_at": won, "lost_at": lost}
        for n, (_, won, lost) in enumerate(history)
        if won is not None or lost is not None
    ]
    return frame("leads", leads), frame("outcomes", ends)


def reasons_of(history: History, params: SnapshotParams) -> dict[str, str]:
    rows = DatedWins.of(*tables(history), params, UNTIL).rows
    return dict(zip(rows["lead_id"], rows["reason"], strict=True))


@pytest.mark.parametrize(
    ("created", "won", "lost", "params", "reason"),
    [
        (1, 1, None, WEEKLY, TOO_YOUNG),  # created on Tuesday, won at once
        (1, 2, None, WEEKLY, EARLY),  # a day old, and no list before Monday
        (1, 6, None, WEEKLY, EARLY),
        (1, 7, None, WEEKLY, ""),  # on the Monday itself, as the list was made first
        (1, 8, None, WEEKLY, ""),
        (0, 0, None, DAILY, EARLY),  # a list of the moment of creation does not know the lead yet
        (0, 1, None, DAILY, ""),
        (1, 85, None, WEEKLY, ""),  # last listed at 55 days, won 29 days later
        (1, 86, None, WEEKLY, TOO_OLD),
        (1, 20, None, WEEKLY.model_copy(update={"horizon_days": 5}), BETWEEN),  # listed on day 14, until day 19
        (1, 30, 6, WEEKLY, LOST),
        (1, 8, 7, WEEKLY, ""),  # lost on the very Monday, and still on its list
        (1, 6, 3, WEEKLY, EARLY),  # lost before, which changes nothing
        (1, 20, 40, WEEKLY, ""),  # a loss after the win is none
    ],
)
def test_a_win_on_no_list_has_one_reason(
    created: int, won: int, lost: int | None, params: SnapshotParams, reason: str
) -> None:
    at = None if lost is None else MONDAY + lost * DAY
    assert reasons_of([(MONDAY + created * DAY, MONDAY + won * DAY, at)], params) == {"0": reason}


@settings(max_examples=50)
@given(histories, grids)
def test_it_is_the_complement_of_the_labelled_lists(history: History, params: SnapshotParams) -> None:
    leads, outcomes = tables(history)
    lists = grid(leads["created_at"].min(), UNTIL, params)
    held = label_dated(at_risk(leads, outcomes, lists, params), outcomes, UNTIL + 40 * DAY, params)
    on_a_list = set(held.loc[held["label"] == 1, "lead_id"])
    assert {lead for lead, reason in reasons_of(history, params).items() if not reason} == on_a_list


@settings(max_examples=25)
@given(histories, histories, grids)
def test_later_rows_change_nothing(history: History, later: History, params: SnapshotParams) -> None:
    seen = reasons_of(history, params)
    shifted = [tuple(None if at is None else at + 100 * DAY for at in lead) for lead in later]
    also = [(created, won, lost or MONDAY + 90 * DAY) for created, won, lost in history]  # lost long after each win
    assert reasons_of([*also, *shifted], params).items() >= seen.items()  # type: ignore[list-item]


@settings(max_examples=25)
@given(histories, grids, st.lists(moments, max_size=9), st.lists(moments, max_size=3))
def test_one_more_list_never_leaves_more_wins_out(
    history: History, params: SnapshotParams, made: list[pd.Timestamp], more: list[pd.Timestamp]
) -> None:
    leads, outcomes = tables(history)
    wins = outcomes.dropna(subset="converted_at").merge(leads, on="lead_id")
    fewer, with_more = (
        reasons(wins, pd.DatetimeIndex(sorted(set(times))).as_unit("us"), params) for times in (made, made + more)
    )
    assert not ((fewer == "") & (with_more != "")).any()


@settings(max_examples=20)
@given(histories, grids, st.lists(st.tuples(st.integers(0, 7), moments), max_size=4))
def test_the_shorter_the_interval_the_more_wins_it_could_come_before(
    history: History, params: SnapshotParams, acted: list[tuple[int, pd.Timestamp]]
) -> None:
    leads, outcomes = tables(history)
    wins = outcomes.dropna(subset="converted_at").merge(leads, on="lead_id")
    rows = [{"lead_id": f"{lead}", "revived_at": at} for lead, at in acted]
    revivals = pd.DataFrame(rows, columns=["lead_id", "revived_at"]).astype({"revived_at": "datetime64[us]"})
    again = params.model_copy(update={"revive_on": ReviveParams(days=14)})
    for population, found in ((params, None), (again, revivals)):
        held = [one.held for one in by_interval(wins, population, found, 0.9)]
        assert held == sorted(held), "weekly, daily, hourly, at the moment"
        assert all(one.wins == len(wins) for one in by_interval(wins, population, found, 0.9))


def test_what_each_interval_could_come_before_by_hand() -> None:
    """Won after half an hour, after five hours, on Friday, and after the next Monday."""
    begin = MONDAY + DAY + 9 * HOUR
    history: History = [
        (begin, begin + 0.5 * HOUR, None),
        (begin, begin + 5 * HOUR, None),
        (begin, begin + 3 * DAY, None),
        (begin, begin + 7 * DAY, None),
    ]
    leads, outcomes = tables(history)
    found = by_interval(outcomes.merge(leads, on="lead_id"), WEEKLY, None, 0.9)
    assert [(one.by, one.held) for one in found] == [
        ("weekly list, leads from 1 day on", 1),
        ("daily list, leads from their creation on", 2),
        ("hourly list", 3),
        ("scored at the moment", 4),
    ]
    assert (found[0].held_share_low, found[0].held_share_high) == pytest.approx(clopper_pearson(1, 4, 0.9))


def example() -> ListCoverage:
    """Four wins from 5 March on, and one a year later."""
    history: History = [
        (MONDAY + DAY, MONDAY + DAY + HOUR, None),
        (MONDAY + DAY, MONDAY + 5 * DAY, None),
        (MONDAY + DAY, MONDAY + 9 * DAY, None),
        (MONDAY + DAY, MONDAY + 90 * DAY, None),
        (MONDAY + 300 * DAY, MONDAY + 300 * DAY, None),
        (MONDAY + DAY, None, MONDAY + 9 * DAY),
    ]
    wins = DatedWins.of(*tables(history), WEEKLY, UNTIL)
    settings = WEEKLY.model_dump(include={"every_days", "min_age_days", "max_age_days", "horizon_days"})
    period, whole = (wins.count(MONDAY, MONDAY + days * DAY, 0.9) for days in (100, 365))
    return ListCoverage(**settings, period=period, history=whole)


def test_a_small_history_by_hand() -> None:
    one, every = example().period, example().history
    assert (one.first, one.last, one.wins, one.on_none, one.before) == ("2024-03-04", "2024-06-11", 4, 3, 2)
    assert {name: n for name, n in one.reasons.items() if n} == {TOO_YOUNG: 1, EARLY: 1, TOO_OLD: 1}
    assert [(age.days, age.wins, age.on_none) for age in one.ages] == [
        ("0", 1, 1),
        ("1 to 6", 1, 1),
        ("7 to 27", 1, 0),
        ("56 to 111", 1, 1),
    ]
    assert (one.on_none_share_low, one.on_none_share_high) == pytest.approx(clopper_pearson(3, 4, 0.9))
    assert (every.wins, every.before, every.daily_before, every.daily_before_share) == (5, 3, 2, 0.4)
    assert tuple(one.reasons) == REASONS


def test_the_sentence_says_n_period_interval_reasons_and_what_a_daily_list_would_miss() -> None:
    coverage = example()
    assert coverage.sentence == (
        "Of 4 wins (2024-03-04 to 2024-06-11) 75.0% (24.9% to 98.7%) were on no list: 1 of leads less than 1 day old, "
        "1 before the lead's first list, 1 of leads more than 60 days old. 50.0% (9.8% to 90.2%) came before any list "
        "could hold the lead; with a daily list it would be 25.0% (1.3% to 75.1%). Over the whole history (2024-03-04 "
        "to 2025-03-03) 60.0% (18.9% to 92.4%) of 5 wins came before any list; with a daily list it would be 40.0% "
        "(7.6% to 81.1%)."
    )
    assert "daily" not in coverage.model_copy(update={"every_days": 1, "min_age_days": 0}).sentence
    nothing = DatedWins.of(*tables([(MONDAY, None, None)]), WEEKLY, UNTIL).count(MONDAY, UNTIL, 0.9)
    assert (nothing.wins, nothing.on_none_share, nothing.ages) == (0, None, [])
    empty = coverage.model_copy(update={"period": nothing})
    assert empty.sentence.startswith("No win is known of 2024-03-04 to")


SCHOOL = REAL / "learning_365"


@pytest.mark.skipif(not SCHOOL.is_dir(), reason="the example's data are not here")
def test_two_buyers_in_three_came_before_any_list_of_the_online_school() -> None:
    student = {"student_id": "lead_id", "date_registered": "created_at", "date_purchased": "converted_at"}
    leads, bought = (
        pd.read_csv(SCHOOL / f"365_student_{name}.csv", parse_dates=[date], usecols=["student_id", date])
        .rename(columns=student)
        .sort_values(student[date])
        .drop_duplicates("lead_id")
        for name, date in (("info", "date_registered"), ("purchases", "date_purchased"))
    )
    params = SnapshotParams.model_validate(yaml.safe_load((EXAMPLES / "learning_365.yaml").read_text())["snapshots"])
    until = bought["converted_at"].max()
    wins = DatedWins.of(leads, bought.assign(lost_at=pd.NaT), params, until)
    one = cover(wins, params, (until - 60 * DAY, until - 30 * DAY), until, 0.9).history
    assert (one.wins, one.before, one.daily_before) == (2135, 1401, 1019)
    assert one.reasons == {TOO_YOUNG: 1019, EARLY: 382, BETWEEN: 0, TOO_OLD: 73, LOST: 0}
    assert (one.first, one.last) == ("2022-01-01", "2022-10-20")
