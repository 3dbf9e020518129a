"""LK01: one field tells far more than the rest."""

from __future__ import annotations

import numpy as np

from models.leakage.field_checks import outranks_rest
from tests.support.leakage_scenario import AUDIT, emptied, labels, scenario, signal

LABEL = labels(3000)
HONEST = {f"visits_{i}": signal(LABEL, 0.1 * i, seed=i) for i in range(6)}


def test_a_field_far_above_the_rest_is_named_alone() -> None:
    check = outranks_rest(scenario(HONEST | {"call": signal(LABEL, 2.0)}, LABEL).rows, AUDIT)
    assert (check.code, check.status, list(check.columns)) == ("LK01", "failed", ["call"])
    assert "AUC of 0.9" in check.columns["call"]
    assert "3,000 leads" in check.detail
    assert "known: outcome" in check.fix


def test_many_strong_fields_do_not_hide_one_another() -> None:
    strong = {f"late_{i}": signal(LABEL, 1.8 + 0.1 * i, seed=20 + i) for i in range(9)}
    assert set(outranks_rest(scenario(HONEST | strong, LABEL).rows, AUDIT).columns) == set(strong)


def test_a_field_that_is_empty_for_the_lost_is_seen() -> None:
    value = emptied(signal(LABEL, 0.0), (LABEL > 0) | (np.arange(len(LABEL)) % 10 == 0))
    assert list(outranks_rest(scenario(HONEST | {"value": value}, LABEL).rows, AUDIT).columns) == ["value"]


def test_an_honestly_strong_field_is_not_named() -> None:
    check = outranks_rest(scenario(HONEST | {"time_spent": signal(LABEL, 1.0)}, LABEL).rows, AUDIT)
    assert check.status == "passed"
    assert "time_spent" in check.detail  # but it is shown what was looked at
    assert check.columns == {}
    assert check.fix == ""


def test_a_strong_field_close_to_one_that_is_not_so_strong_is_not_named() -> None:
    near = {"nearly": signal(LABEL, 1.15, seed=8), "strong": signal(LABEL, 1.4, seed=9)}
    rows = scenario(near, LABEL).rows
    low = {one.column: rows.low_auc(one) for one in rows.subjects}
    assert low["nearly"] < AUDIT.strong_auc < low["strong"]
    check = outranks_rest(rows, AUDIT.model_copy(update={"stands_out": 0.1}))
    assert check.status == "passed"
    assert list(outranks_rest(rows, AUDIT.model_copy(update={"stands_out": 0.01})).columns) == ["strong"]


def test_an_auc_of_99_percent_is_named_however_little_it_stands_out() -> None:
    label = labels(300)
    rows = scenario({"copy": signal(label, 3.8), "near": signal(label, 1.15, seed=8)}, label).rows
    copy, near = rows.subjects
    assert rows.low_auc(copy) < 0.99 <= rows.best(copy).auc
    assert rows.low_auc(near) < AUDIT.strong_auc
    wide = AUDIT.model_copy(update={"stands_out": 0.4})
    assert list(outranks_rest(rows, wide).columns) == ["copy"]


def test_a_field_that_tells_the_time_is_not_named_where_rows_are_in_its_order() -> None:
    share = np.repeat(np.arange(12) % 2, 250)  # the base rate jumps between periods, and the field with it
    label = (np.random.default_rng(3).random(3000) < np.where(share, 0.95, 0.05)).astype("float64")
    columns = {"rate_of_interest": share.astype("float64"), "other": signal(label, 0.2)}
    assert list(outranks_rest(scenario(columns, label).rows, AUDIT).columns) == ["rate_of_interest"]
    assert outranks_rest(scenario(columns, label, order="rows").rows, AUDIT).status == "passed"


def test_too_few_leads_of_one_outcome_say_nothing() -> None:
    label = np.r_[np.ones(AUDIT.min_each - 1), np.zeros(400)]
    check = outranks_rest(scenario({"call": signal(label, 5.0)}, label).rows, AUDIT)
    assert check.status == "not applicable"
    assert f"{AUDIT.min_each - 1} leads that converted" in check.detail


def test_without_fields_there_is_nothing_to_ask() -> None:
    assert outranks_rest(scenario({}, LABEL).rows, AUDIT).status == "not applicable"
