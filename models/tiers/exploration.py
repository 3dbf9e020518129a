"""Exploration: a small share of the best tier goes to a random sample of the leads that are not in it.

Whom sales calls follows the score, and so does the history that the next model learns from: of leads that nobody calls
it only ever shows what they do uncalled. Exploration calls some of them, with a probability that is known and logged,
so that metrics can be weighted by it (see `contact_weights`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from features.schema.declarations import SnapshotParams
from features.schema.spec import Spec
from models.splitting.holdout import draw
from models.tiers.assignment import TierContext, assign, by_rules, of_length
from models.tiers.capacity import scaled_capacity


class ExplorationParams(Spec):
    """How many leads are explored, and how large weights by their propensity may be."""

    share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description=(
            "Share of the best tier's capacity that goes to a random sample of the leads outside of it, to the "
            "nearest whole lead, such as 0.03; more learns faster and costs calls; 0: nobody is sampled, and what "
            "lower tiers would bring if they were called stays unknown."
        ),
    )
    max_weight: float = Field(
        default=1000.0,
        ge=1,
        description=(
            "In metrics weighted by the contact log one contact stands for at most this many leads; less is"
            " calmer, but leans towards the leads that were called anyway."
        ),
    )
    correct_level: bool = Field(
        default=False,
        description=(
            "true: training sets the intercept of the probabilities to that of leads once called, by the "
            "weighted contact log; for tiers of value. KPIs and the promotion gate still compare with "
            "leads as sales worked them."
        ),
    )
    min_effective: int = Field(
        default=200, ge=1, description="Effective number of contacts below which the intercept is left as it is."
    )


@dataclass(frozen=True)
class Quota:
    """Exploration of one list: the share of the best tier, the seed, and the period that the random sample is for."""

    share: float
    seed: int
    period: str


@dataclass(frozen=True)
class Exploration:
    """What exploration did to a list, by the index of its leads.

    Attributes
    ----------
    earned
        The tier that a lead has, or would have had without exploration.
    explored
        Whether exploration put it into the best tier.
    propensity
        Its probability to be in the best tier: 1 for leads that earned it, the same for all that exploration
        could sample, and 0 for leads that an exclusion keeps out.
    """

    earned: pd.Series[str]
    explored: pd.Series[bool]
    propensity: pd.Series[float]

    @classmethod
    def nobody(cls, tiers: pd.Series[str], best: str) -> Exploration:
        """Return the result of a list without exploration."""
        return cls(tiers, pd.Series(False, index=tiers.index), (tiers == best).astype("float64"))


def period_of(as_of: pd.Timestamp, population: SnapshotParams | None) -> str:
    """Name the period of the snapshot grid that a day is in, so that explored leads stay so from one list to the next.

    `population` is None for tables without dates, whose lists stand for one period all together.
    """
    if population is None or pd.isna(as_of):
        return ""
    return str((as_of - pd.Timestamp(population.anchor)).days // population.every_days)


def explore(scored: pd.DataFrame, context: TierContext, quota: Quota) -> Exploration:
    """Sample leads of lower tiers into the best tier; see `assignment.assign`.

    Under capacity `quota.share` of the best tier is reserved for exploration, in whole leads, after triggered leads;
    under the other policies as many leads as that share of the tier are added to it. All have the same probability,
    and a lead's number depends on its id, the seed and the period alone.
    """
    _, sent = by_rules(scored.index, context.params, context.params.names, context.facts)
    context = of_length(int((sent == "").sum()), context)
    params = context.params
    reserved = _reserved(scored, context, quota.share)
    earned = assign(scored, context, reserved=reserved)
    in_best = earned == params.names[0]
    wanted = reserved if params.policy == "capacity" else scaled_capacity(int(in_best.sum()), quota.share)
    possible = ~in_best & (sent == "")
    n = min(wanted, int(possible.sum()))
    number = draw(scored["lead_id"], quota.seed, f"explore:{quota.period}").where(possible)
    drawn = number.rank(method="first") <= n
    chance = np.select([in_best, possible], [1.0, n / max(int(possible.sum()), 1)], 0.0)
    return Exploration(earned, drawn, pd.Series(chance, index=scored.index))


def _reserved(scored: pd.DataFrame, context: TierContext, share: float) -> int:
    """Return how many leads of the best tier exploration gets, 0 where tiers have no fixed size."""
    params = context.params
    if params.policy != "capacity" or len(params.ladder) == 1:
        return 0
    size = params.sizes(context.capacity)[0]
    least, sent = by_rules(scored.index, params, params.names, context.facts)
    triggered = int(((least == 0) & (sent == "")).sum())
    return max(min(scaled_capacity(size, share), size - triggered), 0)
