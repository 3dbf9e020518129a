"""Leads ranked by the hand-written rules alone: the fallback where there is too little to learn from."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.rule_spec import RulesParams
from features.spec import AttributeSpec
from models.overrides import Facts
from models.points import add_columns, score
from models.reasons import LEAST_POINTS
from models.tier_lists import describe, tier_columns
from models.tier_policy import by_cut_offs, overridden, places_before
from models.tiers import TierParams

BELOW = "none"  # the tier of a lead that reaches no threshold


def rules_id(rules: RulesParams) -> str:
    """Return a short digest of the rules, which stands where scores name their model."""
    return "rules-" + hashlib.sha256(rules.model_dump_json().encode()).hexdigest()[:16]


def rule_groups(rules: RulesParams, entries: Catalogue, attributes: dict[str, AttributeSpec]) -> dict[str, str]:
    """Return the group, fit or engagement, of each rule, in the order of `rules.names`."""
    groups: dict[str, str] = {entry.name: entry.group for entry in entries}
    groups |= {name: one.group for name, one in attributes.items()}
    of_attributes = {rule.name: groups[rule.attribute] for rule in rules.attributes}
    return {name: of_attributes.get(name, "engagement") for name in rules.names}


def score_by_rules(
    lead_id: pd.Series[str],
    parts: np.ndarray,
    groups: dict[str, str],
    reasons: int,
) -> pd.DataFrame:
    """Score every lead by its points.

    Parameters
    ----------
    lead_id
        One a lead, shape (n,).
    parts
        Points of each rule, and of the start, shape (n, rules + 1); see `rules.contributions`.
    groups
        Of each rule, in the order of `rules.names`.
    reasons
        At most so many a lead.

    Returns
    -------
    DataFrame
        The columns of `Scorer.score`, best first, ties broken by lead_id. Points need no probability to rank, so
        `probability` and `raw_score` are missing; base_points + fit + engagement = points. No figure of a lead depends
        on another lead.
    """
    places = {group: [i for i, one in enumerate(groups.values()) if one == group] for group in ("fit", "engagement")}
    points = add_columns(parts, range(parts.shape[1]))
    why = [_reasons(lead, groups, reasons) for lead in parts]
    scored = pd.DataFrame(
        {
            "lead_id": lead_id.to_numpy(),
            "probability": np.full(len(parts), np.nan),
            "raw_score": np.full(len(parts), np.nan),
            "points": points,
            "score": score(points),
            "base_points": parts[:, -1],
            "fit": add_columns(parts, places["fit"]),
            "engagement": add_columns(parts, places["engagement"]),
            "reasons": [json.dumps(lead, ensure_ascii=False) for lead in why],
            "reasons_text": ["; ".join(str(reason["text"]) for reason in lead) for lead in why],
        }
    )
    return scored.sort_values(["points", "lead_id"], ascending=[False, True], ignore_index=True)


def rule_tiers(
    scored: pd.DataFrame,
    rules: RulesParams,
    params: TierParams,
    capacity: int,
    facts: Facts | None,
    previous: pd.Series[str] | None,
) -> pd.DataFrame:
    """Return the columns of `tier_lists.tier_columns` for a list that the rules have scored.

    The thresholds of the rules are the cut-offs, and who reaches none is in tier BELOW. Without thresholds the policy
    holds with points in the place of probabilities; what a call brings needs a probability, so capacity rules then.
    """
    if not rules.thresholds:
        by_rank = params.model_copy(update={"policy": "capacity"}) if params.policy == "value" else params
        return tier_columns(
            scored.assign(probability=scored["points"]), by_rank, capacity, scale=None, facts=facts, previous=previous
        )
    names = [*(one.name for one in rules.thresholds), BELOW]
    tiers = _by_thresholds(scored, rules, params, names, facts, previous)
    unmoved = _by_thresholds(scored, rules, params, names, facts, None)
    return describe(scored, tiers, unmoved, params, names, facts, previous)


def _by_thresholds(
    scored: pd.DataFrame,
    rules: RulesParams,
    params: TierParams,
    names: list[str],
    facts: Facts | None,
    previous: pd.Series[str] | None,
) -> pd.Series[str]:
    least, sent = overridden(scored.index, params, names, facts)
    before = places_before(scored["lead_id"], previous, names)
    cut_offs = [one.at_least for one in rules.thresholds]
    place = by_cut_offs(scored["points"].to_numpy("float64"), cut_offs, before, params.margin)
    reached = np.array(names)[np.minimum(place, least)]
    return pd.Series(np.where(sent == "", reached, sent), index=scored.index, dtype="str")


def _reasons(parts: np.ndarray, groups: dict[str, str], most: int) -> list[dict[str, str | float | None]]:
    """Return the strongest rules of one lead, by absolute points, as the model's reasons are written."""
    named = list(zip(groups.items(), parts.tolist(), strict=False))  # the last of the parts is the start, of everybody
    strongest = sorted(named, key=lambda one: -abs(one[1]))[:most]
    return [
        {
            "theme": rule,
            "group": group,
            "points": round(points, 4),
            "feature": rule,
            "value": None,
            "text": f"{points:+.0f} {rule}",
        }
        for (rule, group), points in strongest
        if abs(points) > LEAST_POINTS
    ]
