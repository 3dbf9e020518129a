"""A column that tells the outcome (nearly) without fail is a leak, however strong the others are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.inspection.column_facts import leaks


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_it_is_named_where_it_stands_out_little(wrong: int) -> None:
    label = np.arange(600) % 3 == 0
    noisy, certain = label.copy(), label.copy()
    noisy[:40] = ~noisy[:40]  # an AUC of about .93, as most columns of this file
    certain[:wrong] = ~certain[:wrong]
    columns = {f"strong_{n}": noisy for n in range(3)} | {"told": certain}
    frame = pd.DataFrame({name: np.where(cells, "a", "b") for name, cells in columns.items()}, dtype="str")
    assert "told" in leaks(frame, list(columns), pd.Series(label))


@pytest.mark.parametrize(
    ("won", "other"),
    [("a", "b"), ("x", None), (None, "x"), ("{row}.5", "-{row}"), ("1", "0"), ("deal {row}", "")],
)
def test_it_is_named_alone_or_beside_one_that_says_little(won: str | None, other: str | None) -> None:
    label = np.arange(600) % 3 == 0
    cells = [won if hit else other for hit in label]
    told = [cell and cell.format(row=row) for row, cell in enumerate(cells)]
    frame = pd.DataFrame({"told": told, "rest": [str(row % 7) for row in range(600)]}, dtype="str")
    for names in (["told"], ["told", "rest"]):
        assert list(leaks(frame, names, pd.Series(label))) == ["told"]
