"""The leads of a score list as they are handed to owners: in working order, with who works them and what caps count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from models.lists.allocation import ListRules
from models.lists.declarations import ListParams
from models.tiers.assignment import id_order, ranked_by
from models.tiers.tier_rules import EXCLUDED, REASON


def working_order(listed: pd.DataFrame, tiers: Sequence[str]) -> pd.Series[float]:
    """Return each lead's rank, from 0, when a score list is worked from the top; infinity for the excluded.

    Best tier first, in a tier those by trigger, override or exploration, then as `ranked_by`, or by points where the
    rules alone score; ties broken by lead_id.

    Parameters
    ----------
    listed
        lead_id, probability, points, tier, tier_reason, explored; rank_value where another figure ranks.
    tiers
        Names, best first.
    """
    tier = listed["tier"].map({name: index for index, name in enumerate(tiers)}).fillna(len(tiers)).to_numpy("int64")
    first = listed["tier_reason"].str.startswith(("trigger: ", REASON)) | (listed["explored"] == "yes")
    by_rules = listed["probability"].isna().any()
    by = listed["points"].to_numpy("float64") if by_rules else ranked_by(listed)
    order = np.lexsort((id_order(listed["lead_id"]), -by, ~first.to_numpy(bool), tier))
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))
    return pd.Series(rank, index=listed.index).mask(listed["tier"] == EXCLUDED, np.inf)


def candidates(
    listed: pd.DataFrame,
    shown: pd.DataFrame,
    held_by: pd.Series[str],
    params: ListParams,
    tiers: Sequence[str],
    free_domains: Collection[str],
) -> pd.DataFrame:
    """Return the leads as `allocate` takes them, and probability, team and territory; by the index of `listed`.

    Parameters
    ----------
    listed
        As `working_order` takes it, and score.
    shown
        What people are shown of leads, by label; the index is lead_id.
    held_by
        By lead_id, on whose last list a lead was.
    """
    chance = listed["probability"]
    worth = listed["score"] / 100 if chance.isna().any() else chance

    def text(label: str) -> pd.Series[str]:
        if not label:
            return pd.Series("", index=listed.index, dtype="str")
        return one_space(shown[label].reindex(listed["lead_id"])).set_axis(listed.index)

    domain = text(params.mail).str.casefold().str.rpartition("@")[2].str.strip()
    return pd.DataFrame(
        {
            "rank": working_order(listed, tiers),
            "worth": worth.astype("float64"),
            "probability": chance.astype("float64"),
            "owner": text(params.owner),
            "held_by": held_by.reindex(listed["lead_id"]).fillna("").astype("str").set_axis(listed.index),
            "company": text(params.company).str.casefold(),
            "domain": domain.mask(domain.isin(list(free_domains)), ""),
            "team": text(params.team),
            "territory": text(params.territory),
        }
    )


def one_space(cells: pd.Series[str]) -> pd.Series[str]:
    """Return text without spaces around it and with single ones inside, "" where there is none."""
    return cells.fillna("").astype("str").str.split().str.join(" ").astype("str")


def rules_of(leads: pd.DataFrame, shown: pd.DataFrame, params: ListParams, per_period: int, days: int) -> ListRules:
    """Return the rules of a day's lists.

    Parameters
    ----------
    leads
        What `candidates` returned.
    shown
        What people are shown of all leads, by label: an owner's territory is that of most of its leads.
    per_period
        Leads that all can work, where no owner has a capacity.
    days
        Since the last list, at least 1.
    """
    return ListRules(
        capacity=_capacity(sorted(set(leads["owner"]) - {""}), params, per_period),
        max_per_company=params.max_per_company,
        max_per_domain=params.max_per_mail_domain,
        max_new=None if params.max_new_per_day is None else params.max_new_per_day * days,
        deal=params.without_owner == "dealt",
        territory=_territories(shown, params) if params.within_territory else {},
    )


def _territories(shown: pd.DataFrame, params: ListParams) -> dict[str, str]:
    """Return the territory of each owner, the most frequent one of its leads; the first by name of equals."""
    rows = pd.DataFrame({"owner": one_space(shown[params.owner]), "territory": one_space(shown[params.territory])})
    known = rows[(rows["owner"] != "") & (rows["territory"] != "")]
    return {str(name): str(of.mode().iloc[0]) for name, of in known.groupby("owner")["territory"]}


def _capacity(owners: Sequence[str], params: ListParams, per_period: int) -> dict[str, int]:
    """Return the capacity of each owner, by name; equal parts differ by one lead where they must."""
    if isinstance(params.capacity, dict):
        return dict(sorted(params.capacity.items()))
    if params.capacity is not None:
        return dict.fromkeys(owners, params.capacity)
    each, more = divmod(per_period, max(len(owners), 1))
    return {name: each + (number < more) for number, name in enumerate(owners)}


def notes_of(leads: pd.DataFrame, rules: ListRules, known: Collection[str]) -> list[str]:
    """Say, without naming anybody, where the data do not have the owners of the parameters.

    `known` are the owners of any lead, on the list or not.
    """
    counts = Counter(leads["owner"][leads["owner"] != ""])
    strangers = {name: n for name, n in counts.items() if name not in rules.capacity}
    idle = [name for name, n in rules.capacity.items() if n and name not in known]
    notes = []
    if strangers:
        notes.append(
            f"lists.capacity does not name {len(strangers):,} owners of {sum(strangers.values()):,} leads; name "
            "them, or hand their leads to somebody else in the CRM"
        )
    if idle:
        notes.append(
            f"{len(idle):,} owners of lists.capacity own no lead in the data; check the spelling of their names"
        )
    if not rules.capacity:
        notes.append("no lead has an owner, so that there is nobody to hand leads to; name owners in lists.capacity")
    return notes


def owners_table(leads: pd.DataFrame, lists: pd.DataFrame, rules: ListRules) -> pd.DataFrame:
    """Count each owner's list, by name: team, territory (the most frequent of its leads), capacity, leads, wins."""
    rows = leads.join(lists)
    on_list = rows[rows["list_owner"] != ""].groupby("list_owner")
    owners = pd.Index(sorted(name for name, n in rules.capacity.items() if n), name="owner")
    table = pd.DataFrame({"capacity": pd.Series(dict(rules.capacity), dtype="int64").reindex(owners)}, index=owners)
    counts = {"leads": on_list.size(), "dealt": on_list["dealt"].sum(), "new": on_list["new"].sum()}
    for name, column in counts.items():
        table[name] = column.reindex(owners, fill_value=0).astype("int64")
    wins = on_list["probability"].sum(skipna=False).reindex(owners, fill_value=0.0).astype("float64")
    table["wins"] = wins if leads["probability"].notna().all() else np.nan
    for name in ("territory", "team"):
        most = rows[rows[name] != ""].groupby("owner")[name].agg(lambda column: column.mode().iloc[0])
        table.insert(0, name, most.reindex(owners).fillna("").astype("str"))
    return table.reset_index()
