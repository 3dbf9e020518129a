"""Lists of leads that follow one another: which one came before, and tiers from list to list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from models.tiers.assignment import (
    TierContext,
    assign,
    by_rules,
    id_order,
    of_length,
    previous_tier_names,
    ranked_by,
    tier_reasons,
    working_rank,
)
from models.tiers.capacity import expected_wins
from models.tiers.declarations import TierParams
from models.tiers.exploration import Exploration, Quota, explore
from models.tiers.results import ListSummary, Overfull, TierFlow
from models.tiers.tier_rules import EXCLUDED, REASON, TierFacts


def previous_tiers(current: pd.DataFrame | None, as_of: pd.Timestamp | None, model_id: str) -> pd.Series[str] | None:
    """Return the tiers to compare a new list with.

    Parameters
    ----------
    current
        The list that the new one replaces: lead_id, as_of, model_id, earned_tier, previous_tier; None: there is none.
    as_of, model_id
        Of the new list.

    Returns
    -------
    Series
        Tier by lead_id. Of a list of an earlier day, or of the same day by another model, its tiers as leads earned
        them: explored leads keep nothing of it. The same day by
        the same model is a list made again: it is compared with what that one was compared with, so that making it
        twice gives the same. None where nothing came before, or the current list is of a later day.
    """
    if current is None or current.empty:
        return None
    day = current["as_of"].iloc[0]
    same_day = (pd.isna(day) and pd.isna(as_of)) or day == as_of
    again = same_day and current["model_id"].iloc[0] == model_id
    if not same_day and not day < as_of:
        return None
    tiers = current.set_index("lead_id")["previous_tier" if again else "earned_tier"]
    return tiers[tiers != ""]


def assign_lists(rows: pd.DataFrame, context: TierContext) -> pd.Series[str]:
    """Put the leads of every list into tiers, each list compared with the one before it, the first with none.

    Parameters
    ----------
    rows
        snapshot_at (one list each; missing: one list in all), and what `assign` needs.
    context
        Its facts have the index of `rows`.

    Returns
    -------
    Series
        Tier names by the frame's index.
    """

    return assign_in_order(rows, lambda one, previous: assign(one, context.of(one.index, previous)))


def assign_in_order(
    rows: pd.DataFrame, give: Callable[[pd.DataFrame, pd.Series[str] | None], pd.Series[str]]
) -> pd.Series[str]:
    """Give tiers to every list in the order of time; see `assign_lists`.

    Parameters
    ----------
    give
        Gives the tiers of one list by its index, from the list and the tiers by lead_id of the one before it.
    """
    previous, results = None, [pd.Series([], dtype="str")]
    for _, one in rows.groupby("snapshot_at", dropna=False):
        tiers = give(one, previous)
        previous = tiers.set_axis(pd.Index(one["lead_id"]))
        results.append(tiers)
    return pd.concat(results).reindex(rows.index)


def share_changed(rows: pd.DataFrame, tiers: pd.Series[str]) -> float:
    """Return the share of leads that stand on two lists in a row and are in another tier on the second; NaN if none."""
    ordered = rows[["lead_id", "snapshot_at"]].assign(tier=tiers).sort_values(["lead_id", "snapshot_at"])
    lists = ordered["snapshot_at"].rank(method="dense")
    follows = ordered["lead_id"].eq(ordered["lead_id"].shift()) & lists.eq(lists.shift() + 1)
    return float((ordered["tier"] != ordered["tier"].shift())[follows].mean())


def working_ranks(
    rows: pd.DataFrame, tiers: pd.Series[str], params: TierParams, facts: TierFacts | None
) -> pd.Series[float]:
    """Return `assignment.working_rank` of every list; snapshot_at missing: one list in all."""
    ranks = [
        working_rank(one, tiers.loc[one.index], params, None if facts is None else facts.of(one.index))
        for _, one in rows.groupby("snapshot_at", dropna=False)
    ]
    return pd.concat(ranks).reindex(rows.index)


def tier_columns(scored: pd.DataFrame, context: TierContext, quota: Quota | None) -> pd.DataFrame:
    """Return the tier columns of a list, by the index of `scored`, which is as `assign` takes it.

    Parameters
    ----------
    quota
        How many leads exploration adds to the best tier; None: none.

    Returns
    -------
    DataFrame
        tier; stage, its lifecycle stage, "" outside of the ladder; tier_reason, see `assignment.tier_reasons`;
        previous_tier, the tier that it was compared with, "" where there was none; earned_tier, explored (yes or no)
        and propensity, see `exploration.Explored`.
    """
    if quota is None:
        tiers = assign(scored, context)
        explored = Exploration.nobody(tiers, context.params.names[0])
    else:
        explored = explore(scored, context, quota)
        tiers = assign(scored, context, explored=explored.explored)
    unmoved = assign(scored, replace(context, previous=None), explored=explored.explored)
    return describe(scored, tiers, unmoved, context, context.params.names, explored)


def describe(
    scored: pd.DataFrame,
    tiers: pd.Series[str],
    unmoved: pd.Series[str],
    context: TierContext,
    names: Sequence[str],
    explored: Exploration,
) -> pd.DataFrame:
    """Put tiers beside their stage, reason, previous tier and exploration; see `tier_columns`."""
    earned = explored.earned.mask(~explored.explored, tiers)  # others move up where explored leads leave
    stages = {tier.name: tier.stage for tier in context.params.ladder}
    return pd.DataFrame(
        {
            "tier": tiers,
            "stage": tiers.map(stages).fillna("").astype("str"),
            "tier_reason": tier_reasons(scored, tiers, unmoved, context, names, earned),
            "previous_tier": previous_tier_names(scored["lead_id"], context.previous),
            "earned_tier": earned,
            "explored": explored.explored.map({True: "yes", False: "no"}).astype("str"),
            "propensity": explored.propensity,
        }
    )


def best_first(scored: pd.DataFrame) -> np.ndarray:
    """Return the order of the rows as `ranked_by`, the highest first, ties broken by lead_id; shape (n,)."""
    return np.lexsort((id_order(scored["lead_id"]), -ranked_by(scored)))


def lowest_scores(leads: pd.DataFrame, names: list[str]) -> dict[str, int]:
    """Return the lowest score of each tier, of leads that are there by their score alone, or excluded.

    Where another figure ranks, a tier may hold any score: then it is the score that would cut tiers of the same sizes,
    so that tiers by score are no larger.

    Parameters
    ----------
    leads
        score, tier, tier_reason; rank_value where another figure ranks.
    names
        Tiers, best first.
    """
    own = leads[(leads["tier_reason"] == "") | (leads["tier"] == EXCLUDED)]
    lowest = {str(name): int(least) for name, least in own.groupby("tier")["score"].min().items()}
    if "rank_value" in leads:
        ranked = leads[(leads["tier_reason"] == "") | leads["tier_reason"].str.startswith(("kept ", "not yet "))]
        lowest |= {name: int(least) for name, least in cuts_by_size(ranked["score"], ranked["tier"], names).items()}
    return lowest


def cuts_by_size(figure: pd.Series[float], tiers: pd.Series[str], names: list[str]) -> dict[str, float]:
    """Return from which figure on tiers, best first, would be as large as they are; of those that hold a lead."""
    ordered = np.sort(figure.to_numpy("float64"))[::-1]
    sizes = tiers.value_counts().reindex(names, fill_value=0)
    ends = sizes.cumsum()
    return {str(name): float(ordered[ends[name] - 1]) for name in names if sizes[name]}


def list_summary(
    scored: pd.DataFrame, params: TierParams, capacity: int, facts: TierFacts | None, confidence: float
) -> ListSummary:
    """Summarise a list: the size of its tiers and what capacity buys.

    Parameters
    ----------
    scored
        lead_id, probability, score, tier, tier_reason, explored.
    confidence
        Of the intervals of wins.
    """
    names = params.names + [EXCLUDED] * bool((scored["tier"] == EXCLUDED).any())
    least, sent = by_rules(scored.index, params, params.names, facts)
    in_use = of_length(int((sent == "").sum()), TierContext(params, capacity)).params
    sizes = dict(zip(params.names, params.sizes(capacity) if in_use.policy == "capacity" else [], strict=False))
    triggered = {
        name: int(((scored["tier"] == name) & (least == index)).sum()) for index, name in enumerate(params.names)
    }
    drawn = scored["explored"] == "yes"
    by_people = scored["tier_reason"].str.startswith(REASON)
    working = working_rank(scored, scored["tier"], params, facts, drawn | by_people)
    return ListSummary(
        tiers={name: int((scored["tier"] == name).sum()) for name in names},
        overfull={
            name: Overfull(capacity=n, triggered=triggered[name]) for name, n in sizes.items() if triggered[name] > n
        },
        explored=int(drawn.sum()),
        overridden=int(by_people.sum()),
        by_fixed_scores=in_use.policy != params.policy,
        capacity=expected_wins(scored, working, capacity, confidence),
    )


def flows(tier_from: pd.Series[str], tier_to: pd.Series[str]) -> list[TierFlow]:
    """Count the leads by their tiers on both lists, most leads first.

    A lead that is on one list only has no tier on the other.
    """
    pairs = pd.DataFrame({"tier_from": tier_from.to_numpy(), "tier_to": tier_to.to_numpy()}).fillna("")
    counts = pairs.value_counts().rename("n").reset_index()
    counts = counts.sort_values(["n", "tier_from", "tier_to"], ascending=[False, True, True])
    return [TierFlow(tier_from=was or None, tier_to=now or None, n=n) for was, now, n in counts.to_numpy().tolist()]
