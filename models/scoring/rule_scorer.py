"""Leads ranked by the hand-written rules alone: the fallback where there is too little to learn from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd

from features.matrix.matrix import MatrixSpec
from features.rules.declarations import RulesParams
from models.points.grades import grade
from models.points.groups import Part, PartSums, point_groups
from models.points.scale import add_columns, score
from models.scoring.reasons import LEAST_POINTS
from models.tiers.assignment import TierContext, by_cut_offs, by_rules, previous_tier_ranks
from models.tiers.exploration import Exploration
from models.tiers.score_lists import describe, tier_columns

BELOW = "none"  # the tier of a lead that reaches no threshold


def rules_id(rules: RulesParams) -> str:
    """Return a short digest of the rules, which stands where scores name their model."""
    return "rules-" + hashlib.sha256(rules.model_dump_json().encode()).hexdigest()[:16]


def rule_parts(rules: RulesParams, spec: MatrixSpec) -> dict[str, Part]:
    """Return what the points of each rule are of, in the order of `rules.names`; every rule is a theme of its own."""
    groups: dict[str, str] = {entry.name: entry.group for entry in spec.catalogue}
    groups |= {name: one.group for name, one in spec.attributes.items()}
    of_attributes = {rule.name: groups[rule.attribute] for rule in rules.attributes}
    channels = {rule.name: _channel(rule.types, spec) for rule in rules.events}
    channels |= {rule.name: _channel(rule.types, spec) for rule in rules.patterns}
    return {name: Part(of_attributes.get(name, "engagement"), channels.get(name, "none"), name) for name in rules.names}


def _channel(types: list[str], spec: MatrixSpec) -> str:
    """Return the channel that all event types of a rule have, or none."""
    channels = {spec.vocabulary.channels.get(one, "none") for one in types}
    return channels.pop() if len(channels) == 1 else "none"


def score_by_rules(
    lead_id: pd.Series[str],
    parts: np.ndarray,
    rule_parts: dict[str, Part],
    reasons: int,
) -> pd.DataFrame:
    """Score every lead by its points.

    Parameters
    ----------
    lead_id
        One a lead, shape (n,).
    parts
        Points of each rule, and of the start, shape (n, rules + 1); see `rule_points.contributions`.
    rule_parts
        What each rule is of, in the order of `rules.names`.
    reasons
        The largest number of reasons a lead.

    Returns
    -------
    DataFrame
        The columns of `Scorer.score`, best first, ties broken by lead_id. Points need no probability to rank, so
        `probability` and `raw_score` are missing; base_points + fit + engagement = points. `grade` is empty, because
        its cut-offs belong to a model. No figure of a lead depends on another lead.
    """
    groups = point_groups(parts, PartSums.of(list(rule_parts.values())))
    points = add_columns(parts, range(parts.shape[1]))
    why = [_reasons(lead, rule_parts, reasons) for lead in parts]
    scored = pd.DataFrame(
        {
            "lead_id": lead_id.to_numpy(),
            "probability": np.full(len(parts), np.nan),
            "raw_score": np.full(len(parts), np.nan),
            "points": points,
            "score": score(points),
            "base_points": parts[:, -1],
            **groups,
            "grade": grade(groups["fit"], groups["engagement"], None),
            "reasons": [json.dumps(lead, ensure_ascii=False) for lead in why],
            "reasons_text": ["; ".join(f"{one['theme']} ({one['points']:+.0f})" for one in lead) for lead in why],
        }
    )
    return scored.sort_values(["points", "lead_id"], ascending=[False, True], ignore_index=True)


def rule_tiers(scored: pd.DataFrame, rules: RulesParams, context: TierContext) -> pd.DataFrame:
    """Return the columns of `score_lists.tier_columns` for a list that the rules have scored.

    The thresholds of the rules are the cut-offs, and who reaches none is in tier BELOW. Without thresholds the policy
    holds with points instead of probabilities; what a call brings needs a probability, so capacity rules then.
    """
    if not rules.thresholds:
        params = context.params
        by_rank = params.model_copy(update={"policy": "capacity"}) if params.policy == "value" else params
        return tier_columns(scored.assign(probability=scored["points"]), replace(context, params=by_rank), None)
    names = [*(one.name for one in rules.thresholds), BELOW]
    tiers = _by_thresholds(scored, rules, context, names)
    unmoved = _by_thresholds(scored, rules, replace(context, previous=None), names)
    return describe(scored, tiers, unmoved, context, names, Exploration.nobody(tiers, names[0]))


def _by_thresholds(scored: pd.DataFrame, rules: RulesParams, context: TierContext, names: list[str]) -> pd.Series[str]:
    params = context.params
    least, sent = by_rules(scored.index, params, names, context.facts)
    before = previous_tier_ranks(scored["lead_id"], context.previous, names)
    cut_offs = [one.at_least for one in rules.thresholds]
    rank = by_cut_offs(scored["points"].to_numpy("float64"), cut_offs, before, params.margin)
    reached = np.array(names)[np.minimum(rank, least)]
    return pd.Series(np.where(sent == "", reached, sent), index=scored.index, dtype="str")


def _reasons(parts: np.ndarray, rule_parts: dict[str, Part], most: int) -> list[dict[str, str | float | None]]:
    """Return the strongest rules of one lead, by absolute points, as the model's reasons are written."""
    named = list(
        zip(rule_parts.items(), parts.tolist(), strict=False)
    )  # the last of the parts is the start, of everybody
    strongest = sorted(named, key=lambda one: -abs(one[1]))[:most]
    return [
        {
            "theme": rule,
            "group": part.group,
            "points": round(points, 4),
            "feature": rule,
            "value": None,
            "text": f"{points:+.0f} {rule}",
        }
        for (rule, part), points in strongest
        if abs(points) > LEAST_POINTS
    ]
