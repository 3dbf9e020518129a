"""Nothing that trains was learned after what tests began; the parts are all rows, once each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.splitting.holdout import (
    PARTS,
    SplitParams,
    draw,
    split_at_random,
    split_by_hash,
    split_by_position,
    split_by_time,
)
from tests.support.tables import DAY, MONDAY, TICK, moments

USUAL = SplitParams(test_share=0.25)
shares = st.builds(lambda test: SplitParams(test_share=test), st.sampled_from([0.01, 0.25, 0.5, 0.9]))


def weekly(weeks: list[int], horizon: int) -> pd.DataFrame:
    rows = moments([(f"lead {number % 5}", MONDAY + week * 7 * DAY) for number, week in enumerate(weeks)])
    return rows.assign(known_at=rows["snapshot_at"] + horizon * DAY)


@settings(max_examples=100)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.sampled_from([1, 7, 8, 14, 15, 30, 90]), shares)
def test_the_embargo_holds_and_no_row_is_lost(weeks: list[int], horizon: int, params: SplitParams) -> None:
    rows = weekly(weeks, horizon)
    part = split_by_time(rows, params)
    assert part.index.equals(rows.index)
    assert set(part) <= set(PARTS)
    test_start = rows.loc[part == "test", "snapshot_at"].min()
    known, at = rows["known_at"], rows["snapshot_at"]
    assert (part[at >= test_start] == "test").all()
    assert (at[part == "test"] >= test_start).all()
    assert (known[part == "train"] <= test_start).all()
    assert (known[part == "embargo"] > test_start).all()


def test_the_parts_of_forty_weeks() -> None:
    """The last 10 weeks test; labels take 5 weeks, so those of the 4 weeks before came too late to train on."""
    part = split_by_time(weekly(list(range(40)), 35), USUAL)
    assert list(part) == ["train"] * 26 + ["embargo"] * 4 + ["test"] * 10


def test_a_label_known_as_the_test_begins_is_known_in_time() -> None:
    """Where labels take a week no week is lost; where they take a moment more, the one before the test is."""
    assert Counter(split_by_time(weekly(list(range(20)), 7), USUAL)) == {"train": 15, "test": 5}
    later = weekly(list(range(20)), 7)
    later["known_at"] += TICK
    assert Counter(split_by_time(later, USUAL)) == {"train": 14, "embargo": 1, "test": 5}


def test_where_no_label_is_known_in_time_nothing_trains() -> None:
    assert Counter(split_by_time(weekly([0, 1, 2, 3], 90), USUAL)) == {"embargo": 3, "test": 1}


@pytest.mark.parametrize(("conversions", "tested"), [(1, 2), (2, 2), (4, 4), (5, 6), (10, 10), (11, 10), (999, 10)])
def test_the_test_is_as_short_as_the_conversions_allow_and_never_longer_than_its_share(
    conversions: int, tested: int
) -> None:
    """Of forty weeks every second has two leads that convert, the last but one first; the share is ten weeks."""
    rows = weekly(sorted([*range(40)] * 2), 35)
    rows["label"] = (rows.index // 2 % 2 == 0).astype("float64")
    part = split_by_time(rows, USUAL.model_copy(update={"test_conversions": conversions}))
    assert (part == "test").sum() == 2 * tested
    assert (part == "embargo").sum() == 2 * 4
    assert list(part) == sorted(part, key=["train", "embargo", "test"].index)


def test_without_any_conversion_the_test_is_its_share() -> None:
    few = USUAL.model_copy(update={"test_conversions": 5})
    rows = weekly(list(range(40)), 35)
    assert split_by_time(rows.assign(label=0.0), few).equals(split_by_time(rows, USUAL))


@given(st.permutations(range(20)))
def test_by_position_the_last_rows_test(order: list[int]) -> None:
    position = pd.Series([index * 3 for index in order], index=range(100, 120))
    part = split_by_position(position, USUAL)
    assert part.index.equals(position.index)
    assert list(part.iloc[np.argsort(order)]) == ["train"] * 15 + ["test"] * 5


@given(st.lists(st.text(max_size=4), min_size=1, max_size=30), st.lists(st.text(max_size=4), max_size=30))
def test_by_hash_a_lead_stays_on_its_side(leads: list[str], others: list[str]) -> None:
    ids = pd.Series(leads + others, dtype="str")
    together, alone = split_by_hash(ids, 1, USUAL), split_by_hash(ids[: len(leads)], 1, USUAL)
    assert all(len(set(sides)) == 1 for _, sides in together.groupby(ids.to_numpy()))
    assert list(together[: len(leads)]) == list(alone)
    assert set(together) <= {"train", "test"}


def test_by_hash_the_shares_come_out() -> None:
    ids = pd.Series([f"lead {number}" for number in range(4000)])
    share = split_by_hash(ids, 1, USUAL).value_counts(normalize=True)
    assert share.to_dict() == pytest.approx({"train": 0.75, "test": 0.25}, abs=0.03)
    assert not split_by_hash(ids, 1, USUAL).equals(split_by_hash(ids, 2, USUAL))


@pytest.mark.parametrize("dated", [True, False])
def test_at_random_both_parts_get_rows(dated: bool) -> None:
    rows = moments(
        [
            (f"lead {number}", MONDAY + week * 7 * DAY if dated else pd.NaT)
            for number in range(500)
            for week in range(4 if dated else 1)
        ]
    )
    part = split_at_random(rows, 1, USUAL)
    assert part.value_counts(normalize=True).to_dict() == pytest.approx({"train": 0.75, "test": 0.25}, abs=0.06)
    assert any(len(set(sides)) > 1 for _, sides in part.groupby(rows["lead_id"])) == dated  # of one lead, too
    shuffled = rows.sample(frac=1, random_state=1)
    assert split_at_random(shuffled, 1, USUAL).sort_index().equals(part)


def test_a_draw_depends_on_key_seed_and_purpose_alone() -> None:
    keys = pd.Series(["a", "b", "a"])
    numbers = draw(keys, 1, "split")
    assert numbers[0] == numbers[2] == draw(keys[:1], 1, "split")[0]
    assert len({numbers[0], numbers[1], draw(keys, 2, "split")[0], draw(keys, 1, "sample")[0]}) == 4
    assert draw(pd.Series([f"k{n}" for n in range(2000)]), 1, "split").mean() == pytest.approx(0.5, abs=0.03)
