"""Conversion by value: every later row in one value, rates with intervals, and what has vanished since training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.evaluation.intervals import rate_interval
from models.explanation.category_rates import NOT_KNOWN, category_rates
from tests.support.tables import SPEC

ENTRIES = [entry for entry in SPEC.catalogue if entry.levels is not None]
SECTOR = next(entry for entry in ENTRIES if entry.name == "sector")


def rows(codes: list[float], label: list[float], lead: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"lead_id": lead, "label": label, "sector": codes})
    return frame.assign(**{entry.name: np.nan for entry in ENTRIES if entry.name != "sector"})


LATER = rows([0, 0, 0, 1, np.nan, 7, 1], [1, 0, 1, 0, 1, 0, 0], ["a", "a", "b", "c", "d", "e", "f"])
EARLIER = rows([0, 1, 2, np.nan], [0, 0, 1, 0], ["x", "y", "z", "w"])


def test_every_row_is_in_one_value() -> None:
    rates = {one.name: one for one in category_rates(LATER, EARLIER, SPEC.catalogue, 0.9)}
    assert list(rates) == [entry.name for entry in ENTRIES]
    assert all(sum(level.n for level in one.levels) == len(LATER) for one in rates.values())
    levels = {level.value: level for level in rates["sector"].levels}
    first = (SECTOR.levels or [])[0]
    assert (levels[first].n, levels[first].n_leads, levels[first].n_positive) == (3, 2, 2)
    assert (levels[NOT_KNOWN].n, levels[NOT_KNOWN].rate) == (2, 0.5)
    assert levels[first].times == pytest.approx((2 / 3) / (3 / 7))
    assert rates["sector"].levels[0].value == first, "the most frequent first"
    assert rates["sector"].vanished == [(SECTOR.levels or [])[2]]


def test_intervals_know_that_rows_of_a_lead_depend_on_each_other() -> None:
    level = category_rates(LATER, EARLIER, [SECTOR], 0.9)[0].levels[0]
    low, high = rate_interval(np.array([1.0, 0.0, 1.0]), np.array(["a", "a", "b"]), 0.9)
    assert (level.rate_low, level.rate_high) == (low, high)
    assert low < level.rate < high


def test_nothing_is_times_an_average_of_nought() -> None:
    rates = category_rates(LATER.assign(label=0.0), EARLIER, [SECTOR], 0.9)[0]
    assert {level.times for level in rates.levels} == {None}
    assert category_rates(LATER.head(0), EARLIER, [SECTOR], 0.9)[0].levels == []
