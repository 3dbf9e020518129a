"""How long leads of past lists waited until they were ready: on a list in a tier better than the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.tiers.tier_rules import EXCLUDED

AGE = (7.0, 14.0, 30.0, 60.0, 90.0, 120.0)  # days, where bands of age begin
QUIET = (3.0, 7.0, 14.0, 30.0)  # days since the lead did something
STANDING = (1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)  # rank over the leads in better tiers
BANDS = (len(STANDING) + 1, len(AGE) + 1, len(QUIET) + 1)


@dataclass(frozen=True)
class Waits:
    """Leads of the last tier on past lists.

    Attributes
    ----------
    rows
        lead_id, snapshot_at, list (counted from 0), cell (see `cells`), and ready_in: after how many lists it was
        ready, infinite where it never was. A lead that closed was never ready.
    last
        The number of the newest list.
    """

    rows: pd.DataFrame
    last: int

    @classmethod
    def of(cls, lists: pd.DataFrame, lowest: str) -> Waits:
        """Follow the leads of lists.

        Parameters
        ----------
        lists
            lead_id, snapshot_at, tier, probability, age and quiet (days) of all leads of each list.
        lowest
            The last tier.
        """
        days = np.sort(lists["snapshot_at"].unique())
        rows = lists.assign(list=np.searchsorted(days, lists["snapshot_at"].to_numpy()), cell=cells(lists, lowest))
        rows = rows.sort_values(["lead_id", "list"], ignore_index=True)
        at = rows["list"].where(ready(rows["tier"], lowest))
        following = at.groupby(rows["lead_id"]).shift(-1).groupby(rows["lead_id"]).bfill()
        waiting = rows["tier"] == lowest
        kept = rows.loc[waiting, ["lead_id", "snapshot_at", "list", "cell"]]
        return cls(kept.assign(ready_in=(following - rows["list"]).fillna(np.inf)[waiting]), len(days) - 1)

    def until(self, last: int) -> Waits:
        """Return what was known when the list of that number was the newest."""
        rows = self.rows[self.rows["list"] <= last]
        known = rows["list"] + rows["ready_in"] <= last
        return Waits(rows.assign(ready_in=rows["ready_in"].where(known, np.inf)), last)


def ready(tier: pd.Series[str], lowest: str) -> pd.Series[bool]:
    """Say which leads are ready."""
    return ~tier.isin([lowest, EXCLUDED])


def cells(lists: pd.DataFrame, lowest: str) -> np.ndarray:
    """Number the leads that are alike, shape (n,): in standing, age and days since they did something.

    Standing is the rank by probability over the leads that are ready, of the same list: it means the same whether the
    scores of a whole list go up or down. Parameters as of `Waits.of`.
    """
    same = lists["snapshot_at"]
    rank = lists["probability"].groupby(same).rank(ascending=False, method="first")
    called = ready(lists["tier"], lowest).groupby(same).transform("sum").clip(lower=1)
    bands = (
        np.searchsorted(STANDING, (rank / called).to_numpy("float64"), side="right"),
        np.searchsorted(AGE, lists["age"].to_numpy("float64"), side="right"),
        np.searchsorted(QUIET, lists["quiet"].to_numpy("float64"), side="right"),
    )
    return np.ravel_multi_index(bands, BANDS)
