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
    return round(population_shift(_counts(before), _counts(now)), 6)


def population_shift(before: np.ndarray, now: np.ndarray) -> float:
    """Return the population stability index of counts by bin, each with half a row more; 0 where shares are equal.

    Source: as of `population_stability`.
    """
    old, new = ((counts + HALF) / (counts + HALF).sum() for counts in (before, now))
    return float(np.sum((new - old) * np.log(new / old)))


def _counts(scores: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(BANDS, scores, side="right"), minlength=len(BANDS) + 1)
