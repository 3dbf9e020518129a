"""Conditions see what the hand-written rules see, and an event of the same day not yet."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from pydantic import TypeAdapter, ValidationError

from features.matrix.matrix import run_query
from features.rules.conditions import ConditionQuery, RuleCondition
from features.rules.declarations import AttributeTest
from tests.support.tables import DAY, MONDAY, SPEC, TICK, Row, Scenario, scenarios

READ: TypeAdapter[Any] = TypeAdapter(RuleCondition)


def visit(at: pd.Timestamp, late: pd.Timedelta = 0 * DAY, kind: str = "visit") -> Row:
    rest = {"direction": "inbound", "channel": "online", "value": None}
    return {"event_at": at, "known_at": at + late, "event_type": kind} | rest


def held(scenario: Scenario, **conditions: dict[str, Any]) -> pd.DataFrame:
    read = {name: READ.validate_python(one) for name, one in conditions.items()}
    return run_query(ConditionQuery(SPEC, read), scenario.tables)


def test_an_event_counts_from_the_day_after_and_within_its_days() -> None:
    events = {
        "just before": visit(MONDAY - TICK),
        "the same day": visit(MONDAY),
        "known too late": visit(MONDAY - DAY, late=DAY + TICK),
        "known in time": visit(MONDAY - DAY, late=DAY),
        "on the edge": visit(MONDAY - 7 * DAY),
        "beyond the edge": visit(MONDAY - 7 * DAY - TICK),
        "of another type": visit(MONDAY - DAY, kind="call"),
    }
    leads = [{"lead_id": name, "position": 0, "created_at": MONDAY - 90 * DAY} for name in [*events, "none"]]
    pairs = [(str(lead["lead_id"]), MONDAY) for lead in leads]
    scenario = Scenario(pairs, leads, [], [one | {"lead_id": name} for name, one in events.items()])
    result = held(scenario, week={"types": ["visit"], "days": 7}, ever={"types": ["visit"], "days": None})
    lead = pd.Series([name for name, _ in pairs])
    assert set(lead[result["week"]]) == {"just before", "known in time", "on the edge"}
    assert set(lead[result["ever"]]) == {"just before", "known in time", "on the edge", "beyond the edge"}


@settings(max_examples=6)
@given(scenarios(times=(MONDAY - 7 * DAY, MONDAY)))
def test_conditions_hold_as_a_plain_scan_of_the_tables_finds(scenario: Scenario) -> None:
    result = held(
        scenario,
        visited={"types": ["visit", "chat"], "days": 8},
        steel={"attribute": "sector", "test": "is", "value": ["steel"]},
        unknown={"attribute": "mail", "test": "missing", "value": []},
        school={"attribute": "mail__kind", "test": "is", "value": ["academic"]},
    )
    leads = {lead["lead_id"]: lead for lead in scenario.leads}
    for row, (lead, at) in enumerate(scenario.pairs):
        events = [one for one in scenario.events if one["lead_id"] == lead and one["event_type"] in ("visit", "chat")]
        visited = any(at - 8 * DAY <= one["event_at"] < at and one["known_at"] <= at for one in events)
        mail = leads[lead]["mail"]
        expected = [visited, leads[lead]["sector"] == "steel", mail is None, mail == "x@cs.mit.edu"]
        assert result.loc[row].tolist() == expected


def test_no_condition_and_no_lead_need_no_query() -> None:
    scenario = Scenario([("a", MONDAY)], [{"lead_id": "a", "position": 0, "created_at": MONDAY - DAY}], [], [])
    assert held(scenario).shape == (1, 0)
    assert held(Scenario([], [], [], []), it={"types": ["visit"], "days": 1}).shape == (0, 1)


def test_a_condition_is_read_by_its_keys() -> None:
    assert isinstance(READ.validate_python({"attribute": "a", "test": "below", "value": 3}), AttributeTest)
    with pytest.raises(ValidationError, match=r"event\.days"):
        READ.validate_python({"types": ["visit"]})
    with pytest.raises(ValidationError, match=r"attribute\.test"):
        READ.validate_python({"attribute": "a", "value": 3})


@pytest.mark.parametrize("current", [True, False])
def test_what_the_crm_says_today_holds_for_a_list_of_today_alone(current: bool) -> None:
    leads = [
        {"lead_id": name, "position": 0, "created_at": MONDAY - 9 * DAY, "rating": name} for name in ("hot", "lost")
    ]
    scenario = Scenario([("hot", MONDAY), ("lost", MONDAY)], leads, [], [])
    closed = READ.validate_python({"attribute": "rating", "test": "is", "value": ["lost"]})
    query = ConditionQuery(SPEC, {"closed": closed}, current)
    assert run_query(query, scenario.tables)["closed"].tolist() == [False, current]
