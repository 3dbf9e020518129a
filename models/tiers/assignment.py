"""From scores to tiers: by capacity, fixed scores or value, with triggers, exclusions and a margin against flapping.

`margin` is in points of the score. By fixed scores and by value a lead of the previous list leaves its tier only when
it is past the cut-off by the margin. By capacity the leads of a tier rank `margin` points higher when it is
filled again, so that it is as large as without, and a lead replaces another only when it is better by more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from models.points.scale import PointScale
from models.tiers.declarations import TierParams, Value
from models.tiers.tier_rules import DRAWN, EXCLUDED, TierFacts, strongest

LEAST_VALUE = 1e-9
NEW = -1  # the tier index of a lead that was in no tier of the previous list


@dataclass(frozen=True)
class TierContext:
    """What decides the tiers of a list beside the scores of its leads.

    Attributes
    ----------
    capacity
        Leads that sales can work until the next list.
    scale
        Of the points; only the value policy needs it, and only with `previous`.
    facts
        Which triggers and exclusions hold, and deal values, with the index of the list; None: none.
    previous
        Tier by lead_id in the previous list; None: there is none.
    """

    params: TierParams
    capacity: int
    scale: PointScale | None = None
    facts: TierFacts | None = None
    previous: pd.Series[str] | None = None

    def of(self, index: pd.Index, previous: pd.Series[str] | None) -> TierContext:
        """Return the context of the leads of one list."""
        return replace(self, facts=None if self.facts is None else self.facts.of(index), previous=previous)


def assign(
    scored: pd.DataFrame, context: TierContext, *, reserved: int = 0, explored: pd.Series[bool] | None = None
) -> pd.Series[str]:
    """Put every lead into a tier.

    Parameters
    ----------
    scored
        lead_id, probability, score, and with a previous list points; rank_value where another figure ranks; one row
        a lead of one scoring date.
    reserved
        Leads fewer in the best tier under capacity, which is what exploration adds.
    explored
        Whether a lead is in the best tier by exploration (see there), where under capacity it counts.

    Returns
    -------
    Series
        Tier names by the frame's index. capacity: the best leads fill each tier in turn, ties broken by lead_id.
        score: a lead is in the first tier whose min_score it reaches. value: in the first whose min_value_ratio it
        reaches, which is probability times deal value over the cost of a call. A trigger gives at least its tier, and
        under capacity counts first; an exclusion goes before a trigger and takes no capacity. A list no longer than the
        capacity of the best tier is put into tiers by fixed scores, see `of_length`.
    """
    names, facts = context.params.names, context.facts
    least, sent = by_rules(scored.index, context.params, names, facts)
    context = of_length(int((sent == "").sum()), context)
    params = context.params
    if explored is not None:
        least = np.where(explored, 0, least)
    before = previous_tier_ranks(scored["lead_id"], context.previous if params.margin else None, names)
    match params.policy:
        case "capacity":
            sizes = params.sizes(context.capacity)
            sizes[:1] = [n - reserved for n in sizes[:1]]
            strength = _ruler(scored, before, context.scale)
            index = _fill(scored, params, sizes, np.where(sent == "", least, NEW), before, strength)
        case "score":
            cut_offs = [tier.min_score for tier in params.ladder[:-1]]
            # A score ends at 100 and cannot show that it is past a cut-off by the margin; points go on.
            ruler = np.rint(scored["points"]) if (before != NEW).any() else scored["score"]
            index = np.minimum(by_cut_offs(ruler.to_numpy("float64"), cut_offs, before, params.margin), least)
        case "value":
            ratio = _value_ratio(scored, params, facts, before, context.scale)
            limits = np.array([tier.min_value_ratio for tier in params.ladder[:-1]])
            index = np.minimum(_first_reached(ratio >= limits), least)
    return pd.Series(np.where(sent == "", np.array(names)[index], sent), index=scored.index, dtype="str")


def of_length(n: int, context: TierContext) -> TierContext:
    """Return the context of a list with `n` leads to call: by fixed scores where all would be in the best tier.

    A tier of everybody says nothing of anybody; fixed scores say how likely a lead is, whatever the list.
    """
    params = context.params
    if params.policy != "capacity" or len(params.ladder) == 1 or n > params.sizes(context.capacity)[0]:
        return context
    return replace(context, params=params.model_copy(update={"policy": "score"}))


def tier_reasons(
    scored: pd.DataFrame,
    tiers: pd.Series[str],
    unmoved: pd.Series[str],
    context: TierContext,
    names: Sequence[str],
    earned: pd.Series[str],
) -> pd.Series[str]:
    """Say why a lead is not simply in the tier of its score.

    Parameters
    ----------
    tiers, unmoved
        Of the leads, and as they would be without a previous list.
    names
        All tiers, best first.
    earned
        The tiers that leads would have without exploration.

    Returns
    -------
    Series
        "excluded: NAME", "random sample to learn: else TIER", "trigger: NAME", "kept TIER: within M points of the
        cut-off", "not yet TIER: within M points of the cut-off", or "" by the frame's index.
    """
    params, facts = context.params, context.facts
    before = previous_tier_names(scored["lead_id"], context.previous)
    rank = {name: index for index, name in enumerate([*names, EXCLUDED])}
    near = f": within {params.margin:g} points of the cut-off"
    moved = tiers != unmoved
    reason = np.full(len(scored), "", dtype=object)  # of most leads it stays so
    now, other = tiers[moved], unmoved[moved]
    kept = (now == before[moved]) | (now.map(rank) < other.map(rank))
    reason[moved] = np.where(kept, "kept " + now, "not yet " + other) + near
    if facts is not None:
        trigger = strongest(params.triggers, facts.held, names)
        exclusion = strongest(params.exclusions, facts.held, [EXCLUDED, *reversed(names)])
        in_force = tiers == _named([one.tier for one in params.triggers], trigger)
        reason[in_force] = "trigger: " + _named([one.name for one in params.triggers], trigger[in_force])
        sent = exclusion >= 0
        reason[sent] = "excluded: " + _named([one.name for one in params.exclusions], exclusion[sent])
    explored = tiers != earned
    reason[explored] = f"{DRAWN} to learn: else " + earned[explored]
    return pd.Series(reason, index=scored.index, dtype="str")


def by_rules(
    index: pd.Index, params: TierParams, names: Sequence[str], facts: TierFacts | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tier index that triggers give at the least (the last where none holds), and the tier of an exclusion.

    Both have shape (n,); "" where no exclusion holds.
    """
    if facts is None:
        return np.full(len(index), len(names) - 1), np.full(len(index), "", dtype=object)
    trigger = strongest(params.triggers, facts.held, names)
    sizes = np.array([names.index(one.tier) for one in params.triggers] + [len(names) - 1])
    exclusion = strongest(params.exclusions, facts.held, [EXCLUDED, *reversed(names)])
    return sizes[trigger], _named([one.tier for one in params.exclusions], exclusion)


