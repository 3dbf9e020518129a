"""A share of rows with an interval that knows that rows of one lead depend on each other."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta


def rate_interval(label: np.ndarray, lead: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the interval of a conversion rate whose rows come in leads.

    Clopper-Pearson with as many rows as independent ones would say as much: n / (variance by lead / variance of
    independent rows), never more than n; where none or all converted, as many as there are leads.

    Parameters
    ----------
    label
        0 or 1, shape (n,).
    lead
        The lead of each row, shape (n,).
    confidence
        Of the interval, such as 0.9.

    Returns
    -------
    low, high
        Shares; 0 and 1 without rows.

    Source: Korn and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 24, 193-201 (here with no adjustment for degrees of freedom).
    """
    if not len(label):
        return 0.0, 1.0
    n = _effective_rows(np.asarray(label, "float64"), lead)
    won, tail = float(np.mean(label)) * n, (1 - confidence) / 2
    low = float(beta.ppf(tail, won, n - won + 1)) if won > 0 else 0.0
    high = float(beta.ppf(1 - tail, won + 1, n - won)) if won < n else 1.0
    return low, high


def _effective_rows(label: np.ndarray, lead: np.ndarray) -> float:
    """Return how many independent rows would leave the rate as uncertain, by the variance between leads."""
    code = np.unique(lead, return_inverse=True)[1]
    rate, n, leads = label.mean(), len(label), int(code.max()) + 1
    if leads == 1 or rate in (0.0, 1.0):
        return float(leads)
    beyond = np.bincount(code, label - rate)  # of each lead, summed over its rows
    variance = leads / (leads - 1) * float((beyond**2).sum()) / n**2
    return float(min(n, rate * (1 - rate) / variance)) if variance > 0 else float(n)
