"""LK07: events come at the very moment of the outcome."""

from __future__ import annotations

import pandas as pd

from models.leakage.timing_checks import events_at_outcome
from tests.support.leakage_scenario import AUDIT


def counted(**types: tuple[int, int]) -> pd.DataFrame:
    """Event type to events at the outcome, and all events."""
    rows = [{"event_type": name, "at_outcome": at, "events": n} for name, (at, n) in types.items()]
    return pd.DataFrame(rows)


def test_a_type_that_comes_with_the_outcome_is_named() -> None:
    check = events_at_outcome(counted(invoice=(900, 1000), visit=(50, 9000)), AUDIT)
    assert (check.code, check.status) == ("LK07", "failed")
    assert check.columns == {"invoice": "900 of 1,000 events happen at the moment of their lead's conversion"}
    assert "source.events" in check.fix


def test_types_that_come_at_all_times_are_not_named() -> None:
    check = events_at_outcome(counted(lesson=(400, 1000), visit=(50, 9000)), AUDIT)
    assert check.status == "passed"
    assert "lesson: 400 of 1,000" in check.detail


def test_a_rare_type_is_not_named() -> None:
    n = AUDIT.min_each
    assert events_at_outcome(counted(invoice=(n - 1, n - 1)), AUDIT).status == "passed"
    assert events_at_outcome(counted(invoice=(int(0.6 * n), n)), AUDIT).status == "passed"  # may be chance
    assert events_at_outcome(counted(invoice=(n, n)), AUDIT).status == "failed"


def test_without_events_there_is_nothing_to_ask() -> None:
    assert events_at_outcome(None, AUDIT).status == "not applicable"
