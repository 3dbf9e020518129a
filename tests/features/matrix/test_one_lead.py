"""One lead without a database has the bits that it has in the batch, at any microsecond."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from pydantic import TypeAdapter

from features.matrix.matrix import MatrixSpec, feature_matrix, run_query
from features.matrix.one_lead import Lead, LeadQuery, LeadRow
from features.rules.conditions import ConditionQuery, RuleCondition
from tests.support.tables import (
    ATTRIBUTES,
    DAY,
    HOUR,
    MONDAY,
    SPEC,
    TICK,
    VOCABULARY,
    Scenario,
    crowd,
    scenarios,
    table,
)

MOMENTS = (MONDAY - 7 * DAY, MONDAY, MONDAY + TICK, MONDAY + 6 * HOUR, MONDAY + 30 * DAY)
READ: TypeAdapter[Any] = TypeAdapter(RuleCondition)
PAIR = {
    "levels": VOCABULARY.levels | {"both": ["steel, early", "food, late", "other"]},
    "frequencies": VOCABULARY.frequencies | {"both": {"steel, early": 0.4, "toys, gone": 0.1}},
}
CONDITIONS = {
    "visited": {"types": ["visit", "chat"], "days": 8},
    "ever called": {"types": ["call"], "days": None},
    "steel": {"attribute": "sector", "test": "is", "value": ["steel"]},
    "unknown": {"attribute": "mail", "test": "missing", "value": []},
    "school": {"attribute": "mail__kind", "test": "is", "value": ["academic"]},
    "large": {"attribute": "size", "test": "at_least", "value": 1.0},
    "young": {"attribute": "lead_age", "test": "below", "value": 91.0},
    "common": {"attribute": "sector__frequency", "test": "at_least", "value": 0.3},
    "bad": {"attribute": "rating", "test": "missing", "value": []},
}


def leads(scenario: Scenario) -> dict[str, Lead]:
    """Each lead's own facts."""
    events = table("events", scenario.events)
    return {
        row["lead_id"]: Lead(
            lead_id=row["lead_id"],
            created_at=row["created_at"],
            cells={name: row.get(name) for name in ATTRIBUTES},
            history=sorted(_edits(scenario, row["lead_id"]), key=lambda edit: edit[0]),
            events=events.filter(pc.equal(events["lead_id"], row["lead_id"])),
        )
        for row in scenario.leads
    }


def _edits(scenario: Scenario, lead_id: str) -> Iterator[tuple[pd.Timestamp, dict[str, Any]]]:
    historic = [name for name, spec in ATTRIBUTES.items() if spec.known == "history"]
    for row in scenario.history:
        if row["lead_id"] == lead_id:
            yield row["valid_from"], {name: row.get(name) for name in historic}


def rows(scenario: Scenario, spec: MatrixSpec) -> list[LeadRow]:
    query, by_id = LeadQuery(spec), leads(scenario)
    return [query.row(by_id[lead_id], at) for lead_id, at in scenario.pairs]


def assert_same_bits(scenario: Scenario, spec: MatrixSpec = SPEC) -> None:
    expected = feature_matrix(scenario.tables, spec).to_numpy("float32")
    result = np.concatenate([row.features for row in rows(scenario, spec)])
    assert result.dtype == expected.dtype
    assert result.tobytes() == np.ascontiguousarray(expected).tobytes()


@settings(max_examples=12)
@given(scenarios(times=MOMENTS))
def test_equal_to_the_batch(scenario: Scenario) -> None:
    assert_same_bits(scenario)


@pytest.mark.parametrize("clock", [0 * DAY, 13 * HOUR + TICK])
def test_a_crowd_is_equal_to_the_batch(clock: pd.Timedelta) -> None:
    assert_same_bits(crowd((MONDAY, MONDAY + 7 * DAY), n_leads=40, clock=clock))


def test_models_without_events_without_values_and_with_pairs() -> None:
    scenario = crowd((MONDAY,), n_leads=30, n_events=60)
    for vocabulary in (
        VOCABULARY.model_copy(update={"valued_types": [], "event_groups": ["any_inbound"]}),
        VOCABULARY.model_copy(update={"event_types": [], "has_other": False}),
        VOCABULARY.model_copy(update={"pairs": {"both": ("sector", "stage")}} | PAIR),
    ):
        assert_same_bits(scenario, SPEC.model_copy(update={"vocabulary": vocabulary}))


@pytest.mark.parametrize("current", [True, False])
def test_conditions_hold_as_in_the_batch(current: bool) -> None:
    scenario = crowd((MONDAY, MONDAY + 3 * DAY), n_leads=40)
    rated = [row | {"rating": "good"} if number % 2 else row for number, row in enumerate(scenario.leads)]
    scenario = replace(scenario, leads=rated)
    query = ConditionQuery(SPEC, {name: READ.validate_python(one) for name, one in CONDITIONS.items()}, current)
    expected = run_query(query, scenario.tables)
    result = pd.DataFrame([query.of_lead(row) for row in rows(scenario, SPEC)])[list(CONDITIONS)]
    pd.testing.assert_frame_equal(result, expected)
    assert expected.any().drop("bad").all()


def test_no_events_at_all() -> None:
    scenario = crowd((MONDAY,), n_leads=3, n_events=0)
    assert_same_bits(scenario)
    assert not any(len(column) for row in rows(scenario, SPEC) for column in row.visible.values())