def previous_tier_names(lead_id: pd.Series[str], previous: pd.Series[str] | None) -> pd.Series[str]:
    """Return each lead's tier in the previous list, "" where it was not on it."""
    if previous is None:
        return pd.Series("", index=lead_id.index, dtype="str")
    return previous.reindex(pd.Index(lead_id)).fillna("").set_axis(lead_id.index).astype("str")


def previous_tier_ranks(lead_id: pd.Series[str], previous: pd.Series[str] | None, names: Sequence[str]) -> np.ndarray:
    """Return each lead's tier index in the previous list, NEW where it had none; shape (n,)."""
    index = pd.Index(names).get_indexer(pd.Index(previous_tier_names(lead_id, previous)))
    return np.where(index < 0, NEW, index).astype("int64")


def by_cut_offs(ruler: np.ndarray, cut_offs: Sequence[float], before: np.ndarray, margin: float) -> np.ndarray:
    """Return the index of the first cut-off that each lead reaches, one more than all where none; shape (n,)."""
    return _first_reached(ruler[:, None] + _shifts(before, len(cut_offs), margin) >= np.array(cut_offs))


def working_rank(
    scored: pd.DataFrame,
    tiers: pd.Series[str],
    params: TierParams,
    facts: TierFacts | None,
    explored: pd.Series[bool] | None = None,
) -> pd.Series[float]:
    """Return each lead's rank, from 0, when one list is worked from the top; infinity for the excluded.

    Best tier first, in a tier those by trigger or exploration, then as `ranked_by`, ties broken by lead_id.
    """
    least, _ = by_rules(scored.index, params, params.names, facts)
    last = len(params.names) - 1
    rank = tiers.map({name: index for index, name in enumerate(params.names)}).fillna(last + 1).to_numpy("int64")
    triggered = (least == rank) & (least < last)
    if explored is not None:
        triggered |= explored.to_numpy(dtype=bool)
    order = np.lexsort((id_order(scored["lead_id"]), -ranked_by(scored), ~triggered, rank))
    index = np.empty(len(order))
    index[order] = np.arange(len(order))
    return pd.Series(index, index=scored.index).mask(tiers == EXCLUDED, np.inf)


