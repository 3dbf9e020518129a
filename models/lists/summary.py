"""The owners' lists of one day in numbers: wins to expect, what each rule costs, who is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from models.lists.allocation import ListRules, allocate
from models.lists.results import OwnersSummary, RuleCost
from models.tiers.capacity import wins_interval


def owners_summary(
    leads: pd.DataFrame, lists: pd.DataFrame, rules: ListRules, confidence: float, notes: Sequence[str]
) -> OwnersSummary:
    """Summarise the lists of owners.

    Parameters
    ----------
    leads
        As `allocate` takes them, and probability; missing where the rules alone score.
    lists
        What `allocate` returned.
    confidence
        Of the interval of the wins.
    """
    on_list = lists["list_owner"] != ""
    summary = OwnersSummary(
        owners=sum(n > 0 for n in rules.capacity.values()),
        capacity=rules.total,
        leads=int(on_list.sum()),
        dealt=int(lists["dealt"].sum()),
        new=int(lists["new"].sum()),
        wins=None,
        wins_low=None,
        wins_high=None,
        fewest=None,
        most=None,
        best=None,
        costs=[],
        left_out={str(why): int(n) for why, n in lists["left_out"].value_counts().sort_index().items() if why},
        notes=list(notes),
    )
    if leads["probability"].isna().any():
        return summary
    chance = leads["probability"]
    low, high = wins_interval(chance[on_list].to_numpy("float64"), confidence)
    by_owner = owner_wins(leads, lists, rules)
    best = leads["rank"][leads["rank"] < float("inf")].nsmallest(rules.total).index
    return summary.model_copy(
        update={
            "wins": float(chance[on_list].sum()),
            "wins_low": low,
            "wins_high": high,
            "fewest": float(by_owner.min()) if len(by_owner) else 0.0,
            "most": float(by_owner.max()) if len(by_owner) else 0.0,
            "best": float(chance.loc[best].sum()),
            "costs": list(_costs(leads, lists, rules)),
        }
    )


def owner_wins(leads: pd.DataFrame, lists: pd.DataFrame, rules: ListRules) -> pd.Series[float]:
    """Return the wins to expect on each owner's list, by owner in the order of their names."""
    owners = sorted(name for name, n in rules.capacity.items() if n > 0)
    return leads["probability"].groupby(lists["list_owner"]).sum().reindex(owners, fill_value=0.0)


def _costs(leads: pd.DataFrame, lists: pd.DataFrame, rules: ListRules) -> Iterator[RuleCost]:
    """Yield the cost of each rule: what the lists without it would win more."""
    wins = _wins(leads, lists)

    def cost(text: str, otherwise: ListRules) -> RuleCost:
        return RuleCost(rule=text, wins=_wins(leads, allocate(leads, otherwise)) - wins)

    if (leads["owner"] != "").any():  # a new lead is new to its owner, so that this is told apart without that cap
        free, calm = leads.assign(owner="", held_by=""), replace(rules, max_new=None, territory={})
        kept = _wins(leads, allocate(leads, calm))
        anybody = _wins(leads, allocate(free, replace(calm, deal=True)))
        yield RuleCost(rule="each lead stays with its owner", wins=anybody - kept)
    if not rules.deal:
        yield cost("leads without an owner are left out", replace(rules, deal=True))
    if rules.territory:
        yield cost("leads without an owner stay in their territory", replace(rules, territory={}))
    if (most := rules.max_per_company) is not None:
        yield cost(f"at most {most} leads of one company", replace(rules, max_per_company=None))
    if (most := rules.max_per_domain) is not None:
        yield cost(f"at most {most} leads of one mail domain", replace(rules, max_per_domain=None))
    if (most := rules.max_new) is not None:
        yield cost(f"at most {most} new leads a list", replace(rules, max_new=None))


def _wins(leads: pd.DataFrame, lists: pd.DataFrame) -> float:
    return float(leads["probability"][lists["list_owner"] != ""].sum())
