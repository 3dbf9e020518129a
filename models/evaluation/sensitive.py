"""Do groups of a sensitive attribute fare alike? Who is called, how right the chances are, who is missed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from features.schema.spec import Spec
from models.evaluation.estimate import Figures
from models.evaluation.intervals import rate_interval
from models.evaluation.rate_comparison import PredictedRate, RateLimits, compare_rate

NOT_KNOWN, OTHER = "not known", "other"
MOST_GROUPS = 12  # of a category; the smallest are one group
QUARTERS = (0.25, 0.5, 0.75)
RATES = {
    "called": "called at capacity",
    "best_tier": "in the best tier",
    "true_positive_rate": "called, of those who convert",
    "false_positive_rate": "called, of those who do not",
}


class GroupRate(Figures):
    """A rate of a group, its interval, and whether it differs surely from the rate of all other rows.

    Attributes
    ----------
    leads
        Leads that the rate is of.
    others
        The rate of all other groups together.
    differs
        Whether the intervals of both, each wide enough for all comparisons of this attribute, lie apart.
    """

    rate: float
    low: float
    high: float
    leads: int
    others: float | None
    differs: bool


class GroupFigures(Spec):
    """What befell one group on the held-out lists; a figure of too few leads is None.

    Attributes
    ----------
    called
        Share of the rows that capacity reaches, ranked by the model: the selection rate.
    best_tier
        Share of the rows in the best tier, as triggers and exclusions left it.
    true_positive_rate, false_positive_rate
        Share called of the rows that convert, and of those that do not.
    calibration
        Predicted against actual rate.
    """

    group: str
    leads: int
    called: GroupRate | None
    best_tier: GroupRate | None
    true_positive_rate: GroupRate | None
    false_positive_rate: GroupRate | None
    calibration: PredictedRate | None

    @property
    def differing(self) -> list[str]:
        """What surely differs from all others, in words."""
        rates = {name: getattr(self, name) for name in RATES}
        return [
            f"{RATES[name]} {rate.rate:.1%} against {rate.others:.1%} of all others"
            for name, rate in rates.items()
            if rate is not None and rate.differs
        ]


class Proxy(Spec):
    """A feature and how well it tells a sensitive attribute: Cramér's V, 0 (not at all) to 1 (it is the same)."""

    feature: str
    label: str
    strength: float


class SensitiveResult(Spec):
    """The groups of one sensitive attribute, and what stands in for it.

    Attributes
    ----------
    read
        Whether the model reads the attribute itself.
    least
        Leads below which a figure is of too few.
    proxies
        Features that the model reads and that reach `proxy_from`, strongest first.
    strongest
        The strongest of all features that it reads, whether it reaches that or not; None where there is none.
    """

    attribute: str
    label: str
    read: bool
    confidence: float
    least: int
    groups: list[GroupFigures]
    proxy_from: float
    proxies: list[Proxy]
    strongest: Proxy | None

    @property
    def warnings(self) -> list[str]:
        """What somebody should look into: features that stand in, and groups that surely differ."""
        named = ", ".join(f"{one.label} ({one.strength:.2f})" for one in self.proxies)
        stand_in = [f"{self.label}: the model reads features that tell it: {named} (Cramér's V, 1: the same)"]
        return (stand_in if self.proxies else []) + [
            f"{self.label}, {one.group}: {'; '.join(one.differing)}" for one in self.groups if one.differing
        ]


class GroupLimits(NamedTuple):
    """Leads below which a figure is of too few, the confidence of intervals, and what a calibration must reach."""

    least: int
    confidence: float
    rates: RateLimits


def groups_of(values: pd.Series, bands: Sequence[float] = ()) -> pd.Series[str]:
    """Name the group of each row: a category's value, or a number's band.

    Parameters
    ----------
    values
        Texts or numbers, missing where not known.
    bands
        Where a number's bands begin, ascending; none: its quarters.

    Returns
    -------
    Series
        Ordered categories: bands upwards, values by their rows; rare ones as "other", and "not known" last.

    Examples
    --------
    >>> groups_of(pd.Series([18.0, 30.0, 70.0, None]), [30, 60]).tolist()
    ['below 30', '30 to below 60', '60 or more', 'not known']
    """
    numeric = pd.api.types.is_numeric_dtype(values)
    named, order = _bands(values, bands) if numeric else _levels(values)
    return pd.Series(pd.Categorical(named, [*order, NOT_KNOWN], ordered=True), index=values.index)


