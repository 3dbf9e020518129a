"""Ladders, lists of leads and facts for the tests of tiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from models.points.scale import score
from models.tiers.declarations import TierParams
from models.tiers.tier_rules import TierFacts
from tests.support.tables import SCALE

SEEN: dict[str, Any] = {"types": ["demo_request"], "days": 7}


def ladder(*shares: float | str, **changed: Any) -> TierParams:
    """Tiers called "tier 0", "tier 1" and so on, without margin, triggers or exclusions."""
    last = len(shares) - 1
    tiers = [
        {
            "name": f"tier {rank}",
            "stage": f"stage {rank}",
            "share_of_capacity": share,
            "min_score": 30.0 * (last - rank),
            "min_value_ratio": float(last - rank),
            "certify": None,
        }
        for rank, share in enumerate(shares)
    ]
    value = {"deal_value": 1000.0, "attribute": None, "call_cost": 100.0}
    rest = {"policy": "capacity", "margin": 0, "value": value, "triggers": [], "exclusions": []}
    return TierParams.model_validate(rest | {"ladder": tiers} | changed)


def leads(probability: ArrayLike, scores: Sequence[int] | None = None) -> pd.DataFrame:
    """One lead each, "lead 0" first, with the points that its probability has on the project's scale."""
    chance = np.asarray(probability, dtype="float64")
    points = SCALE.points(np.log(chance / (1 - chance)))
    return pd.DataFrame(
        {
            "lead_id": [f"lead {number}" for number in range(len(chance))],
            "probability": chance,
            "points": points,
            "score": score(points) if scores is None else list(scores),
        }
    )


def with_points(points: Sequence[float]) -> pd.DataFrame:
    """One lead each with these points."""
    log_odds = (np.asarray(points, dtype="float64") - SCALE.offset) / SCALE.factor
    return leads(1 / (1 + np.exp(-log_odds)))


def facts(rows: pd.DataFrame, deal_value: Sequence[float | None] | None = None, **held: Sequence[bool]) -> TierFacts:
    """Facts of the rows; an override of the name `asked_twice` is called "asked twice"."""
    columns = {name.replace("_", " "): np.asarray(values, dtype=bool) for name, values in held.items()}
    value = np.asarray([None] * len(rows) if deal_value is None else deal_value, dtype="float64")
    return TierFacts(pd.DataFrame(columns, index=rows.index), pd.Series(value, index=rows.index))


def tier_rule(name: str, tier: str) -> dict[str, Any]:
    return {"name": name, "when": SEEN, "tier": tier}


def before(rows: pd.DataFrame, tiers: Sequence[str | None]) -> pd.Series[str]:
    """The tiers of a previous list; None: the lead was not on it."""
    return pd.Series(list(tiers), index=rows["lead_id"]).dropna().astype("str")


chances = st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.2, 0.21, 0.5, 0.9]), min_size=1, max_size=25)
policies = st.sampled_from(["capacity", "score", "value"])
