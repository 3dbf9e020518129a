"""A label is the outcome within the horizon, and is set only when it can be known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.cohort.labels import label_dated, label_undated
from tests.support.tables import DAY, MONDAY, PARAMS, TICK, frame, moments

MONTH = PARAMS.snapshots.model_copy(update={"horizon_days": 30, "outcome_lag_days": 2})
MATURE = MONDAY + 32 * DAY


def label_of(converted: pd.Timestamp | None, data_until: pd.Timestamp = MATURE) -> float:
    outcomes = [] if converted is None else [{"lead_id": "a", "converted_at": converted}]
    rows = label_dated(moments([("a", MONDAY)]), frame("outcomes", outcomes), data_until, MONTH)
    return float(rows["label"].iloc[0])


@pytest.mark.parametrize(
    ("converted", "label"),
    [
        (None, 0.0),
        (MONDAY - TICK, 0.0),
        (MONDAY, 1.0),
        (MONDAY + 30 * DAY - TICK, 1.0),
        (MONDAY + 30 * DAY, 0.0),
    ],
)
def test_the_horizon_is_half_open(converted: pd.Timestamp | None, label: float) -> None:
    assert label_of(converted) == label


@pytest.mark.parametrize("converted", [None, MONDAY, MONDAY + DAY])
def test_an_immature_label_is_missing_for_winners_too(converted: pd.Timestamp | None) -> None:
    assert np.isnan(label_of(converted, MATURE - TICK))
    assert not np.isnan(label_of(converted, MATURE))


days = st.integers(-5, 70)


@given(st.lists(st.tuples(days, st.none() | days), max_size=6), days, st.integers(1, 40), st.integers(0, 5))
def test_labels(leads: list[tuple[int, int | None]], until: int, horizon: int, lag: int) -> None:
    params = MONTH.model_copy(update={"horizon_days": horizon, "outcome_lag_days": lag})
    rows = moments([(f"lead {number}", MONDAY + at * DAY) for number, (at, _) in enumerate(leads)])
    outcomes = [
        {"lead_id": f"lead {number}", "converted_at": MONDAY + won * DAY}
        for number, (_, won) in enumerate(leads)
        if won is not None
    ]
    snapshots = rows.set_index(pd.Index([9] * len(rows)))  # the caller's index stays, whatever it is
    result = label_dated(snapshots, frame("outcomes", outcomes[::-1]), MONDAY + until * DAY, params)
    assert result.index.equals(snapshots.index)
    for row, (at, won) in zip(result.itertuples(), leads, strict=True):
        assert row.known_at == MONDAY + (at + horizon + lag) * DAY
        assert row.matured == (at + horizon + lag <= until)
        if row.matured:
            assert row.label == (won is not None and at <= won < at + horizon)
        else:
            assert np.isnan(row.label)


def test_without_dates_an_open_lead_has_not_matured() -> None:
    outcomes = frame(
        "outcomes", [{"lead_id": lead, "converted": won} for lead, won in (("d", None), ("b", False), ("a", True))]
    )
    result = label_undated(moments([(lead, pd.NaT) for lead in "abcd"]), outcomes)
    np.testing.assert_array_equal(result["label"], [1.0, 0.0, np.nan, np.nan])
    assert result["matured"].tolist() == [True, True, False, False]
