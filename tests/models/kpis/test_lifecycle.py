"""Stages: acceptance and falling back are judged after the list, a stay ends by any way out, growth has an interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kpis.lifecycle import ordered, qualified_growth, stage_facts, stages_misfit, times_in_stage
from tests.models.kpis.test_tier_kpis import with_params
from tests.support.tables import DAY, MONDAY, PARAMS

KPIS = PARAMS.kpis
UNTIL = MONDAY + 200 * DAY
MAPPED = {"hot": "SQL", "warm": "MQL", "cold": "lead"}
NOBODY = pd.DataFrame({"lead_id": pd.Series(dtype="str"), "converted_at": pd.NaT, "lost_at": pd.NaT})


def stages(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Entries as lead, stage and days after Monday."""
    frame = pd.DataFrame(rows, columns=["lead_id", "stage", "day"])
    return frame.assign(entered_at=MONDAY + pd.to_timedelta(frame["day"], unit="D")).drop(columns="day")


def facts(entries: pd.DataFrame, tier: str = "hot", at: float = 10, until: pd.Timestamp = UNTIL) -> tuple[float, float]:
    """(accepted, fell_back) of lead a, listed on a day, with a horizon of 30 days."""
    first = pd.DataFrame({"lead_id": ["a"], "snapshot_at": [MONDAY + at * DAY], "tier": [tier]}, index=[7])
    result = stage_facts(first, ordered(entries, KPIS, until), MAPPED, 30, until, KPIS)
    assert result.index.tolist() == [7]
    return float(result.accepted.iloc[0]), float(result.fell_back.iloc[0])


NONE = float("nan")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("lead", 0), ("MQL", 5), ("SQL", 20)], (1, 0)),
        ([("lead", 0), ("MQL", 5), ("opportunity", 20)], (1, 0)),  # a later stage will do
        ([("lead", 0), ("MQL", 5), ("SAL", 20)], (0, 0)),
        ([("lead", 0), ("SQL", 10)], (1, 0)),  # at the moment of the list
        ([("lead", 0), ("SQL", 39.999)], (1, 0)),
        ([("lead", 0), ("SQL", 40)], (0, 0)),  # the horizon is half open
        ([("lead", 0), ("SQL", 5)], (NONE, 0)),  # stands there already
        ([("lead", 0), ("opportunity", 5)], (NONE, 0)),
        ([("lead", 0), ("SQL", 5), ("MQL", 12)], (NONE, 1)),
        ([("lead", 0), ("SQL", 5), ("SQL", 12)], (NONE, 0)),  # the same stage anew is no step back
        ([("lead", 0), ("SQL", 5), ("MQL", 8), ("SQL", 12)], (1, 0)),  # fell back before, accepted anew
        ([("lead", 0), ("SQL", 12), ("MQL", 15), ("SQL", 16)], (1, 1)),
        ([("lead", 0), ("SQL", 12), ("MQL", 45)], (1, 0)),
        ([("lead", 12)], (0, 0)),
        ([("lead", 45)], (0, NONE)),  # nothing is known of it in time
        ([("nurture", 0)], (0, NONE)),  # a stage that has no place in the order
    ],
)
def test_acceptance_and_falling_back(rows: list[tuple[str, float]], expected: tuple[float, float]) -> None:
    np.testing.assert_equal(facts(stages(*(("a", name, day) for name, day in rows), ("b", "SQL", 11))), expected)


def test_a_running_horizon_is_no_no() -> None:
    entries = stages(("a", "lead", 0), ("a", "MQL", 5))
    np.testing.assert_equal(facts(entries, until=MONDAY + 40 * DAY), (0, 0))
    np.testing.assert_equal(facts(entries, until=MONDAY + 39 * DAY), (NONE, NONE))
    assert facts(entries, "warm")[0] != facts(entries, "hot")[0], "each tier has a stage of its own"
    assert np.isnan(facts(stages(("a", "lead", 0)), "unmapped")[0])


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(KPIS.stages), st.integers(0, 60)), max_size=6, unique=True))
def test_entries_after_the_end_of_the_data_change_nothing(rows: list[tuple[str, int]]) -> None:
    until = MONDAY + 45 * DAY
    entries = stages(*(("a", name, day) for name, day in rows))
    kept = entries[entries["entered_at"] <= until]
    np.testing.assert_equal(facts(entries, until=until), facts(kept, until=until))
    outcomes = pd.DataFrame({"lead_id": ["a"], "converted_at": [until + DAY], "lost_at": [pd.NaT]})
    np.testing.assert_equal(
        times_in_stage(ordered(entries, KPIS, until), outcomes, KPIS, until, 0.9),
        times_in_stage(ordered(kept, KPIS, until), NOBODY, KPIS, until, 0.9),
    )


