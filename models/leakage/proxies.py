"""Which features stand in for a sensitive attribute: those that tell its groups, whether or not it is read itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.matrix.catalogue import Entry
from models.evaluation.sensitive import NOT_KNOWN, Proxy
from models.leakage.rows import levels_of


def proxies(rows: pd.DataFrame, groups: pd.Series[str], entries: Sequence[Entry]) -> list[Proxy]:
    """Measure how well each feature tells the group of a lead, strongest first.

    Cramér's V of the feature's values (numbers in 20 bins of equal size) and the groups, on the last row of each lead
    whose group is known. One feature at a time: several together may tell more.

    Parameters
    ----------
    rows
        lead_id, snapshot_at and the features.
    groups
        Of each row, see `sensitive.groups_of`.
    """
    last = rows.sort_values(["lead_id", "snapshot_at"]).drop_duplicates("lead_id", keep="last").index
    known = last[(groups.loc[last] != NOT_KNOWN).to_numpy()]
    code = pd.factorize(groups.loc[known])[0]
    measured = [
        Proxy(feature=entry.name, label=entry.label, strength=cramers_v(levels_of(rows.loc[known], entry), code))
        for entry in entries
    ]
    return sorted(measured, key=lambda one: (-one.strength, one.feature))


def cramers_v(one: np.ndarray, other: np.ndarray) -> float:
    """Return how strongly two categories go together: 0 not at all, 1 where either tells the other.

    Without the correction of its bias, many levels on few rows would seem to tell something.

    Parameters
    ----------
    one, other
        Codes from 0, shape (n,).

    Source: Bergsma 2013, A bias-correction for Cramér's V and Tschuprow's T, Journal of the Korean Statistical Society
    42, 323-328.
    """
    table = np.zeros((int(one.max(initial=0)) + 1, int(other.max(initial=0)) + 1))
    np.add.at(table, (one, other), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    n, (rows, columns) = len(one), table.shape
    if n < 2 or min(rows, columns) < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    square = float(((table - expected) ** 2 / expected).sum()) / n - (rows - 1) * (columns - 1) / (n - 1)
    width = min(size - 1 - (size - 1) ** 2 / (n - 1) for size in (rows, columns))
    return min(1.0, float(np.sqrt(max(square, 0.0) / width))) if width > 0 else 0.0
