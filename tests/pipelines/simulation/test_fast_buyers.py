"""Buyers in a hurry: so many as asked for, on the day they come, and the truth at each moment is calibrated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.schema.declarations import MomentParams
from pipelines.config.params import load
from pipelines.config.simulation import Simulate
from pipelines.simulation.export import Simulated, simulate
from tests.support.tables import DAY, HOUR, TICK

PARAMS = load()
AGES = [0, 1, 24, 168]
GRID = PARAMS.snapshots.model_copy(update={"moments": MomentParams(ages_hours=AGES)})


@pytest.fixture(scope="module")
def funnel() -> Simulated:
    return simulate(PARAMS.simulate.model_copy(update={"leads": 6000, "fast_share": 0.2}), 3, GRID)


@pytest.fixture(scope="module")
def truth(funnel: Simulated) -> pd.DataFrame:
    """Oracle rows, what came true, and the lead's age in microseconds; of what was a moment, how many hours."""
    rows = funnel.oracle.merge(funnel.leads[["lead_id", "created_at"]], "left").merge(funnel.outcomes, "left")
    at, won = rows["snapshot_at"], rows["converted_at"]
    ages = [rows["created_at"] + hours * HOUR + TICK == at for hours in AGES]
    label = (won >= at) & (won < at + GRID.horizon_days * DAY)
    return rows.assign(label=label, hours=np.select(ages, AGES, -1))


def test_a_fifth_of_the_buyers_buys_within_a_day(funnel: Simulated) -> None:
    won = funnel.outcomes.dropna(subset="converted_at").merge(funnel.leads, "left", "lead_id")
    fast = won["converted_at"] - won["created_at"] <= DAY
    assert fast.mean() == pytest.approx(0.2, abs=0.05)
    assert (won["converted_at"] > won["created_at"]).all()
    asked = funnel.events[funnel.events["event_type"] == "quote_request"]
    assert (asked["direction"] == "inbound").all()
    often = asked["lead_id"].value_counts()
    assert often.index[often > 2].isin(won.loc[fast, "lead_id"]).mean() > 0.7


def test_an_end_stays_the_only_one_and_nothing_is_asked_after_it(funnel: Simulated) -> None:
    ends = funnel.outcomes
    assert (ends["converted_at"].isna() != ends["lost_at"].isna()).all()
    asked = funnel.events[funnel.events["event_type"] == "quote_request"].merge(ends, "left", "lead_id")
    closed = asked[["converted_at", "lost_at"]].min(axis=1)
    assert (closed.isna() | (asked["event_at"] <= closed)).all()


@pytest.mark.parametrize("hours", [*AGES, -1])
def test_the_truth_is_calibrated_at_each_moment(truth: pd.DataFrame, hours: int) -> None:
    rows = truth[truth["hours"] == hours]
    assert len(rows) > 5000
    groups = rows.groupby(pd.qcut(rows["probability"], 3))
    for _, group in groups:
        n = group["lead_id"].nunique()  # snapshots of one lead depend on each other
        rate = group["probability"].mean()
        assert group["label"].mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / n))


def test_nobody_is_in_a_hurry_by_default() -> None:
    assert "fast_share" not in Simulate().model_dump()
