"""One more event as a counterfactual: the copy's features are those that the log with that event gives."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import ibis
import numpy as np
import pandas as pd
import pytest

from features.matrix.counterfactual import JUST_NOW, NextEvent, next_events, with_one_more
from features.matrix.matrix import feature_matrix
from tests.support.tables import DAY, MONDAY, SPEC, VOCABULARY, crowd, frame, table

MORE = [
    NextEvent("visit", "inbound", "online", 2.5),
    NextEvent("call", "outbound", "offline", None),
    NextEvent("chat", "inbound", "online", None),
]


CROWD = crowd((MONDAY,), n_leads=30, n_events=300)


def added(lead_id: str, event: NextEvent) -> dict[str, object]:
    at = MONDAY - JUST_NOW
    row = {"lead_id": lead_id, "event_at": at, "known_at": at, "event_type": event.event_type, "value": event.value}
    return row | {"direction": event.direction, "channel": event.channel}


@cache
def logged(index: int | None) -> pd.DataFrame:
    """Features of every lead by the log alone, or by a log in which each lead has one of MORE too."""
    ids = CROWD.tables.snapshots["lead_id"]
    more = [] if index is None else [added(lead, MORE[index]) for lead in ids]
    return feature_matrix(replace(CROWD, events=CROWD.events + more).tables, SPEC).set_index(ids)


def tried_out(lead_id: str) -> pd.DataFrame:
    leads, history = CROWD.tables.leads, CROWD.tables.history
    own = table("events", [row for row in CROWD.events if row["lead_id"] == lead_id])
    lead, edits = leads[leads["lead_id"] == lead_id], history[history["lead_id"] == lead_id]
    return feature_matrix(with_one_more(lead, edits, own, MONDAY, MORE), SPEC)


@pytest.mark.parametrize("lead", range(0, 30, 5))
def test_a_copy_has_the_features_of_the_log_with_that_event(lead: int) -> None:
    lead_id = str(CROWD.leads[lead]["lead_id"])
    result = tried_out(lead_id)
    for index in range(len(MORE)):
        np.testing.assert_array_equal(result.iloc[index].to_numpy(), logged(index).loc[lead_id].to_numpy())
        assert not np.array_equal(result.iloc[index], logged(None).loc[lead_id], equal_nan=True)
    fit = [entry.name for entry in SPEC.catalogue if not entry.theme.startswith("event:")]
    np.testing.assert_array_equal(result[fit].iloc[0].to_numpy(), logged(None).loc[lead_id, fit].to_numpy())


def test_a_lead_without_any_event_can_have_its_first() -> None:
    lead, history = CROWD.tables.leads.head(1), CROWD.tables.history
    tables = with_one_more(lead, history[:0], table("events", []), MONDAY, MORE)
    result = feature_matrix(tables, SPEC)
    assert result["count__any_event__ever"].tolist() == [1, 1, 1]
    assert result["count__visit__1d"].tolist() == [1, 0, 0]


def event(kind: str, direction: str, days: float, late: float = 0, value: float | None = None) -> dict[str, object]:
    at = MONDAY - days * DAY
    sides = {"direction": direction, "channel": "online" if direction == "inbound" else "offline"}
    return {"lead_id": "a", "event_at": at, "known_at": at + late * DAY, "event_type": kind, "value": value} | sides


def test_the_next_event_is_as_most_of_its_type_were() -> None:
    calls = [event("call", "outbound", days) for days in (1, 2, 3)] + [event("call", "inbound", 4)] * 2
    visits = [event("visit", "inbound", 9, value=value) for value in (1.0, 3.0, 50.0, None)]
    log = ibis.memtable(table("events", [*calls, *visits, event("chat", "inbound", 5)]))
    assert next_events(log, ibis.literal(MONDAY.to_pydatetime()), VOCABULARY) == [
        NextEvent("visit", "inbound", "online", 3.0),
        NextEvent("call", "outbound", "offline", None),
    ]


@pytest.mark.parametrize("days, late", [(0, 0), (-1, 0), (3, 4)])
def test_what_was_not_known_by_then_does_not_decide_what_is_usual(days: float, late: float) -> None:
    known = [event("call", "outbound", 2)]
    log = ibis.memtable(table("events", known + [event("call", "inbound", days, late)] * 5))
    assert next_events(log, ibis.literal(MONDAY.to_pydatetime()), VOCABULARY) == [
        NextEvent("call", "outbound", "offline", None)
    ]
    nothing = ibis.memtable(table("events", [event("call", "inbound", days, late)]))
    assert next_events(nothing, ibis.literal(MONDAY.to_pydatetime()), VOCABULARY) == []


def test_the_tables_given_are_left_as_they_are() -> None:
    leads = frame("leads", [{"lead_id": "a", "position": 0, "created_at": MONDAY - 9 * DAY, "size": 1.0}])
    history, log = frame("attribute_history", []), table("events", [event("call", "inbound", 2)])
    with_one_more(leads, history, log, MONDAY, MORE)
    assert leads["lead_id"].tolist() == ["a"]
    assert len(log) == 1