def test_a_stay_ends_by_any_way_out_and_goes_on_where_nothing_ended_it() -> None:
    entries = ordered(
        stages(("a", "lead", 0), ("a", "MQL", 4), *((lead, "lead", 0) for lead in "bcd"), ("e", "lead", 195)),
        KPIS,
        UNTIL,
    )
    outcomes = pd.DataFrame(
        {
            "lead_id": ["b", "c", "e"],
            "converted_at": [MONDAY + 8 * DAY, pd.NaT, MONDAY + 195 * DAY],  # at the entry itself: no end of it
            "lost_at": [pd.NaT, MONDAY + 12 * DAY, pd.NaT],
        }
    )
    lead, mql = times_in_stage(entries, outcomes, KPIS, UNTIL, 0.9)
    assert (lead.stage, lead.n, lead.happened, lead.longest) == ("lead", 5, 3, 200.0)
    # After 4 days one of 5 leaves, after 8 one of 3, after 12 one of 2: e is out of sight after 5 days.
    assert [one.days for one in lead.days] == [8.0, 12.0, None]
    assert lead.reached == pytest.approx(1 - 4 / 5 * 2 / 3 * 1 / 2)
    assert (mql.n, mql.happened) == (1, 0)


def test_growth_counts_leads_that_qualify_for_the_first_time_in_whole_periods() -> None:
    since, until = pd.Timestamp("2024-01-01 08:00"), pd.Timestamp("2024-04-30 23:00")
    months = {"2024-01-15": 3, "2024-02-20": 6, "2024-04-02": 2}
    rows = [(f"{day}{n}", "SAL", pd.Timestamp(day)) for day, count in months.items() for n in range(count)]
    again = [("2024-01-150", "MQL", pd.Timestamp("2024-02-21"))]  # qualified before
    entries = pd.DataFrame([*rows, *again, ("x", "lead", since)], columns=["lead_id", "stage", "entered_at"])
    result = qualified_growth(ordered(entries, KPIS, until), KPIS, since, until, 0.9)
    assert [(one.period, one.qualified) for one in result] == [
        ("2024-01", 3),
        ("2024-02", 6),
        ("2024-03", 0),
        ("2024-04", 2),
    ]
    assert [one.growth for one in result] == [None, 1.0, -1.0, None]
    shorter = qualified_growth(ordered(entries, KPIS, until), KPIS, since + DAY, until - DAY, 0.9)
    assert [one.period for one in shorter] == ["2024-02", "2024-03"]


def test_the_interval_of_growth_holds() -> None:
    rng, held = np.random.default_rng(4), []
    whole = pd.Timestamp("2024-02-29 23:59")
    for _ in range(80):
        counts = rng.poisson(40), rng.poisson(60)
        days = ["2024-01-10"] * counts[0] + ["2024-02-10"] * counts[1]
        ids = [f"l{number}" for number in range(len(days))]
        entries = pd.DataFrame({"lead_id": ids, "stage": "MQL", "entered_at": pd.to_datetime(days)})
        result = qualified_growth(ordered(entries, KPIS, whole), KPIS, pd.Timestamp("2024-01-01"), whole, 0.9)[1]
        held.append(result.growth_low <= 0.5 <= result.growth_high)
    assert np.mean(held) > 0.85


def test_stages_that_do_not_fit_are_said_with_the_reason() -> None:
    assert stages_misfit([], KPIS) == "the data hold no lifecycle stages"
    assert "names none of the stages in the data (Interessent, Kunde)" in stages_misfit(["Kunde", "Interessent"], KPIS)
    assert stages_misfit(["Kunde", "MQL"], KPIS) == ""
    assert stages_misfit(["Kunde"], with_params(stages=[])) != ""
