"""Proxies: a feature that tells a sensitive attribute is named with its strength; chance is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.matrix.catalogue import Entry
from models.evaluation.sensitive import groups_of
from models.leakage.proxies import cramers_v, proxies


def entry(name: str, levels: list[str] | None = None) -> Entry:
    return Entry(
        name=name, group="fit", channel="none", theme=name, theme_label=name, measure="value", label=name.upper(),
        unit="", direction="none", levels=levels, empty="none",
    )  # fmt: skip


def test_the_feature_that_tells_the_attribute_is_the_strongest() -> None:
    rng = np.random.default_rng(1)
    age = rng.uniform(18, 80, 3_000)
    rows = pd.DataFrame(
        {
            "lead_id": [f"L{number}" for number in range(3_000)], "snapshot_at": pd.NaT,
            "same": age * 2 + 1, "near": age + rng.normal(0, 15, 3_000), "coin": rng.normal(size=3_000),
            "job": rng.integers(0, 30, 3_000).astype(float),
        }
    )  # fmt: skip
    entries = [entry("coin"), entry("near"), entry("job", [f"j{number}" for number in range(30)]), entry("same")]
    found = proxies(rows, groups_of(pd.Series(age).where(age < 79), [30, 50]), entries)
    assert [one.feature for one in found][:2] == ["same", "near"] and found[0].label == "SAME"
    assert found[0].strength > 0.9 > 0.7 > found[1].strength > 0.3
    assert max(one.strength for one in found[2:]) < 0.06  # 30 levels tell nothing by being many


@pytest.mark.parametrize("one", [[], [0], [0, 0, 0], [0, 1]])
def test_what_cannot_be_measured_is_none(one: list[int]) -> None:
    assert cramers_v(np.array(one, "int64"), np.zeros(len(one), "int64")) == 0.0


def test_either_telling_the_other_is_one() -> None:
    codes = np.arange(900) % 3
    assert cramers_v(codes, codes) == pytest.approx(1.0)
