"""LK02: a field is a sibling of the label."""

from __future__ import annotations

import numpy as np

from models.leakage.field_checks import mirrors_label
from tests.support.leakage_scenario import AUDIT, labels, scenario, signal

LABEL = labels(2000, share=0.1)


def flipped(share: float) -> np.ndarray:
    """Two words for the label, wrong for this share of the leads."""
    wrong = np.random.default_rng(5).random(len(LABEL)) < share
    return np.where((LABEL > 0) ^ wrong, "signed", "gone")


def test_the_label_in_other_words_is_named() -> None:
    check = mirrors_label(scenario({"verdict": flipped(0.01), "size": signal(LABEL, 0.8)}, LABEL).rows, AUDIT)
    assert (check.code, check.status, list(check.columns)) == ("LK02", "failed", ["verdict"])
    assert "of the doubt" in check.columns["verdict"]
    assert "known: outcome" in check.fix


def test_siblings_do_not_hide_one_another() -> None:
    twins = {"verdict": flipped(0.01), "status": flipped(0.0)}
    assert set(mirrors_label(scenario(twins, LABEL).rows, AUDIT).columns) == set(twins)


def test_a_strong_field_with_doubt_left_is_no_sibling() -> None:
    check = mirrors_label(scenario({"size": signal(LABEL, 1.5)}, LABEL).rows, AUDIT)
    assert check.status == "passed"
    assert "size" in check.detail


def test_one_pure_level_among_many_is_no_sibling() -> None:
    region = np.where((LABEL > 0) & (np.arange(len(LABEL)) % 5 == 0), "islands", "mainland")
    assert mirrors_label(scenario({"region": region}, LABEL).rows, AUDIT).status == "passed"


def test_words_of_one_lead_each_are_no_sibling() -> None:
    names = np.array([f"lead {place}" for place in range(len(LABEL))])
    assert mirrors_label(scenario({"name": names}, LABEL).rows, AUDIT).status == "passed"


def test_few_leads_must_tell_more() -> None:
    few = np.r_[np.ones(75), np.zeros(75)]
    wrong = np.random.default_rng(5).random(150) < 0.08
    rows = scenario({"verdict": np.where((few > 0) ^ wrong, "signed", "gone")}, few).rows
    assert (
        rows.strengths["verdict"].uncertainty_coefficient > AUDIT.sibling_share
    )  # but by no more than chance may give
    assert mirrors_label(rows, AUDIT).status == "passed"


def test_leads_of_one_outcome_have_no_sibling() -> None:
    check = mirrors_label(scenario({"verdict": flipped(0.0)}, np.zeros(2000)).rows, AUDIT)
    assert check.status == "not applicable"
