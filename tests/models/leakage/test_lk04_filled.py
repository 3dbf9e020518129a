"""LK04: a field is filled only after the outcome."""

from __future__ import annotations

import numpy as np
import pytest

from models.leakage.field_checks import filled_after_outcome
from tests.support.leakage_scenario import AUDIT, emptied, labels, scenario

LABEL = labels(2000)
DRAW = np.random.default_rng(9).random(len(LABEL))
NOISE = np.random.default_rng(8).normal(size=len(LABEL))


def filled_for(won: float, lost: float) -> np.ndarray:
    """A number that says nothing but by being there for these shares of the leads of either outcome."""
    return emptied(NOISE, np.where(LABEL > 0, won, lost) > DRAW)


@pytest.mark.parametrize(("won", "lost"), [(0.9, 0.05), (0.7, 0.3), (0.02, 0.6)])
def test_a_field_filled_for_one_outcome_is_named(won: float, lost: float) -> None:
    check = filled_after_outcome(scenario({"deal": filled_for(won, lost), "age": NOISE}, LABEL).rows, AUDIT)
    assert (check.code, check.status, list(check.columns)) == ("LK04", "failed", ["deal"])
    assert "2,000 leads" in check.detail
    assert "known: outcome" in check.fix


@pytest.mark.parametrize(("won", "lost"), [(0.5, 0.5), (0.9, 0.6), (0.2, 0.02)])
def test_a_field_that_is_somewhat_more_often_filled_is_not_named(won: float, lost: float) -> None:
    check = filled_after_outcome(scenario({"industry": filled_for(won, lost)}, LABEL).rows, AUDIT)
    assert check.status == "passed"
    assert "industry" in check.detail


def test_a_form_that_gained_a_field_when_more_leads_bought_is_not_named() -> None:
    late = np.arange(3000) >= 1500
    label = (np.random.default_rng(4).random(3000) < np.where(late, 0.7, 0.1)).astype("float64")
    new = emptied(np.random.default_rng(8).normal(size=3000), late)
    assert filled_after_outcome(scenario({"new": new}, label).rows, AUDIT).status == "failed"
    assert filled_after_outcome(scenario({"new": new}, label, order="rows").rows, AUDIT).status == "passed"


def test_few_leads_must_differ_more() -> None:
    few = np.r_[np.ones(60), np.zeros(60)]
    gap = np.r_[np.arange(60) < 36, np.arange(60) < 15]  # 60% and 25%: on 120 leads it may be chance
    assert filled_after_outcome(scenario({"deal": emptied(np.ones(120), gap)}, few).rows, AUDIT).status == "passed"


def test_fields_with_dates_are_not_asked() -> None:
    rows = scenario({"deal": filled_for(0.9, 0.05)}, LABEL, "dates", "history").rows
    assert filled_after_outcome(rows, AUDIT).status == "not applicable"
