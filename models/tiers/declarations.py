"""The ladder of tiers as a business declares it in params.yaml."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from features.schema.spec import Spec
from models.tiers.tier_rules import EXCLUDED, TierRule


class Certify(Spec):
    """The conversion rate that a tier is to be certified for, how surely, and by how many cut-offs inside it."""

    times_average: float = Field(
        default=2.0,
        gt=0,
        description="Certify this many times the conversion rate of the training rows, where `rate` is not set.",
    )
    rate: float | None = Field(default=None, gt=0, lt=1, description="Conversion rate to certify; null: times_average.")
    confidence: float = Field(default=0.9, gt=0, lt=1, description="How surely.")
    steps: int = Field(
        default=5,
        ge=1,
        le=1000,
        description=(
            "Cut-offs inside the tier, from the top down, that find the part that converts so where the "
            "whole may not; 1: only the tier as it stands."
        ),
    )

    def target(self, average: float) -> float:
        """Return the rate to certify, where training rows converted at `average`; 1 or more cannot be."""
        return self.times_average * average if self.rate is None else self.rate


class Tier(Spec):
    """One tier, the lifecycle stage it maps to, its limits under each policy, and what it is to be certified for."""

    name: str = Field(min_length=1, description="As sales says it.")
    stage: str = Field(description="The lifecycle stage that the tier maps to.")
    share_of_capacity: Annotated[float, Field(gt=0)] | Literal["rest"] = Field(
        description="Policy capacity: leads, in multiples of capacity.per_period; the last tier takes the rest."
    )
    min_score: float = Field(ge=0, le=100, description="Policy score: the least score; the last 0.")
    min_value_ratio: float = Field(
        ge=0, description="Policy value: a call brings at least this many times its cost; 1: it pays; the last 0."
    )
    certify: Certify | None = Field(
        default=None,
        description="Test on held-out leads whether the tier converts so often, so surely; null: certify nothing.",
    )


class Value(Spec):
    """What a deal brings and what a call costs, in the same money."""

    deal_value: float = Field(default=5000.0, gt=0, description="Of a won deal, on average.")
    attribute: str | None = Field(
        default=None,
        description="A number in source.attributes that holds the lead's own deal value, used where it is known.",
    )
    call_cost: float = Field(default=50.0, gt=0, description="Of working a lead for one period, in the same money.")


LADDER = [
    Tier(name="hot", stage="SQL", share_of_capacity=1, min_score=70, min_value_ratio=5, certify=Certify()),
    Tier(name="warm", stage="MQL", share_of_capacity=3, min_score=50, min_value_ratio=1),
    Tier(name="cold", stage="lead", share_of_capacity="rest", min_score=0, min_value_ratio=0),
]


class TierParams(Spec):
    """Tiers from the best down, and how leads are put into them."""

    policy: Literal["capacity", "score", "value"] = Field(
        default="capacity",
        description=(
            "capacity: the best leads fill each tier in turn; score: fixed scores; value: what a call "
            "brings for what it costs, probability times deal value over the cost of a call."
        ),
    )
    margin: float = Field(
        default=5.0,
        ge=0,
        description=(
            "Points by which a lead must be past a cut-off to leave its tier of the previous list, so "
            "that tiers do not flap; under capacity a lead replaces another only when it is better by "
            "more; 0: each list stands alone."
        ),
    )
    value: Value = Field(default=Value(), description="For policy value.")
    ladder: list[Tier] = Field(default=LADDER, min_length=1, description="Tiers, best first.")
    triggers: list[TierRule] = Field(
        default=[],
        description=(
            "Put a lead into at least this tier at once, whatever its score; under capacity they are "
            "placed first, and of several that hold the best tier counts."
        ),
    )
    exclusions: list[TierRule] = Field(
        default=[],
        description="Written like triggers, and go before them; `tier` may also be excluded: not to be called at all.",
    )

    @property
    def names(self) -> list[str]:
        """The tiers' names, best first."""
        return [tier.name for tier in self.ladder]

    def sizes(self, capacity: int) -> list[int]:
        """Return how many leads each tier but the last takes; what is not a whole lead goes to the next tier."""
        shares = [tier.share_of_capacity for tier in self.ladder if tier.share_of_capacity != "rest"]
        ends = np.floor(np.round(np.cumsum(shares) * capacity, 6))  # 1.1 * 50 is 55.00000000000001
        return [int(sizes) for sizes in np.diff(ends, prepend=0)]

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
    def _rules_are_clear(self) -> TierParams:
        every = self.triggers + self.exclusions
        twice = [name for name, n in Counter(one.name for one in every).items() if n > 1]
        if twice:
            raise ValueError(f"two triggers or exclusions are called {twice[0]!r}; give each a name of its own")
        for one in every:
            known = self.names if one in self.triggers else [*self.names, EXCLUDED]
            if one.tier not in known:
                raise ValueError(f"{one.name!r} gives tier {one.tier!r}, which is none of {', '.join(known)}")
        return self
