"""Folds look forward: what a fold learns from was known before what it is evaluated on began."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cohort.moments import LIST
from models.splitting.forward_folds import Fold, FoldParams, Order, days, forward_folds, in_time, when
from tests.support.tables import DAY, MONDAY, TICK

ORDERS: list[Order] = ["dates", "rows", "none"]


def folds_of(rows: pd.DataFrame, order: Order, count: int = 4, first_share: float = 0.4) -> list[Fold]:
    params = FoldParams(count=count, unordered=count, first_share=first_share, period_rows=5, max_rows=100)
    return forward_folds(in_time(rows, order), order, params, seed=1)


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """Snapshots in any order: moments repeat, labels take their time, positions do not repeat."""
    n = draw(st.integers(5, 80))
    week = draw(st.lists(st.integers(0, 12), min_size=n, max_size=n))
    label = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return snapshots(week, label, draw(st.sampled_from([1, 7, 14, 30])), draw(st.permutations(range(n))))


def snapshots(week: list[int], label: list[int], horizon: int, position: list[int] | None = None) -> pd.DataFrame:
    at = MONDAY + pd.Series(week, dtype="int64") * 7 * DAY
    return pd.DataFrame(
        {
            "lead_id": [f"lead {number // 2}" for number in range(len(week))],
            "snapshot_at": at,
            "known_at": at + horizon * DAY,
            "position": range(len(week)) if position is None else position,
            "label": np.asarray(label, dtype="float64"),
        }
    )


def steady(n_weeks: int = 40, per_week: int = 10, horizon: int = 14) -> pd.DataFrame:
    """As many leads every week, every fifth of which converts."""
    week = np.repeat(np.arange(n_weeks), per_week)
    return snapshots(week.tolist(), (np.arange(len(week)) % 5 == 0).astype(int).tolist(), horizon)


@settings(max_examples=60)
@given(histories(), st.integers(2, 5), st.sampled_from([0.1, 0.4, 0.8]))
def test_what_a_fold_learns_from_was_known_when_its_later_rows_begin(
    rows: pd.DataFrame, count: int, share: float
) -> None:
    rows = in_time(rows, "dates")
    for fold in folds_of(rows, "dates", count, share):
        earlier, later = rows.iloc[fold.earlier], rows.iloc[fold.later]
        begin, end = later["snapshot_at"].min(), later["snapshot_at"].max()
        assert (earlier["known_at"] <= begin).all()
        assert set(fold.earlier) == set(np.flatnonzero(rows["known_at"] <= begin))  # and nothing known is left out
        assert set(fold.later) == set(np.flatnonzero(rows["snapshot_at"].between(begin, end)))  # no moment is cut
        for side in (earlier, later):
            assert set(side["label"]) == {0.0, 1.0}


@settings(max_examples=60)
@given(histories(), st.integers(2, 5), st.sampled_from([0.1, 0.4, 0.8]))
def test_later_parts_follow_each_other_and_end_with_the_last_row(rows: pd.DataFrame, count: int, share: float) -> None:
    for order in ("dates", "rows"):
        folds = folds_of(rows, order, count, share)
        indices = np.concatenate([np.empty(0, dtype="int64"), *(fold.later for fold in folds)])
        assert (np.diff(indices) > 0).all()
        assert len(folds) <= count
    for fold in folds:  # by rows: all that come before
        assert fold.earlier.tolist() == list(range(fold.later[0]))


@settings(max_examples=60)
@given(histories(), st.integers(2, 5))
def test_without_order_each_lead_is_predicted_from_the_others(rows: pd.DataFrame, count: int) -> None:
    rows = in_time(rows, "none")
    for fold in folds_of(rows, "none", count):
        assert sorted([*fold.earlier, *fold.later]) == list(range(len(rows)))
        assert not set(rows["lead_id"].iloc[fold.earlier]) & set(rows["lead_id"].iloc[fold.later])
        assert set(fold.period) == {0}


@settings(max_examples=60)
@given(histories(), st.randoms(use_true_random=False), st.sampled_from(ORDERS))
def test_the_order_of_the_rows_given_does_not_matter(rows: pd.DataFrame, chance: object, order: Order) -> None:
    rows["lead_id"] = [f"lead {number}" for number in range(len(rows))]
    shuffled = rows.sample(frac=1, random_state=len(rows))
    pd.testing.assert_frame_equal(in_time(rows, order), in_time(shuffled, order))
    for one, two in zip(folds_of(rows, order), folds_of(shuffled, order), strict=True):
        for name in ("earlier", "later", "period"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("order", ["dates", "rows"])
def test_folds_are_evaluated_on_about_as_many_conversions(order: Order) -> None:
    rows = in_time(steady(), order)
    folds = folds_of(rows, order)
    won = [rows["label"].iloc[fold.later].sum() for fold in folds]
    assert len(folds) == 4
    assert max(won) - min(won) <= 4
    assert folds[-1].later[-1] == len(rows) - 1
    assert rows["label"].iloc[: folds[0].later[0]].sum() == pytest.approx(0.4 * rows["label"].sum(), abs=2)


def test_where_conversions_come_late_folds_are_short_there() -> None:
    rows = steady()
    rows["label"] *= (np.arange(len(rows)) % 4 == 0) | (rows["snapshot_at"] >= MONDAY + 30 * 7 * DAY)
    won = [in_time(rows, "dates")["label"].iloc[fold.later].sum() for fold in folds_of(rows, "dates")]
    spans = [len(fold.later) for fold in folds_of(rows, "dates")]
    assert max(won) - min(won) <= 4
    assert max(spans) > 2 * min(spans)


def test_a_longer_wait_for_labels_leaves_less_to_learn_from() -> None:
    sizes = [[len(fold.earlier) for fold in folds_of(steady(horizon=horizon), "dates")] for horizon in (7, 14, 70)]
    for shorter, longer in pairwise(sizes):
        assert all(few < many for few, many in zip(longer, shorter, strict=True))


def test_periods_are_the_dates_or_a_number_of_rows() -> None:
    rows = in_time(steady(), "dates")
    for fold in folds_of(rows, "dates"):
        at = rows["snapshot_at"].iloc[fold.later].reset_index(drop=True)
        assert at.groupby(fold.period).nunique().max() == 1
        assert at.nunique() == fold.period.max() + 1
    for fold in folds_of(rows, "rows"):
        assert np.bincount(fold.period)[:-1].tolist() == [5] * fold.period.max()
        assert (np.diff(fold.period) >= 0).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_outcome_gives_no_fold(order: Order, outcome: float) -> None:
    assert folds_of(steady().assign(label=outcome), order) == []


def test_one_moment_gives_no_fold() -> None:
    assert folds_of(snapshots([0] * 40, [0, 1] * 20, 7), "dates") == []


def test_labels_that_come_too_late_give_no_fold() -> None:
    assert folds_of(steady(horizon=1000), "dates") == []


def test_folds_whose_later_rows_have_one_outcome_are_left_out() -> None:
    rows = steady()
    late = rows["snapshot_at"] >= MONDAY + 30 * 7 * DAY
    all_won = rows.assign(label=np.where(late, 1.0, rows["label"]))
    folds = folds_of(all_won, "dates", first_share=0.1)
    assert len(folds) == 2
    assert all(0 < all_won["label"].iloc[fold.later].mean() < 1 for fold in folds)


def test_when_counts_days_positions_or_nothing() -> None:
    rows = snapshots([0, 1, 3], [0, 1, 0], 7, [9, 4, 5])
    assert np.diff(when(rows, "dates")).tolist() == [7.0, 14.0]
    assert when(rows, "rows").tolist() == [9.0, 4.0, 5.0]
    assert when(rows, "none").tolist() == [0.0, 0.0, 0.0]
    for unit in ("us", "ns", "s"):
        assert days(pd.Series(np.array(["1970-01-03"], dtype=f"datetime64[{unit}]"))).tolist() == [2.0]


def test_rows_between_lists_are_learned_from_and_never_evaluated_on() -> None:
    lists = in_time(steady(), "dates")
    between = lists.assign(snapshot_at=lists["snapshot_at"] + TICK, known_at=lists["known_at"] + TICK, label=1.0)
    both = in_time(pd.concat([lists.assign(moment=LIST), between.assign(moment="creation")]), "dates")
    for alone, fold in zip(folds_of(lists, "dates"), folds_of(both, "dates"), strict=True):
        later, expected = both.iloc[fold.later], lists.iloc[alone.later]
        assert (later["moment"] == LIST).all()
        assert later[["lead_id", "snapshot_at"]].to_numpy().tolist() == (
            expected[["lead_id", "snapshot_at"]].to_numpy().tolist()
        )
        earlier = both.iloc[fold.earlier]
        assert earlier["moment"].eq(LIST).sum() == len(alone.earlier)
        assert earlier["moment"].ne(LIST).sum() > 0
        assert (earlier["known_at"] <= later["snapshot_at"].min()).all()
