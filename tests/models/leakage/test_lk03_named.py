"""LK03: a field is named like something written after the outcome."""

from __future__ import annotations

import pytest

from models.leakage.field_checks import named_after_outcome
from tests.support.leakage_scenario import AUDIT, labels, scenario, signal

LABEL = labels(2000)


@pytest.mark.parametrize("known", ["export", "creation"])
def test_a_field_named_so_that_tells_is_named(known: str) -> None:
    columns = {"Lost Reason": signal(LABEL, 0.5), "visits": signal(LABEL, 0.5)}
    check = named_after_outcome(scenario(columns, LABEL, known=known).rows, AUDIT)
    assert (check.code, check.status, list(check.columns)) == ("LK03", "failed", ["Lost Reason"])
    assert "'lost'" in check.columns["Lost Reason"]
    assert "known: outcome" in check.fix


def test_a_name_without_power_is_no_alarm() -> None:
    check = named_after_outcome(scenario({"Lost Reason": signal(LABEL, 0.0)}, LABEL).rows, AUDIT)
    assert check.status == "passed"
    assert "1 of 1 fields" in check.detail


def test_a_name_and_a_little_power_are_no_alarm() -> None:
    """Every "*_duration" of a wide table was called a leak, though it ranked no better than many others."""
    columns = {f"{what}_duration": signal(LABEL, 0.25, seed) for seed, what in enumerate(["visit", "trial", "chat"])}
    assert named_after_outcome(scenario(columns, LABEL).rows, AUDIT).status == "passed"


def test_power_without_a_name_is_no_alarm() -> None:
    columns = {"visits": signal(LABEL, 3.0), "last_name": signal(LABEL, 1.0)}
    assert named_after_outcome(scenario(columns, LABEL).rows, AUDIT).status == "passed"


def test_a_field_with_the_dates_of_its_values_is_not_asked() -> None:
    check = named_after_outcome(scenario({"rating": signal(LABEL, 1.0)}, LABEL, "dates", "history").rows, AUDIT)
    assert check.status == "not applicable"


def test_too_few_leads_say_nothing() -> None:
    few = LABEL[:60]
    assert named_after_outcome(scenario({"rating": signal(few, 3.0)}, few).rows, AUDIT).status == "not applicable"
