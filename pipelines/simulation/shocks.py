"""Sudden changes of the simulated market, at known dates, so that it can be measured who notices them and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from pipelines.config.simulation import Shock
from pipelines.simulation.market import DAY, Floats, Ints

FOREVER = 10**6  # days


def factor(shocks: Sequence[Shock], kind: str, first_day: dt.date, days: Ints) -> Floats:
    """Return what shocks of a kind multiply a rate with, exp(size) each, on days since the first one; 1 without any."""
    exponent = np.zeros(len(days))
    for one in shocks:
        if one.kind == kind:
            exponent += np.where(_inside(one, first_day, days), one.size, 0.0)
    return np.exp(exponent)


def share(shocks: Sequence[Shock], kind: str, first_day: dt.date, moments: Ints) -> Floats:
    """Return the largest size of the shocks of a kind at each moment (seconds since the first day); 0 without any."""
    sizes = np.zeros(len(moments))
    for one in shocks:
        if one.kind == kind:
            sizes = np.maximum(sizes, np.where(_inside(one, first_day, moments // DAY), one.size, 0.0))
    return sizes


def known_from(shocks: Sequence[Shock], first_day: dt.date, moments: Ints) -> Ints:
    """Return the moment before which nothing is known of what happened at each moment; without any, that itself."""
    known = moments.copy()
    for one in shocks:
        if one.kind == "feed":
            end = (_start(one, first_day) + _length(one)) * DAY
            known = np.where(_inside(one, first_day, moments // DAY), np.maximum(known, end), known)
    return known


def _inside(shock: Shock, first_day: dt.date, days: Ints) -> np.ndarray:
    since = days - _start(shock, first_day)
    return (since >= 0) & (since < _length(shock))


def _start(shock: Shock, first_day: dt.date) -> int:
    return (shock.day - first_day).days


def _length(shock: Shock) -> int:
    return FOREVER if shock.days is None else shock.days
