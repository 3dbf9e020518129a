"""LK05: fields are filled in one step, and nothing says when."""

from __future__ import annotations

import numpy as np

from models.leakage.field_checks import filled_in_one_step
from tests.support.leakage_scenario import AUDIT, emptied, labels, scenario, signal

LABEL = labels(2000)
WORKED = np.random.default_rng(6).random(len(LABEL)) < 0.5  # whatever the outcome


def block(filled: np.ndarray, strength: float) -> dict[str, np.ndarray]:
    return {name: emptied(signal(LABEL, strength, seed), filled) for seed, name in enumerate(["one", "two", "three"])}


def test_a_block_that_tells_is_named_whole() -> None:
    weak = {"four": emptied(signal(LABEL, 0.0, seed=9), WORKED)}
    columns = block(WORKED, 0.6) | weak | {"visits": signal(LABEL, 1.0)}
    check = filled_in_one_step(scenario(columns, LABEL).rows, AUDIT)
    assert (check.code, check.status) == ("LK05", "failed")
    assert set(check.columns) == {"one", "two", "three", "four"}
    assert check.columns["one"] == "filled in the same 49% of the leads as four, three, two"
    assert "known: outcome" in check.fix


def test_of_a_large_block_only_the_fields_that_tell_are_named() -> None:
    """All that is known of a person is filled together; 27 honest fields would hide the two that are not."""
    person = {f"person {n}": emptied(signal(LABEL, 0.1, seed=20 + n), WORKED) for n in range(27)}
    check = filled_in_one_step(scenario(person | dict(list(block(WORKED, 1.5).items())[:2]), LABEL).rows, AUDIT)
    assert set(check.columns) == {"one", "two"}
    assert check.columns["one"].endswith("and 23 more")


def test_a_block_that_tells_nothing_is_not_named() -> None:
    check = filled_in_one_step(scenario(block(WORKED, 0.0), LABEL).rows, AUDIT)
    assert check.status == "passed"
    assert "1 blocks" in check.detail


def test_fields_that_differ_in_one_row_are_no_block() -> None:
    columns = block(WORKED, 1.0)
    for place, name in enumerate(columns):
        columns[name][place] = 0.0 if np.isnan(columns[name][place]) else np.nan
    assert filled_in_one_step(scenario(columns, LABEL).rows, AUDIT).status == "passed"


def test_fields_that_are_always_or_hardly_ever_filled_are_no_block() -> None:
    hardly = np.arange(len(LABEL)) % 100 == 0
    for filled in (hardly, ~hardly, np.ones(len(LABEL), dtype=bool)):
        assert filled_in_one_step(scenario(block(filled, 1.0), LABEL).rows, AUDIT).status == "passed"


def test_fields_known_at_creation_are_not_asked() -> None:
    check = filled_in_one_step(scenario(block(WORKED, 1.0), LABEL, "dates", "creation").rows, AUDIT)
    assert check.status == "not applicable"
