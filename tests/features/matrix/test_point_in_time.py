"""Features of anybody's own tables, as of a moment; the numbers are worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from features.matrix.point_in_time import point_in_time_features
from features.schema.declarations import FeatureParams
from features.schema.errors import DataError
from tests.support.tables import SPEC

PARAMS = FeatureParams(min_event_count=1, min_level_count=1, windows_days=[7], half_lives_days=[7])
AT = pd.Timestamp("2026-01-10")
LEADS = pd.DataFrame(
    {
        "lead_id": ["a", "b", "c"],
        "created_at": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-03-01"]),
        "industry": ["steel", "food", "steel"],
        "size": [10, 20, 30],
    }
)
EVENTS = pd.DataFrame(
    {
        "lead_id": ["a", "a", "b", "b"],
        "event_at": pd.to_datetime(["2026-01-03", "2026-02-01", "2026-01-05", "2026-01-10"]),
        "event_type": ["visit", "visit", "visit", "visit"],
    }
)


def test_only_what_had_happened_before_the_moment_counts() -> None:
    rows = point_in_time_features(LEADS, EVENTS, AT, params=PARAMS).set_index("lead_id")
    assert list(rows.index) == ["a", "b"]  # c is created later
    assert rows["count__visit__7d"].tolist() == [1, 1]  # the visit at the moment itself is not before it
    assert rows["recency__visit"].tolist() == [7, 5]
    assert rows["decayed__visit__7d"].iloc[0] == 0.5
    assert rows["lead_age"].tolist() == [9, 8]
    assert rows["size"].tolist() == [10, 20]


def test_what_was_learned_of_later_does_not_count() -> None:
    late = EVENTS.assign(known_at=EVENTS["event_at"] + pd.Timedelta(days=6))
    rows = point_in_time_features(LEADS, late, AT, params=PARAMS)
    assert rows["count__visit__7d"].tolist() == [1, 0]


def test_later_rows_move_nothing_where_the_features_are_given() -> None:
    at = pd.Series([AT, AT + pd.Timedelta(days=31)], index=["a", "a"])
    leads = LEADS.assign(sector="steel", job="CEO", stage="early", mail="x.example")
    both = point_in_time_features(leads, EVENTS, at, SPEC)
    alone = point_in_time_features(leads.head(1), EVENTS.head(1), at.head(1), SPEC)
    pd.testing.assert_frame_equal(both.head(1), alone)
    assert list(both.columns) == ["lead_id", "snapshot_at", *(entry.name for entry in SPEC.catalogue)]


@pytest.mark.parametrize(
    ("leads", "events", "at", "words"),
    [
        (LEADS.drop(columns="created_at"), EVENTS, AT, "expected lead_id, created_at"),
        (LEADS, EVENTS.drop(columns="event_type"), AT, "expected lead_id, event_at, event_type"),
        (pd.concat([LEADS, LEADS]), EVENTS, AT, "'a' twice"),
        (LEADS, EVENTS, AT, "expected job, mail, sector, size, stage"),
        (LEADS, EVENTS, pd.Series([AT], index=["c"]), "'c', which is not there before 2026-01-10"),
        (LEADS, EVENTS, pd.Series([AT], index=["nobody"]), "'nobody', which is not there"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    leads: pd.DataFrame, events: pd.DataFrame, at: pd.Timestamp, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        point_in_time_features(leads, events, at, SPEC if "job" in words else None)
