"""Intervals: exact ones of a rate, and by resampling leads, because rows of one lead depend on each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy


def clopper_pearson(won: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the exact interval of a rate of `won` among `n` independent leads; not a number where n is 0.

    `scipy.stats.binomtest` has it for whole counts alone, and less precisely; effective counts are not whole. It
    covers too when leads differ in their chances: their count varies less than if all had the mean chance (Hoeffding
    1956). Source: Clopper and Pearson 1934, Biometrika 26, 404-413.
    """
    if n == 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low = float(scipy.stats.beta.ppf(tail, won, n - won + 1)) if won > 0 else 0.0
    high = float(scipy.stats.beta.ppf(1 - tail, won + 1, n - won)) if won < n else 1.0
    return low, high


def rate_lower_bounds(won: np.ndarray, n: int, confidence: float) -> np.ndarray:
    """Return the one-sided lower bound of Clopper and Pearson for each count in `won`, 0 without a win."""
    return np.where(won > 0, scipy.stats.beta.ppf(1 - confidence, np.maximum(won, 1), n - won + 1), 0.0)


def resampled_leads(n_leads: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw as many leads as there are, with replacement, `resamples` times: codes from 0, shape (n_leads,)."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, n_leads, n_leads) for _ in range(resamples))


def lead_weights(n_leads: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Count how often each lead is drawn by `resampled_leads`, shape (n_leads,)."""
    return (np.bincount(drawn, minlength=n_leads) for drawn in resampled_leads(n_leads, resamples, seed))


def percentile_interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the percentiles of the draws in which the figure exists, not a number where there are none."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def rate_interval(
    label: np.ndarray,
    lead: np.ndarray,
    confidence: float,
    *,
    predicted: np.ndarray | None = None,
) -> tuple[float, float]:
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
    predicted
        Probabilities with which the rate is compared, shape (n,): the interval is then that of the ratio of both rates
        times the predicted one, because leads that count more, or convert more, are predicted to.

    Returns
    -------
    low, high
        Shares; 0 and 1 without rows.

    Source: Korn and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 24, 193-201 (here with no adjustment for degrees of freedom); the
    ratio by linearisation, Cochran 1977, Sampling Techniques, 6.3.
    """
    if not len(label):
        return 0.0, 1.0
    label = np.asarray(label, "float64")
    predicted = np.ones(len(label)) if predicted is None else predicted
    n = _effective_rows(label, np.unique(lead, return_inverse=True)[1], predicted)
    return clopper_pearson(float(label.mean()) * n, n, confidence)


def _effective_rows(label: np.ndarray, code: np.ndarray, predicted: np.ndarray) -> float:
    """Return how many independent rows would leave the rate as uncertain, by the variance between leads."""
    n, rate, leads = len(label), float(label.mean()), int(code.max()) + 1
    expected = float(predicted.sum())
    if leads == 1 or rate in (0.0, 1.0) or expected <= 0:
        return float(leads)
    residual = np.bincount(code, label - rate * n * predicted / expected)  # of each lead
    between_leads = leads / (leads - 1) * float((residual**2).sum())
    between_rows = float(((label - rate) ** 2).sum())
    return rate * (1 - rate) * n**2 / max(between_leads, between_rows)
