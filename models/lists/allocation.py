"""Who works which lead: the best leads first, each with its owner, as far as capacity and caps allow.

Leads are taken in working order. A lead with an owner goes to this owner alone; a lead without one may go to any owner
with capacity left, so that at every moment the leads taken fit into it. In the end the leads without an owner
are dealt: by Sainte-Laguë's method in proportion to the capacity left, and in each turn the best lead goes to whoever
expects the fewest wins for its capacity. Of owners with equal capacity, and as much of it left, none expects more wins
than another by more than one dealt lead, or by more than its own leads are ahead.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.tiers.tier_rules import EXCLUDED

NO_OWNER = "without an owner"
NOBODY = "without an owner, and of a territory that nobody has"
NO_CAPACITY = "of an owner without capacity"
FULL = "better leads fill the capacity"
COMPANY = "over the cap of their company"
DOMAIN = "over the cap of their mail domain"
NEW = "over the cap of new leads"


@dataclass(frozen=True)
class ListRules:
    """The rules of one day's lists.

    Attributes
    ----------
    capacity
        Leads that each owner can work.
    max_per_company, max_per_domain
        Of all lists together; None: any.
    max_new
        Of each list, leads that were not on the owner's last one; None: any.
    deal
        Whether leads without an owner are dealt.
    territory
        Of each owner, where leads without an owner are dealt within their territory alone; empty: to anybody.
    """

    capacity: Mapping[str, int]
    max_per_company: int | None = None
    max_per_domain: int | None = None
    max_new: int | None = None
    deal: bool = True
    territory: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Leads that all owners together can work."""
        return sum(self.capacity.values())

    def pool(self, owner: str) -> str:
        """Return who shares the leads without an owner: the owners of a territory, or all of them."""
        return self.territory.get(owner, "")


@dataclass
class _Taken:
    """What is taken so far."""

    rules: ListRules
    own: Counter[str] = field(default_factory=Counter)
    own_new: Counter[str] = field(default_factory=Counter)
    companies: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    free: Counter[str] = field(default_factory=Counter)  # leads without an owner, by pool
    spare: Counter[str] = field(default_factory=Counter)  # capacity that they may take

    def __post_init__(self) -> None:
        for owner in self.rules.capacity:
            self.spare[self.rules.pool(owner)] += self.room(owner)

    def room(self, owner: str) -> int:
        """Return the capacity of an owner that leads without one may take; to their owner they are all new."""
        room = self.rules.capacity[owner] - self.own[owner]
        return room if self.rules.max_new is None else min(room, self.rules.max_new - self.own_new[owner])

    def refusal(self, owner: str, new: bool, company: str, domain: str, pool: str) -> str:
        """Return why a lead is not taken, "" where it is; `pool` is that of a lead without an owner."""
        rules = self.rules
        if not owner and not rules.deal:
            return NO_OWNER
        if not owner and rules.territory and pool not in self.spare:
            return NOBODY
        if owner and not rules.capacity.get(owner, 0):
            return NO_CAPACITY
        if company and rules.max_per_company is not None and self.companies[company] >= rules.max_per_company:
            return COMPANY
        if domain and rules.max_per_domain is not None and self.domains[domain] >= rules.max_per_domain:
            return DOMAIN
        refusal = self._take_owned(owner, new) if owner else self._take_free(pool)
        if not refusal:
            self.companies[company] += 1
            self.domains[domain] += 1
        return refusal

    def _take_owned(self, owner: str, new: bool) -> str:
        if self.own[owner] >= self.rules.capacity[owner]:
            return FULL
        if new and self.rules.max_new is not None and self.own_new[owner] >= self.rules.max_new:
            return NEW
        before, pool = self.room(owner), self.rules.pool(owner)
        self.own[owner] += 1
        self.own_new[owner] += new
        after = self.spare[pool] - before + self.room(owner)
        if self.free[pool] > after:
            self.own[owner] -= 1
            self.own_new[owner] -= new
            return FULL
        self.spare[pool] = after
        return ""

    def _take_free(self, pool: str) -> str:
        if self.free[pool] < self.spare[pool]:
            self.free[pool] += 1
            return ""
        mine = [owner for owner in self.rules.capacity if self.rules.pool(owner) == pool]
        left = sum(self.rules.capacity[owner] - self.own[owner] for owner in mine) > self.free[pool]
        return NEW if left and self.rules.max_new is not None else FULL


def allocate(leads: pd.DataFrame, rules: ListRules) -> pd.DataFrame:
    """Put leads on the lists of owners.

    Parameters
    ----------
    leads
        One row a lead: rank, its place in the working order, infinity for leads that are not to be called; worth, its
        wins to expect; owner, and held_by, whose last list it was on; company and domain; territory, where
        `rules.territory` is there. Text is "" where there is none.

    Returns
    -------
    DataFrame
        By the index of `leads`: list_owner, "" where it is on no list; left_out, why, "" where it is on one; dealt,
        whether it had no owner; new, whether it was not on that owner's last list.
    """
    held = leads["held_by"].where(leads["held_by"].isin([name for name, n in rules.capacity.items() if n]), "")
    owner = leads["owner"].where(leads["owner"] != "", held)
    new = (leads["held_by"] != owner) | (owner == "")
    pool = leads["territory"] if rules.territory else pd.Series("", index=leads.index)
    taken, refusals = _Taken(rules), np.full(len(leads), EXCLUDED, dtype=object)
    rank = leads["rank"].to_numpy("float64")
    order = np.argsort(rank, kind="stable")[: int(np.isfinite(rank).sum())]
    columns = [column.to_numpy(dtype=object)[order] for column in (owner, new, leads["company"], leads["domain"], pool)]
    for at, *row in zip(order, *columns, strict=True):
        refusals[at] = taken.refusal(*row)
    on_list = pd.Series(refusals == "", index=leads.index)
    given = owner.where(on_list, "")
    free = leads[on_list & (owner == "")].sort_values(["worth", "rank"], ascending=[False, True])["worth"]
    won = {str(name): float(wins) for name, wins in leads["worth"].groupby(given).sum().items()}
    for name, worth in free.groupby(pool.loc[free.index], sort=False):
        room = {one: taken.room(one) for one in rules.capacity if rules.pool(one) == name}
        given.loc[worth.index] = _deal(worth, room, won, rules.capacity)
    return pd.DataFrame(
        {
            "list_owner": given.astype("str"),
            "left_out": pd.Series(refusals, index=leads.index, dtype="str"),
            "dealt": on_list & (leads["owner"] == ""),
            "new": on_list & new,
        }
    )


def _deal(
    worth: pd.Series[float], room: Mapping[str, int], won: Mapping[str, float], capacity: Mapping[str, int]
) -> list[str]:
    """Deal leads, the best first; see the module.

    Parameters
    ----------
    room
        Capacity of each owner that is left.
    won
        Wins that each owner expects from the leads it has.
    """
    wins = {name: won.get(name, 0.0) for name in room}
    turns = [(0.5 / n, wins[name] / capacity[name], name, 0) for name, n in room.items() if n > 0]
    heapq.heapify(turns)
    dealt = []
    for one in worth:
        _, _, name, n = heapq.heappop(turns)
        dealt.append(name)
        wins[name] += one
        if n + 1 < room[name]:
            heapq.heappush(turns, ((n + 1.5) / room[name], wins[name] / capacity[name], name, n + 1))
    return dealt