def _bands(values: pd.Series[float], bands: Sequence[float]) -> tuple[np.ndarray, list[str]]:
    known = values.notna().to_numpy()
    edges = list(bands) or sorted(set(values[known].quantile(list(QUARTERS)))) if known.any() else []
    texts = [f"{edge:g}" for edge in edges]
    between = [f"{low} to below {high}" for low, high in pairwise(texts)]
    names = [f"below {texts[0]}", *between, f"{texts[-1]} or more"] if edges else [OTHER]
    band = np.searchsorted(edges, values.to_numpy("float64"), side="right")
    return np.where(known, np.array(names, dtype=object)[np.minimum(band, len(edges))], NOT_KNOWN), names


def _levels(values: pd.Series[str]) -> tuple[np.ndarray, list[str]]:
    text = values.astype(object).where(values.notna(), NOT_KNOWN).astype(str)
    counts = text[text != NOT_KNOWN].value_counts()
    ordered = sorted(counts.index, key=lambda level: (-counts[level], level))
    kept = ordered if len(ordered) <= MOST_GROUPS else [one for one in ordered if one != OTHER][: MOST_GROUPS - 1]
    order = kept if len(kept) == len(ordered) else [*kept, OTHER]
    return text.where(text.isin([*kept, NOT_KNOWN]), OTHER).to_numpy(), order


def group_figures(rows: pd.DataFrame, groups: pd.Series[str], limits: GroupLimits) -> list[GroupFigures]:
    """Compute the figures of each group that has rows; rows of one lead depend on each other, and intervals say so.

    Parameters
    ----------
    rows
        lead_id, label, probability, called and best_tier (True or False).
    groups
        See `groups_of`.
    """
    codes = rows.assign(lead_id=pd.factorize(rows["lead_id"])[0])
    leads = codes.groupby(groups.to_numpy(), observed=True)["lead_id"].nunique()
    comparisons = max(1, int((leads >= limits.least).sum()) * len(RATES))
    sure = 1 - (1 - limits.confidence) / comparisons
    return [_figures(group, codes, (groups == group).to_numpy(), limits, sure) for group in _in_order(groups)]


def _in_order(groups: pd.Series[str]) -> list[str]:
    there = set(groups.unique())
    return [group for group in groups.cat.categories if group in there]


def _figures(group: str, rows: pd.DataFrame, inside: np.ndarray, limits: GroupLimits, sure: float) -> GroupFigures:
    won, everyone = rows["label"].to_numpy() > 0, np.ones(len(rows), dtype=bool)
    asked = {
        "called": ("called", everyone), "best_tier": ("best_tier", everyone),
        "true_positive_rate": ("called", won), "false_positive_rate": ("called", ~won),
    }  # fmt: skip
    leads = rows.loc[inside, "lead_id"].nunique()
    rates = {
        name: _rate(rows.loc[among, [column, "lead_id"]].to_numpy(), inside[among], limits, sure)
        for name, (column, among) in asked.items()
    }
    enough = leads >= limits.least
    calibration = compare_rate(rows[inside], limits.confidence, limits.rates) if enough else None
    return GroupFigures(group=group, leads=leads, calibration=calibration, **rates)


def _rate(taken: np.ndarray, inside: np.ndarray, limits: GroupLimits, sure: float) -> GroupRate | None:
    """Compare a group's rate with that of all others; `taken` holds 0 or 1 and the lead of each row."""
    own, others = taken[inside].astype("int64"), taken[~inside].astype("int64")
    leads = len(np.unique(own[:, 1]))
    if leads < limits.least:
        return None
    low, high = rate_interval(own[:, 0], own[:, 1], limits.confidence)
    surely, of_others = rate_interval(own[:, 0], own[:, 1], sure), rate_interval(others[:, 0], others[:, 1], sure)
    return GroupRate(
        rate=float(own[:, 0].mean()),
        low=low,
        high=high,
        leads=leads,
        others=float(others[:, 0].mean()) if len(others) else None,
        differs=surely[0] > of_others[1] or of_others[0] > surely[1],
    )
