"""Where the order of the rows may stand in for time, `inspect` says which way they run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.inspection.proposal import inspect

DAYS = pd.date_range("2024-04-01", periods=240, freq="D")
COLUMNS = {
    "iso": DAYS.strftime("%Y-%m-%d"),
    "German": DAYS.strftime("%d.%m.%Y"),
    "American": DAYS.strftime("%m/%d/%Y"),
    "month": DAYS.strftime("%b").str.lower(),
    "Month": DAYS.strftime("%B"),
    "year": pd.Index([str(2015 + n // 24) for n in range(240)]),
}


def said(folder: Path, cells: list[str], name: str) -> list[str]:
    """The warnings of a table of two such columns, so that neither is taken for the creation."""
    rows = [f"L{n},{n % 7},{cell},{'yes' if n % 5 == 0 else 'no'}" for n, cell in enumerate(cells)]
    (folder / "leads.csv").write_text("\n".join([f"lead_id,size,{name},converted", *rows]) + "\n")
    return [warning for warning in inspect(folder / "leads.csv", None, None).warnings if "the rows " in warning]


@pytest.mark.parametrize("kind", ["month", "Month", "year"])
@pytest.mark.parametrize(
    ("way", "words"),
    [(1, "run oldest first"), (-1, "run newest first"), (0, "are mixed")],
)
def test_which_way_the_rows_run(kind: str, way: int, words: str, tmp_path: Path) -> None:
    cells = list(COLUMNS[kind])[:: way or 1]
    if not way:
        cells = np.random.default_rng(3).permutation(cells).tolist()
    name = "year" if kind == "year" else "month"
    warning = said(tmp_path, cells, name)[0]
    assert f"the rows {words} by {name!r} ({cells[0]} in the first, {cells[-1]} in the last)" in warning
    assert ("turn them round" in warning) == (way < 0)


@pytest.mark.parametrize("kind", ["iso", "German", "American"])
@pytest.mark.parametrize(("way", "words"), [(1, "run oldest first"), (-1, "run newest first")])
def test_dates_that_are_no_creation_show_it_too(kind: str, way: int, words: str, tmp_path: Path) -> None:
    cells = [cell if n % 3 else "" for n, cell in enumerate(COLUMNS[kind][::way])]  # too few for a date of creation
    warning = said(tmp_path, cells, "last_contact")[0]
    assert f"the rows {words} by 'last_contact'" in warning


def test_numbers_and_words_show_no_direction(tmp_path: Path) -> None:
    assert said(tmp_path, [str(n) for n in range(240)], "size_2") == []
    assert said(tmp_path, ["mayor" if n % 2 else "deputy" for n in range(240)], "contact") == []
