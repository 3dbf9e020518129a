"""LK10: what a field tells vanishes in the later period."""

from __future__ import annotations

import numpy as np
import pytest

from models.checks import CheckResult
from models.leakage.field_checks import vanishes
from models.leakage.rows import judge_rows
from tests.support.leakage_scenario import AUDIT, labels, scenario, signal

LABEL = labels(4000)
LATER = np.arange(4000) >= 2800


def check(columns: dict[str, np.ndarray], label: np.ndarray = LABEL, order: str = "dates") -> CheckResult:
    made = scenario(columns, label, order)
    return vanishes(made.matrix, made.rows, order, 7, AUDIT)


@pytest.mark.parametrize("later", [0.0, -0.8])
@pytest.mark.parametrize("order", ["dates", "rows"])
def test_a_field_that_stops_telling_or_turns_is_named(later: float, order: str) -> None:
    turned = np.where(LATER, signal(LABEL, later), signal(LABEL, 0.8))
    found = check({"rate": turned, "visits": signal(LABEL, 0.8, seed=4)}, order=order)
    assert (found.code, found.status, list(found.columns)) == ("LK10", "failed", ["rate"])
    assert "in training" in found.columns["rate"]
    assert "1 of 2 fields that rank 2,800 training leads do not rank 1,200 later ones" in found.detail
    assert found.fix


def test_a_field_that_only_told_the_time_is_named() -> None:
    season = np.where(np.arange(4000) < 1400, 0.0, 1.0)
    label = (np.random.default_rng(2).random(4000) < np.where(season > 0, 0.5, 0.1)).astype("float64")
    again = np.where(LATER, np.random.default_rng(3).random(4000) < 0.5, season).astype("float64")
    assert list(check({"season": again}, label).columns) == ["season"]


def test_a_field_that_weakens_is_not_named() -> None:
    weaker = np.where(LATER, signal(LABEL, 0.5), signal(LABEL, 0.8))
    assert check({"rate": weaker}).status == "passed"


def test_a_field_that_never_told_has_nothing_to_lose() -> None:
    found = check({"noise": signal(LABEL, 0.0)})
    assert found.status == "passed"
    assert "0 of 0 fields" in found.detail


def test_a_short_later_period_does_not_condemn() -> None:
    few = labels(1000)
    turned = np.where(np.arange(1000) >= 700, signal(few, 0.0), signal(few, 0.9))
    assert check({"rate": turned}, few).status == "passed"  # AUC .5 on 300 leads: what it told may be left
    unsure = AUDIT.model_copy(update={"confidence": 0.51})
    made = scenario({"rate": turned}, few, "dates")
    narrow = judge_rows(made.matrix, made.spec, "dates", 7, unsure)
    assert vanishes(made.matrix, narrow, "dates", 7, unsure).status == "failed"


def test_without_order_or_with_too_few_there_is_nothing_to_ask() -> None:
    assert check({"rate": signal(LABEL, 1.0)}, order="none").status == "not applicable"
    few = labels(120)
    assert check({"rate": signal(few, 1.0)}, few).status == "not applicable"
