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
    """

    capacity: Mapping[str, int]
    max_per_company: int | None = None
    max_per_domain: int | None = None
    max_new: int | None = None
    deal: bool = True

    @property
    def total(self) -> int:
        """Leads that all owners together can work."""
        return sum(self.capacity.values())


@dataclass
class _Taken:
    """What is taken so far."""

    rules: ListRules
    own: Counter[str] = field(default_factory=Counter)
    own_new: Counter[str] = field(default_factory=Counter)
    companies: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    free: int = 0  # leads without an owner
    spare: int = 0  # capacity that they may take

    def __post_init__(self) -> None:
        self.spare = sum(map(self.room, self.rules.capacity))

    def room(self, owner: str) -> int:
        """Return the capacity of an owner that leads without one may take; to their owner they are all new."""
        room = self.rules.capacity[owner] - self.own[owner]
        return room if self.rules.max_new is None else min(room, self.rules.max_new - self.own_new[owner])

    def refusal(self, owner: str, new: bool, company: str, domain: str) -> str:
        """Return why a lead is not taken, "" where it is."""
        rules = self.rules
        if not owner and not rules.deal:
            return NO_OWNER
        if owner and not rules.capacity.get(owner, 0):
            return NO_CAPACITY
        if company and rules.max_per_company is not None and self.companies[company] >= rules.max_per_company:
            return COMPANY
        if domain and rules.max_per_domain is not None and self.domains[domain] >= rules.max_per_domain:
            return DOMAIN
        refusal = self._take_owned(owner, new) if owner else self._take_free()
        if not refusal:
            self.companies[company] += 1
            self.domains[domain] += 1
        return refusal

    def _take_owned(self, owner: str, new: bool) -> str:
        if self.own[owner] >= self.rules.capacity[owner]:
            return FULL
        if new and self.rules.max_new is not None and self.own_new[owner] >= self.rules.max_new:
            return NEW
        before = self.room(owner)
        self.own[owner] += 1
        self.own_new[owner] += new
        after = self.spare - before + self.room(owner)
        if self.free > after:
            self.own[owner] -= 1
            self.own_new[owner] -= new
            return FULL
        self.spare = after
        return ""

    def _take_free(self) -> str:
        if self.free < self.spare:
            self.free += 1
            return ""
        left = self.rules.total > self.own.total() + self.free
        return NEW if left and self.rules.max_new is not None else FULL


def allocate(leads: pd.DataFrame, rules: ListRules) -> pd.DataFrame:
    """Put leads on the lists of owners.

    Parameters
    ----------
    leads
        One row a lead: rank, its place in the working order, infinity for leads that are not to be called; worth, its
        wins to expect; owner, and held_by, whose last list it was on; company and domain. Text is "" where there is
        none.

    Returns
    -------
    DataFrame
        By the index of `leads`: list_owner, "" where it is on no list; left_out, why, "" where it is on one; dealt,
        whether it had no owner; new, whether it was not on that owner's last list.
    """
    held = leads["held_by"].where(leads["held_by"].isin([name for name, n in rules.capacity.items() if n]), "")
    owner = leads["owner"].where(leads["owner"] != "", held)
    new = (leads["held_by"] != owner) | (owner == "")
    taken, refusals = _Taken(rules), np.full(len(leads), EXCLUDED, dtype=object)
    rank = leads["rank"].to_numpy("float64")
    order = np.argsort(rank, kind="stable")[: int(np.isfinite(rank).sum())]
    columns = [column.to_numpy(dtype=object)[order] for column in (owner, new, leads["company"], leads["domain"])]
    for at, *row in zip(order, *columns, strict=True):
        refusals[at] = taken.refusal(*row)
    on_list = pd.Series(refusals == "", index=leads.index)
    given = owner.where(on_list, "")
    free = leads[on_list & (owner == "")].sort_values(["worth", "rank"], ascending=[False, True])["worth"]
    won = leads["worth"].groupby(given).sum()
    dealt_to = _deal(
        free,
        {name: taken.room(name) for name in rules.capacity},
        {str(name): float(wins) for name, wins in won.items()},
        rules.capacity,
    )
    given.loc[free.index] = dealt_to
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
