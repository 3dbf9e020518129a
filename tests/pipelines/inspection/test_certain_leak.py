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
