"""LK06: a field changes only after the outcome."""

from __future__ import annotations

import pandas as pd
import pytest

from models.checks import CheckResult
from models.leakage.timing_checks import edited_after_outcome
from tests.support.leakage_scenario import AUDIT

START, WON = pd.Timestamp("2025-01-01"), pd.Timestamp("2025-02-01")
BEFORE, AT, AFTER = pd.Timestamp("2025-01-15"), WON, pd.Timestamp("2025-03-01")
COLUMNS = {"plan": "Plan", "size": "Size"}


def check(*edits: pd.Timestamp, closes: str = "converted_at", leads: int = 100) -> CheckResult:
    """Audit leads whose plan is edited once each, at these moments in turn; their size keeps its value."""
    ids = [f"a{place:03d}" for place in range(leads)]
    first = pd.DataFrame({"lead_id": ids, "valid_from": START, "plan": None, "size": 5.0})
    later = first.assign(valid_from=[edits[place % len(edits)] for place in range(leads)], plan="gold")
    outcomes = pd.DataFrame({"lead_id": ids, "converted_at": pd.NaT, "lost_at": pd.NaT}).astype(
        {"converted_at": "datetime64[us]", "lost_at": "datetime64[us]"}
    )
    return edited_after_outcome(pd.concat([later, first]), outcomes.assign(**{closes: WON}), COLUMNS, AUDIT)


@pytest.mark.parametrize("closes", ["converted_at", "lost_at"])
def test_edits_at_or_after_the_outcome_are_named(closes: str) -> None:
    found = check(AFTER, AT, closes=closes)
    assert (found.code, found.status) == ("LK06", "failed")
    assert found.columns == {"Plan": "100 of 100 edits come at the outcome or after it"}
    assert "known: outcome" in found.fix


def test_edits_on_both_sides_are_not_named() -> None:
    found = check(BEFORE, AFTER, AFTER, AFTER)
    assert found.status == "passed"
    assert "Plan 75 of 100" in found.detail
    assert "Size 0 of 0" in found.detail  # a version that repeats a value is no edit of it


def test_few_edits_say_nothing() -> None:
    assert check(AFTER, leads=AUDIT.min_each - 1).status == "not applicable"


def test_without_a_history_there_is_nothing_to_ask() -> None:
    nothing = pd.DataFrame({"lead_id": [], "valid_from": []})
    outcomes = pd.DataFrame({"lead_id": [], "converted_at": [], "lost_at": []})
    assert edited_after_outcome(nothing, outcomes, {}, AUDIT).status == "not applicable"
    assert edited_after_outcome(nothing, outcomes, COLUMNS, AUDIT).status == "not applicable"
