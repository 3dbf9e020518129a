"""Data end where their rows do, whatever a few of them say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cohort.watermark import DaysOfRows

JUNE = np.arange("2024-01-01", "2024-07-01", dtype="datetime64[D]")


def days(*more: str, upto: np.ndarray = JUNE, each: int = 5) -> DaysOfRows:
    added = np.array(more, "datetime64[D]")
    return DaysOfRows(np.append(upto, added), np.append(np.full(len(upto), each), np.ones(len(added), int)))


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("2024-08-14",),  # a meeting, booked 45 days ahead
        ("2031-06-30",),
        ("2052-01-01",),
        ("2024-08-14", "2024-08-15", "2031-06-30", "2099-12-31"),
        ("2024-07-20",),
    ],
)
def test_a_few_rows_after_a_gap_are_strays(more: tuple[str, ...]) -> None:
    assert days(*more).end == np.datetime64("2024-06-30")


def test_what_has_no_gap_like_no_other_before_it_is_data() -> None:
    assert days("2024-07-05").end == np.datetime64("2024-07-05")  # a quiet week
    monthly = np.arange("2020-01", "2024-07", dtype="datetime64[M]").astype("datetime64[D]")
    assert days("2024-08-01", upto=monthly).end == np.datetime64("2024-08-01")
    many = DaysOfRows(np.append(JUNE, np.datetime64("2024-08-14")), np.append(np.full(len(JUNE), 5), 200))
    assert many.end == np.datetime64("2024-08-14")  # not a few
    assert days("2024-08-14", upto=JUNE[:2], each=1).end == np.datetime64("2024-08-14")  # too little to tell


@given(st.lists(st.integers(15, 30_000), min_size=1, max_size=9, unique=True))
def test_no_handful_of_later_rows_moves_the_end(later: list[int]) -> None:
    assert days(*(str(JUNE[-1] + day) for day in sorted(later))).end == JUNE[-1]


def test_a_table_has_stopped_where_it_is_silent_for_longer_than_it_ever_was() -> None:
    until = np.datetime64("2024-06-30")
    weekly = JUNE[::7]
    assert days(upto=JUNE[:120]).stopped_before(until)  # two months
    assert days(upto=JUNE[:-4]).stopped_before(until) and not days(upto=JUNE[:-3]).stopped_before(until)
    assert days(upto=weekly[:-2]).stopped_before(until) and not days(upto=weekly[:-1]).stopped_before(until)
    assert not days(upto=JUNE[:2]).stopped_before(until)  # two days show no rhythm
