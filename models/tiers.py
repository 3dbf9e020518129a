"""From scores to tiers that fit what sales can work."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Tier(BaseModel):
    """One tier, the lifecycle stage it maps to, and its limits under either policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    stage: str
    share_of_capacity: Annotated[float, Field(gt=0)] | Literal["rest"]
    min_score: float = Field(ge=0, le=100)


class TierParams(BaseModel):
    """Tiers from the best down, and how leads are put into them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Literal["capacity", "score"]
    ladder: list[Tier] = Field(min_length=1)

    @model_validator(mode="after")
    def _last_takes_the_rest(self) -> TierParams:
        lowest = self.ladder[-1]
        scores = [tier.min_score for tier in self.ladder]
        if scores != sorted(set(scores), reverse=True) or lowest.min_score != 0:
            raise ValueError(f"min_score must fall from tier to tier and end at 0, found {scores}")
        if [tier for tier in self.ladder if tier.share_of_capacity == "rest"] != [lowest]:
            raise ValueError(f"the last tier, {lowest.name!r}, and no other, has share_of_capacity: rest")
        if len({tier.name for tier in self.ladder}) < len(self.ladder):
            raise ValueError("tier names must differ")
        return self


def assign(scored: pd.DataFrame, params: TierParams, capacity: int) -> pd.Series[str]:
    """Put every lead into a tier.

    Parameters
    ----------
    scored
        lead_id, probability, score; one row a lead of one scoring date.
    capacity
        Leads that sales can work until the next list.

    Returns
    -------
    Series
        Tier names by the frame's index. Under the capacity policy the best leads fill each tier in turn, ties broken
        by lead_id, and what is not a whole lead goes to the next tier; under the score policy a lead is in the first
        tier whose min_score it reaches.
    """
    names = np.array([tier.name for tier in params.ladder])
    if params.policy == "score":
        reached = scored["score"].to_numpy()[:, None] >= np.array([tier.min_score for tier in params.ladder])
        return pd.Series(names[reached.argmax(axis=1)], index=scored.index, dtype="str")
    ranked = scored.sort_values(["probability", "lead_id"], ascending=[False, True]).index
    shares = [tier.share_of_capacity for tier in params.ladder if tier.share_of_capacity != "rest"]
    ends = np.floor(np.round(np.cumsum(shares) * capacity, 6))  # 1.1 * 50 is 55.00000000000001
    place = np.searchsorted(ends, np.arange(len(ranked)), side="right")
    return pd.Series(names[place], index=ranked, dtype="str").reindex(scored.index)
