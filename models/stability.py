"""How far a list's scores have moved from an earlier list's."""

from __future__ import annotations

import numpy as np

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
    old, new = (_shares(scores) for scores in (before, now))
    return float(round(np.sum((new - old) * np.log(new / old)), 6))


def _shares(scores: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.searchsorted(BANDS, scores, side="right"), minlength=len(BANDS) + 1) + HALF
    return counts / counts.sum()