def _fill(
    scored: pd.DataFrame, params: TierParams, sizes: Sequence[int], least: np.ndarray, before: np.ndarray,
    ruler: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Fill each tier in turn: first with its triggered and explored leads, all of them, then with the best.

    `sizes` are those of each tier but the last. A lead with NEW as its least index is in none. See `_ruler`.
    """
    index = np.full(len(scored), len(params.ladder) - 1)
    waiting = least != NEW
    by_chance = np.lexsort((id_order(scored["lead_id"]), -ranked_by(scored)))
    for tier, free in enumerate(sizes):
        triggered = waiting & (least == tier)
        credit = params.margin * ((before != NEW) & (before <= tier))
        order = by_chance[np.argsort(-(ruler + credit)[by_chance], kind="stable")]
        ranked = order[(waiting & ~triggered)[order]]
        taken = triggered.copy()
        taken[ranked[: max(free - int(triggered.sum()), 0)]] = True
        index[taken], waiting = tier, waiting & ~taken
    return index


def ranked_by(scored: pd.DataFrame) -> np.ndarray:
    """Return what leads are ranked by: rank_value where the list has one (expected revenue), else the probability."""
    return scored["rank_value" if "rank_value" in scored else "probability"].to_numpy("float64")


def _ruler(scored: pd.DataFrame, before: np.ndarray, scale: PointScale | None) -> np.ndarray:
    """Return what decides between leads: with a previous list, in points, so that the margin can be added.

    Of a rank_value, twice as much is as many points as twice the odds.
    """
    if not (before != NEW).any():
        return ranked_by(scored)
    if "rank_value" not in scored or scale is None:
        return scored["points"].to_numpy("float64")
    return scale.double_odds * np.log2(np.maximum(ranked_by(scored), LEAST_VALUE))


def id_order(lead_id: pd.Series[str]) -> np.ndarray:
    """Return the rank of each lead_id, by which ties are broken; shape (n,)."""
    if lead_id.is_monotonic_increasing and not (lead_id == lead_id.shift()).any():
        return np.arange(len(lead_id))  # as shards have them; sorting a million ids takes a second
    return pd.factorize(lead_id, sort=True)[0]


def _value_ratio(
    scored: pd.DataFrame, params: TierParams, facts: TierFacts | None, before: np.ndarray, scale: PointScale | None
) -> np.ndarray:
    """Return what a call brings on average over what it costs, at each boundary; shape (n, tiers - 1)."""
    chance = scored["probability"].to_numpy("float64")[:, None]
    if (before != NEW).any():
        if scale is None:
            raise ValueError("a margin under the value policy needs the scale of the points")
        odds_times = 2.0 ** (_shifts(before, len(params.ladder) - 1, params.margin) / scale.double_odds)
        chance = chance * odds_times / (1 - chance + chance * odds_times)
    return chance * _deal_value(len(scored), params.value, facts)[:, None] / params.value.call_cost


def _deal_value(n: int, value: Value, facts: TierFacts | None) -> np.ndarray:
    if facts is None:
        return np.full(n, value.deal_value)
    return facts.deal_value.fillna(value.deal_value).to_numpy("float64")


def _shifts(before: np.ndarray, boundaries: int, margin: float) -> np.ndarray:
    """Return the points that count more, or less, at each boundary for a lead that was above, or below; (n, b)."""
    above = before[:, None] <= np.arange(boundaries)
    return np.where(before[:, None] == NEW, 0.0, np.where(above, margin, -margin))


def _first_reached(reached: np.ndarray) -> np.ndarray:
    """Return the first column that is true, or one more than there are: the last tier takes whoever reaches none."""
    last = np.ones((len(reached), 1), dtype=bool)
    return np.hstack([reached, last]).argmax(axis=1)


def _named(names: Sequence[str], index: np.ndarray) -> np.ndarray:
    """Look up names by index, "" at -1."""
    return np.array([*names, ""], dtype=object)[index]
