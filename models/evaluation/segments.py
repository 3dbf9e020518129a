"""The segments by which figures are computed separately."""

from __future__ import annotations

import pandas as pd

from features.matrix.catalogue import Catalogue
from models.evaluation.metrics import EvaluateParams

REST = "other"


def segment_levels(rows: pd.DataFrame, catalogue: Catalogue, params: EvaluateParams) -> pd.DataFrame:
    """Name the segment of each row.

    Parameters
    ----------
    rows
        The feature matrix, with the codes of its categories.

    Returns
    -------
    DataFrame
        One column for each of `evaluate.segments` that is a category of the matrix, by the index of `rows`; levels with
        fewer than `min_segment_rows` rows are grouped as "other".
    """
    levels = {entry.name: entry.levels for entry in catalogue if entry.levels is not None}
    named = {name: _named(rows[name], levels[name], params) for name in params.segments if name in levels}
    return pd.DataFrame(named, index=rows.index)


def _named(codes: pd.Series[float], levels: list[str], params: EvaluateParams) -> pd.Series[str]:
    name = codes.map({float(code): level for code, level in enumerate(levels)}).astype(object).fillna("not known")
    counts = name.value_counts()
    return name.where(name.map(counts) >= params.min_segment_rows, REST).astype("str")
