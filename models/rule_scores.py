"""Leads ranked by the hand-written rules alone: the fallback where there is too little to learn from."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.rule_spec import RulesParams
from features.spec import AttributeSpec
from models.points import add_columns, score
from models.reasons import LEAST_POINTS
from models.rules import threshold_names
from models.tiers import TierParams, assign

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
    rules: RulesParams,
    tiers: TierParams,
    capacity: int,
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
    capacity
        Leads that sales can work until the next list; fills the tiers where the rules have no thresholds.
    reasons
        At most so many a lead.

    Returns
    -------
    DataFrame
        The columns of `Scorer.score`, best first, ties broken by lead_id. Points need no probability to rank, so
        `probability` and `raw_score` are missing; base_points + fit + engagement = points.
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
            "tier": rule_tiers(lead_id, points, rules, tiers, capacity),
            "reasons": [json.dumps(lead, ensure_ascii=False) for lead in why],
            "reasons_text": ["; ".join(str(reason["text"]) for reason in lead) for lead in why],
        }
    )
    return scored.sort_values(["points", "lead_id"], ascending=[False, True], ignore_index=True)


def rule_tiers(
    lead_id: pd.Series[str], points: np.ndarray, rules: RulesParams, tiers: TierParams, capacity: int
) -> list[str]:
    """Return the tier of each lead of one list: by the rules' thresholds, or as the tiers fill where there are none."""
    if rules.thresholds:
        return [name or BELOW for name in threshold_names(points, rules)]
    ranked = pd.DataFrame({"lead_id": lead_id.to_numpy(), "probability": points, "score": score(points)})
    return assign(ranked, tiers, capacity).tolist()


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
