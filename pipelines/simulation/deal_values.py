"""What the deals of simulated leads bring, by what the record says at creation, with a heavy tail and a known mean.

An empty field acts like an average one.
"""

from __future__ import annotations

import numpy as np

from pipelines.simulation.market import INDUSTRIES, MEDIAN_EMPLOYEES, Floats
from pipelines.simulation.prospects import Prospects

MEDIAN_DEAL = 8_000.0  # of a company of MEDIAN_EMPLOYEES
BY_SIZE = 0.35  # of the log of the number of employees
DEARER = {"financial services": 0.5, "public sector": 0.3, "education": -0.5}  # in logs; other industries: 0


def draw_values(prospects: Prospects, spread: float, rng: np.random.Generator) -> Floats:
    """Return what each deal brings if it is won, shape (n,); `spread` is of the logs of deals that are alike."""
    values: Floats = np.exp(_log_value(prospects) + rng.normal(0, spread, len(prospects.created)))
    return values


def mean_values(prospects: Prospects, spread: float) -> Floats:
    """Return the mean of what the deal of each lead brings, shape (n,)."""
    means: Floats = np.exp(_log_value(prospects) + spread**2 / 2)
    return means


def _log_value(prospects: Prospects) -> Floats:
    size = np.nan_to_num(prospects.employees[:, 0], nan=MEDIAN_EMPLOYEES)
    dearer = np.array([*(DEARER.get(name, 0.0) for name in INDUSTRIES), 0.0])  # the last code is an empty field
    log: Floats = np.log(MEDIAN_DEAL) + BY_SIZE * np.log(size / MEDIAN_EMPLOYEES) + dearer[prospects.industry]
    return log
