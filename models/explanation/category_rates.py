"""How the leads of each value of a category converted, compared with all leads of the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.matrix.catalogue import Catalogue, Entry
from models.evaluation.intervals import rate_interval
from models.explanation.results import CategoryRates, ValueRate

NOT_KNOWN = "not known"


def category_rates(
    later: pd.DataFrame, earlier: pd.DataFrame, entries: Catalogue, confidence: float
) -> list[CategoryRates]:
    """Count conversions by value of each category.

    Parameters
    ----------
    later, earlier
        lead_id, label and the features, of the test and of the training rows.
    entries
        The features; those without levels are left out.
    confidence
        Of the intervals.

    Returns
    -------
    list of CategoryRates
        In the catalogue's order.

    Intervals are those of `rate_interval`, which knows that rows of one lead depend on each other.
    """
    average = float(later["label"].mean()) if len(later) else 0.0
    return [_category(later, earlier, entry, average, confidence) for entry in entries if entry.levels is not None]


def _category(
    later: pd.DataFrame, earlier: pd.DataFrame, entry: Entry, average: float, confidence: float
) -> CategoryRates:
    named, before = (_named(rows[entry.name], entry.levels or []) for rows in (later, earlier))
    levels = [
        _level(value, later[(named == value).to_numpy()], average, confidence) for value in named.value_counts().index
    ]
    gone = sorted(set(before) - set(named) - {NOT_KNOWN})
    ranked = sorted(levels, key=lambda level: (-level.n, level.value))
    return CategoryRates(name=entry.name, label=entry.label, group=entry.group, levels=ranked, vanished=gone)


def _named(codes: pd.Series[float], levels: list[str]) -> pd.Series[str]:
    names = np.array([*levels, NOT_KNOWN], dtype=object)
    known = codes.notna() & (codes >= 0) & (codes < len(levels))
    return pd.Series(names[np.where(known, codes, len(levels)).astype("intp")], index=codes.index, dtype="str")


def _level(value: str, rows: pd.DataFrame, average: float, confidence: float) -> ValueRate:
    label, lead = rows["label"].to_numpy("float64"), rows["lead_id"].to_numpy()
    low, high = rate_interval(label, lead, confidence)
    rate = float(label.mean())
    return ValueRate(
        value=value,
        n=len(rows),
        n_leads=int(rows["lead_id"].nunique()),
        n_positive=int(label.sum()),
        rate=rate,
        rate_low=low,
        rate_high=high,
        times=rate / average if average else None,
    )
