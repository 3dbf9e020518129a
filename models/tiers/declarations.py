"""The ladder of tiers as a business declares it in params.yaml."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.tiers.overrides import EXCLUDED, Override


class Section(BaseModel):
    """A frozen section that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Certify(Section):
    """The conversion rate that a tier is to be certified for, how surely, and by how many cut-offs inside it."""

    rate: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    steps: int = Field(ge=1)


class Tier(Section):
    """One tier, the lifecycle stage it maps to, its limits under each policy, and what it is to be certified for."""

    name: str = Field(min_length=1)
    stage: str
    share_of_capacity: Annotated[float, Field(gt=0)] | Literal["rest"]
    min_score: float = Field(ge=0, le=100)
    min_value_ratio: float = Field(ge=0)
    certify: Certify | None


class Value(Section):
    """What a deal brings and what a call costs, in the same money."""

    deal_value: float = Field(gt=0)
    attribute: str | None
    call_cost: float = Field(gt=0)


class TierParams(Section):
    """Tiers from the best down, and how leads are put into them."""

    policy: Literal["capacity", "score", "value"]
    margin: float = Field(ge=0)
    value: Value
    ladder: list[Tier] = Field(min_length=1)
    triggers: list[Override]
    exclusions: list[Override]

    @property
    def names(self) -> list[str]:
        """The tiers' names, best first."""
        return [tier.name for tier in self.ladder]

    def places(self, capacity: int) -> list[int]:
        """Return how many leads each tier but the last takes; what is not a whole lead goes to the next tier."""
        shares = [tier.share_of_capacity for tier in self.ladder if tier.share_of_capacity != "rest"]
        ends = np.floor(np.round(np.cumsum(shares) * capacity, 6))  # 1.1 * 50 is 55.00000000000001
        return [int(places) for places in np.diff(ends, prepend=0)]

    @model_validator(mode="after")
    def _last_takes_the_rest(self) -> TierParams:
        lowest = self.ladder[-1]
        for key, limits in {
            "min_score": [tier.min_score for tier in self.ladder],
            "min_value_ratio": [tier.min_value_ratio for tier in self.ladder],
        }.items():
            if limits != sorted(set(limits), reverse=True) or limits[-1] != 0:
                raise ValueError(f"{key} must fall from tier to tier and end at 0, found {limits}")
        if [tier for tier in self.ladder if tier.share_of_capacity == "rest"] != [lowest]:
            raise ValueError(f"the last tier, {lowest.name!r}, and no other, has share_of_capacity: rest")
        if len(set(self.names)) < len(self.ladder):
            raise ValueError("tier names must differ")
        if EXCLUDED in self.names:
            raise ValueError(f"{EXCLUDED!r} stands for leads outside of the ladder; call the tier something else")
        return self

    @model_validator(mode="after")
    def _overrides_are_clear(self) -> TierParams:
        every = self.triggers + self.exclusions
        twice = [name for name, n in Counter(one.name for one in every).items() if n > 1]
        if twice:
            raise ValueError(f"two triggers or exclusions are called {twice[0]!r}; give each a name of its own")
        for one in every:
            known = self.names if one in self.triggers else [*self.names, EXCLUDED]
            if one.tier not in known:
                raise ValueError(f"{one.name!r} gives tier {one.tier!r}, which is none of {', '.join(known)}")
        return self
