"""How far a population has moved: how large a shift is, and whether chance makes shifts as large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from features.matrix.catalogue import Entry

Row = dict[str, Any]
BINS = 10  # of a number, by its quantiles in the reference
LEAST_EXPECTED = 5.0  # leads a bin must be expected to hold for the chi-square to be trusted (Cochran 1954)


@dataclass(frozen=True)
class DriftSample:
    """Rows of one side, reference or current, and how many independent leads say as much.

    Attributes
    ----------
    rows
        One column a feature; categories by their codes.
    leads
        At most the number of rows; see `independent_leads`.
    """

    rows: pd.DataFrame
    leads: float

    @classmethod
    def of(cls, rows: pd.DataFrame) -> DriftSample:
        """Count the leads behind rows that have lead_id."""
        return cls(rows, independent_leads(rows["lead_id"]))


def independent_leads(lead_id: pd.Series[str]) -> float:
    """Return how many leads with one row each say as much as rows of which several belong to one lead.

    The rows of a lead count as if they were copies of one another, which no shift of its features can be surer of.
    Source: Kish 1965, Survey Sampling: (sum of weights)^2 / sum of squared weights, with the rows of a lead as weight.
    """
    weight = lead_id.value_counts().to_numpy("float64")
    return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0


def feature_drift(reference: DriftSample, current: DriftSample, entries: Sequence[Entry]) -> list[Row]:
    """Measure the shift of each feature, and how likely chance alone makes it.

    Returns
    -------
    list
        One a feature, by its shift, largest first: name, label, group, psi (population stability index), ks
        (Kolmogorov-Smirnov distance, None of a category), missing_reference, missing_current (shares), p_value and
        adjusted_p_value (the same by Holm over all of these features).
    """
    if not len(entries) or not len(reference.rows) or not len(current.rows):
        return []
    shifts = [_of_feature(reference, current, entry) for entry in entries]
    adjusted = holm(np.array([row["p_value"] for row in shifts]))
    rows = [row | {"adjusted_p_value": float(chance)} for row, chance in zip(shifts, adjusted, strict=True)]
    return sorted(rows, key=lambda row: (-row["psi"], row["name"]))


def _of_feature(reference: DriftSample, current: DriftSample, entry: Entry) -> Row:
    before, now = (side.rows[entry.name].to_numpy("float64") for side in (reference, current))
    return {
        "name": entry.name,
        "label": entry.label,
        "group": entry.group,
        "missing_reference": float(np.isnan(before).mean()),
        "missing_current": float(np.isnan(now).mean()),
    } | shift(before, now, reference.leads, current.leads, codes=len(entry.levels) if entry.levels else None)


def shift(before: np.ndarray, now: np.ndarray, leads_before: float, leads_now: float, codes: int | None) -> Row:
    """Measure how far values have moved.

    Parameters
    ----------
    before, now
        Shapes (n,) and (m,), neither empty; missing values are a bin of their own.
    leads_before, leads_now
        Independent leads behind them.
    codes
        Of a category: how many levels it has; None for a number.

    Returns
    -------
    dict
        psi, ks (None for a category, and where either side is all missing) and p_value.
    """
    counts = _binned(before, now, codes)
    psi = population_shift(counts[0], counts[1])
    ks, (n, m) = None, np.array([leads_before, leads_now]) * counts[:, :-1].sum(axis=1) / counts.sum(axis=1)
    p_values = [_p_value_of_counts(counts[:, :-1], n, m)]
    if counts[:, -1].any():
        filled = np.column_stack([counts[:, :-1].sum(axis=1), counts[:, -1]])
        p_values.append(_p_value_of_counts(filled, leads_before, leads_now))
    known_before, known_now = before[~np.isnan(before)], now[~np.isnan(now)]
    if codes is None and len(known_before) and len(known_now):
        ks = float(scipy.stats.ks_2samp(known_before, known_now, method="asymp").statistic)
        p_values.append(float(scipy.stats.kstwobign.sf(ks * np.sqrt(n * m / (n + m)))))
    return {"psi": psi, "ks": ks, "p_value": min(1.0, len(p_values) * min(p_values))}


def _binned(before: np.ndarray, now: np.ndarray, codes: int | None) -> np.ndarray:
    """Count both sides by bin, shape (2, bins); the last bin holds what is missing."""
    if codes is None:
        known = before[~np.isnan(before)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.array([])
    else:
        edges = np.arange(1, codes) - 0.5
    bins = (np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values)) for values in (before, now))
    return np.array([np.bincount(one, minlength=len(edges) + 2) for one in bins], dtype="float64")


def _p_value_of_counts(counts: np.ndarray, leads_before: float, leads_now: float) -> float:
    """Return the p-value of the chi-square test of homogeneity, rows counted as that many independent leads.

    Of more than two bins those that are too thin to be tested alone are tested together; two bins that are too thin are
    tested exactly (Fisher 1934), to the nearest lead. 1 where there is one bin, or one side is empty.
    """
    rows = counts.sum(axis=1, keepdims=True)
    if not rows.all():
        return 1.0
    scaled = counts / rows * np.array([[leads_before], [leads_now]])
    least = scaled.sum(axis=0) * min(leads_before, leads_now) / (leads_before + leads_now)
    thin = (least < LEAST_EXPECTED) & (len(least) > 2)
    table = np.column_stack([scaled[:, ~thin], scaled[:, thin].sum(axis=1)]) if thin.any() else scaled
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    if table.shape[1] == 2 and scipy.stats.contingency.expected_freq(table).min() < LEAST_EXPECTED:
        return float(scipy.stats.fisher_exact(np.rint(table)).pvalue)
    return float(scipy.stats.chi2_contingency(table, correction=table.shape[1] == 2).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust p-values so that all together are free of a false alarm, shape (n,).

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


BANDS = np.arange(10, 100, 10)  # of the score, which is frozen across retrainings
HALF = 0.5  # a lead too many in each band, so that an empty one has a logarithm


def population_stability(before: np.ndarray, now: np.ndarray) -> float:
    """Return the population stability index over ten bands of the score; 0 where shares are equal.

    Source: Siddiqi 2006, Credit Risk Scorecards: sum over bands of (now - before) * ln(now / before), in shares.

    Parameters
    ----------
    before, now
        Scores, 0 to 100, shapes (n,) and (m,).
    """
    return round(population_shift(_counts(before), _counts(now)), 6)


def population_shift(before: np.ndarray, now: np.ndarray) -> float:
    """Return the population stability index of counts by bin, each with half a row more; 0 where shares are equal.

    Source: as of `population_stability`.
    """
    old, new = ((counts + HALF) / (counts + HALF).sum() for counts in (before, now))
    return float(np.sum((new - old) * np.log(new / old)))


def _counts(scores: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(BANDS, scores, side="right"), minlength=len(BANDS) + 1)
