"""LK09: the id or the order of rows predicts the outcome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.checks import CheckResult
from models.leakage.timing_checks import order_predicts_outcome
from tests.support.leakage_scenario import AUDIT, labels

LABEL = labels(2000)
SHUFFLED = np.random.default_rng(3).permutation(2000)


def check(label: np.ndarray, ids: Sequence[str], order: str = "none") -> CheckResult:
    leads = pd.DataFrame({"lead_id": pd.Series(list(ids), dtype="str"), "position": np.arange(len(ids))})
    if order == "dates":
        leads = leads.assign(created_at=pd.Timestamp("2025-01-01") + pd.to_timedelta(leads["position"], unit="h"))
    outcome = pd.Series(label, index=leads["lead_id"])
    return order_predicts_outcome(leads.sample(frac=1, random_state=1), outcome, order, AUDIT)


def test_a_file_sorted_by_outcome_is_told() -> None:
    found = check(np.sort(LABEL), [f"a{place:04d}" for place in SHUFFLED])
    assert (found.code, found.status, list(found.columns)) == ("LK09", "failed", ["the order of rows"])
    assert "sorted or numbered" in found.fix


def test_ids_numbered_by_outcome_are_told() -> None:
    rank = np.empty(2000, dtype=int)
    rank[np.lexsort((SHUFFLED, LABEL))] = np.arange(2000)
    assert list(check(LABEL, [f"a{place}" for place in rank]).columns) == ["the number in lead_id"]


def test_ids_lettered_by_outcome_are_told() -> None:
    ids = [f"{'CUST' if won else 'LEAD'}-{place}" for won, place in zip(LABEL, SHUFFLED, strict=True)]
    assert list(check(LABEL, ids).columns) == ["the letters of lead_id"]


def test_ids_and_order_that_say_nothing_are_not_told() -> None:
    found = check(LABEL, [f"{'ab'[place % 2]}{place}" for place in SHUFFLED])
    assert found.status == "passed"
    assert found.detail.count(" 0.") == 3  # all three were looked at


def test_with_dates_the_drift_of_the_base_rate_is_not_told() -> None:
    drifting = (np.random.default_rng(5).random(2000) < np.linspace(0.1, 0.9, 2000)).astype("float64")
    ids = [f"a{place:04d}" for place in range(2000)]
    assert check(drifting, ids).status == "failed"
    assert check(drifting, ids, "dates").status == "passed"


def test_leads_without_an_outcome_are_passed_over() -> None:
    leads = pd.DataFrame({"lead_id": [f"a{place}" for place in range(2000)], "position": range(2000)})
    known = pd.Series(np.sort(LABEL)[::2], index=leads["lead_id"][::2])
    assert "1,000 leads" in order_predicts_outcome(leads, known, "none", AUDIT).detail


def test_rows_that_are_numbered_in_the_order_of_time_are_not_asked() -> None:
    found = check(np.sort(LABEL), [str(place + 1) for place in range(2000)], "rows")
    assert found.status == "not applicable"


def test_too_few_leads_say_nothing() -> None:
    assert check(np.sort(LABEL)[-60:], [f"a{place}" for place in SHUFFLED[:60]]).status == "not applicable"
