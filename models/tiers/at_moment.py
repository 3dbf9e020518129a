"""The tier of one lead at a moment, which has no list: by a list's cut-offs, fixed scores, or the value of a call.

Triggers and exclusions hold as on a list. A lead has no previous tier here, so that no margin applies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.tiers.declarations import TierParams
from models.tiers.tier_rules import EXCLUDED, TierRule


@dataclass(frozen=True)
class MomentTier:
    """A tier, its lifecycle stage ("" outside of the ladder), and the trigger or exclusion behind it ("" for none)."""

    tier: str
    stage: str
    reason: str


@dataclass(frozen=True)
class LeadFigures:
    """What decides the tier of a lead: its score and probability, which conditions hold by name, and its deal value."""

    score: int
    probability: float
    held: Mapping[str, bool]
    deal_value: float | None


def tier_at_moment(lead: LeadFigures, params: TierParams, cut_offs: Sequence[float] | None) -> MomentTier:
    """Return the tier of a lead.

    Parameters
    ----------
    cut_offs
        Under policy capacity, the least score of each tier but the last on a list; None: the fixed scores decide, as
        on a list that is no longer than the capacity of the best tier.
    """
    names = params.names
    trigger = _strongest(params.triggers, lead.held, names)
    exclusion = _strongest(params.exclusions, lead.held, [EXCLUDED, *reversed(names)])
    index = names.index(tier_by_figures(lead, params, cut_offs))
    if trigger is not None:
        index = min(index, names.index(trigger.tier))
    if exclusion is not None:
        return MomentTier(exclusion.tier, _stage(exclusion.tier, params), f"excluded: {exclusion.name}")
    reason = f"trigger: {trigger.name}" if trigger is not None and trigger.tier == names[index] else ""
    return MomentTier(names[index], params.ladder[index].stage, reason)


def list_cut_offs(params: TierParams, lowest_score: Mapping[str, int]) -> list[float]:
    """Return the least score of each tier but the last on a list; a tier that no score reached, is out of reach."""
    return [float(lowest_score.get(tier.name, "inf")) for tier in params.ladder[:-1]]


def tier_by_figures(lead: LeadFigures, params: TierParams, cut_offs: Sequence[float] | None) -> str:
    """Return the tier by score or value alone; see `tier_at_moment`."""
    above = params.ladder[:-1]
    if params.policy == "value":
        worth = params.value.deal_value if lead.deal_value is None else lead.deal_value
        ratio = lead.probability * worth / params.value.call_cost
        return params.names[_first(ratio, [tier.min_value_ratio for tier in above])]
    fixed = [tier.min_score for tier in above]
    return params.names[_first(lead.score, fixed if params.policy == "score" or cut_offs is None else cut_offs)]


def _first(figure: float, limits: Sequence[float]) -> int:
    """Return the index of the first limit that is reached, one more than all where none is."""
    return next((index for index, limit in enumerate(limits) if figure >= limit), len(limits))


def _strongest(rules: Sequence[TierRule], held: Mapping[str, bool], order: Sequence[str]) -> TierRule | None:
    """Return the rule that counts; of two with one tier the first."""
    return min((one for one in rules if held[one.name]), key=lambda one: order.index(one.tier), default=None)


def _stage(tier: str, params: TierParams) -> str:
    return next((one.stage for one in params.ladder if one.name == tier), "")
