"""LK08: a lead is in both training and test."""

from __future__ import annotations

import pandas as pd

from models.leakage.timing_checks import split_overlap

MONDAY, WEEK = pd.Timestamp("2025-03-03"), pd.Timedelta(weeks=1)


def rows(*snapshots: tuple[str, int, int, str]) -> pd.DataFrame:
    """Lead, week of the snapshot, week in which its label is known, part."""
    return pd.DataFrame(
        {
            "lead_id": [lead for lead, *_ in snapshots],
            "snapshot_at": [MONDAY + at * WEEK for _, at, _, _ in snapshots],
            "known_at": [MONDAY + known * WEEK for _, _, known, _ in snapshots],
            "part": [part for *_, part in snapshots],
        }
    )


def test_a_lead_whose_label_was_known_only_during_the_test_is_told() -> None:
    matrix = rows(("a", 0, 4, "train"), ("b", 0, 6, "train"), ("b", 5, 9, "test"), ("c", 5, 9, "test"))
    check = split_overlap(matrix, "dates")
    assert (check.code, check.status, check.columns) == ("LK08", "failed", {"lead_id": "1 of 2 test leads"})
    assert "build_features" in check.fix


def test_without_dates_a_lead_on_both_sides_is_told() -> None:
    matrix = rows(("a", 0, 0, "train"), ("b", 0, 0, "train"), ("a", 0, 0, "test"))
    assert split_overlap(matrix, "none").status == "failed"
    assert split_overlap(matrix, "rows").status == "failed"


def test_a_lead_that_taught_before_the_test_began_may_be_tested() -> None:
    matrix = rows(("a", 0, 5, "train"), ("a", 4, 8, "embargo"), ("a", 5, 9, "test"))
    check = split_overlap(matrix, "dates")
    assert check.status == "passed"
    assert "1 test leads" in check.detail


def test_other_leads_may_be_known_late() -> None:
    assert split_overlap(rows(("a", 0, 8, "train"), ("b", 5, 9, "test")), "dates").status == "passed"


def test_without_a_test_there_is_nothing_to_ask() -> None:
    assert split_overlap(rows(("a", 0, 5, "train")), "dates").status == "not applicable"
    assert split_overlap(rows(("a", 0, 5, "test")), "dates").status == "not applicable"
