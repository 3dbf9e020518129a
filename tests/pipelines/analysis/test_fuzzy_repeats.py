"""Leads that may be one although they are spelled otherwise: planted, with a wrong letter in every second name."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.schema.errors import ParamsError
from pipelines.analysis.fuzzy_repeats import COLUMNS, write_fuzzy_repeats
from tests.features.attributes.test_duplicates import planted


def with_typos(seed: int) -> tuple[pd.DataFrame, set[tuple[int, int]]]:
    leads, truth = planted(seed)
    random = np.random.default_rng(seed)
    for row in sorted({max(pair) for pair in truth})[::2]:
        name = list(str(leads.loc[row, "name"]))
        name[int(random.integers(1, len(name) - 1))] = "x"
        leads.loc[row, "name"] = "".join(name)
    return leads, truth


def write(leads: pd.DataFrame, path: Path) -> None:
    names = {"name": "Full Name", "firm": "Company", "mail": "Email", "phone": "Phone"}
    table = leads[list(names)].rename(columns=names)
    table.insert(0, "Lead ID", [f"L{row}" for row in leads.index])
    table.to_csv(path, index=False)


def test_planted_repeats_are_found_and_few_others(tmp_path: Path) -> None:
    pytest.importorskip("splink", reason="the extra fuzzy is not installed")
    leads, truth = with_typos(1)
    write(leads, tmp_path / "leads.csv")
    count = write_fuzzy_repeats(tmp_path / "leads.csv", tmp_path / "pairs.csv")
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert tuple(pairs) == COLUMNS and len(pairs) == count and pairs["probability"].is_monotonic_decreasing
    found = {(int(a[1:]), int(b[1:])) for a, b in zip(pairs["lead_id"], pairs["merged_into"], strict=True)}
    found = {(min(pair), max(pair)) for pair in found}
    assert len(found & truth) >= 0.9 * len(truth) and len(found - truth) <= 5


def test_without_splink_or_names_one_line_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leads, _ = planted(1)
    write(leads.head(20), tmp_path / "leads.csv")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ParamsError, match="install the extra `fuzzy`"):
        write_fuzzy_repeats(tmp_path / "leads.csv", tmp_path / "pairs.csv")
    assert not (tmp_path / "pairs.csv").exists()
    (tmp_path / "bare.csv").write_text("lead_id,size\na,1\nb,2\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="no column of names"):
        write_fuzzy_repeats(tmp_path / "bare.csv", tmp_path / "pairs.csv")
