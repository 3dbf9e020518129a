"""A lead alone is in the tier that a list of fixed cut-offs gives it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.tiers.assignment import TierContext, assign, tier_reasons
from models.tiers.at_moment import LeadFigures, list_cut_offs, tier_at_moment
from models.tiers.declarations import TierParams
from models.tiers.tier_rules import TierFacts

SEEN = {"types": ["visit"], "days": 7}
PARAMS = TierParams.model_validate(
    {
        "policy": "score",
        "triggers": [
            {"name": "warm one", "when": SEEN, "tier": "warm"},
            {"name": "demo", "when": SEEN, "tier": "hot"},
            {"name": "another demo", "when": SEEN, "tier": "hot"},
        ],
        "exclusions": [
            {"name": "student", "when": SEEN, "tier": "cold"},
            {"name": "rival", "when": SEEN, "tier": "excluded"},
        ],
    }
)
CONDITIONS = [one.name for one in PARAMS.triggers + PARAMS.exclusions]


@pytest.mark.parametrize("policy", ["score", "value"])
def test_equal_to_a_list(policy: str) -> None:
    params, rng, n = PARAMS.model_copy(update={"policy": policy}), np.random.default_rng(1), 300
    points = rng.uniform(0, 100, n)
    scored = pd.DataFrame({"lead_id": [f"{row:03}" for row in range(n)], "probability": points**2 / 1e5,
                           "score": np.rint(points).astype("int64"), "points": points})  # fmt: skip
    held = pd.DataFrame(rng.random((n, len(CONDITIONS))) < 0.15, columns=CONDITIONS)
    worth = pd.Series(np.where(rng.random(n) < 0.5, np.nan, rng.uniform(0, 1e5, n)))
    context = TierContext(params, 10, facts=TierFacts(held, worth))
    tiers = assign(scored, context)
    reasons = tier_reasons(scored, tiers, tiers, context, params.names, tiers)
    for row in range(n):
        value = None if pd.isna(worth[row]) else float(worth[row])
        lead = LeadFigures(int(scored["score"][row]), float(scored["probability"][row]), held.loc[row].to_dict(), value)
        alone = tier_at_moment(lead, params, None)
        assert (alone.tier, alone.reason) == (tiers[row], reasons[row])


def test_under_capacity_the_cut_offs_of_a_list_decide_and_fixed_scores_without_one() -> None:
    params = PARAMS.model_copy(update={"policy": "capacity"})
    lead = LeadFigures(66, 0.3, dict.fromkeys(CONDITIONS, False), None)
    cut_offs = list_cut_offs(params, {"hot": 65, "warm": 38, "cold": 16})
    assert cut_offs == [65, 38]
    assert tier_at_moment(lead, params, cut_offs).tier == "hot"
    assert tier_at_moment(lead, params, None).tier == "warm"
    assert list_cut_offs(params, {"cold": 16}) == [float("inf")] * 2
    assert tier_at_moment(lead, params, cut_offs).stage == "SQL"
