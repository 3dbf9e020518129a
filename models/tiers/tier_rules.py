"""Rules that put a lead into a tier whatever its score: triggers and exclusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from features.rules.conditions import RuleCondition
from features.schema.spec import Spec

EXCLUDED = "excluded"  # outside of the ladder: not to be called
REASON = "override by "  # begins the tier_reason of a lead whose tier a person gave
DRAWN = "random sample"  # begins that of a lead of the random sample


class TierRule(Spec):
    """A trigger or an exclusion: a condition and the tier it gives."""

    name: str = Field(min_length=1, description="In plain English, shown to sales as the reason; each name once.")
    when: RuleCondition = Field(
        description=(
            "{types: [event types], days: seen within this many days, null: ever}, or a test on an "
            "attribute as in rules.attributes."
        )
    )
    tier: str = Field(description="A tier of the ladder.")


@dataclass(frozen=True)
class TierFacts:
    """What tiers ask about leads beside their figures; both tables have the index of the leads' list.

    Attributes
    ----------
    held
        One column of true and false for each trigger and exclusion, by name.
    deal_value
        Of the lead itself, in the money of `tiers.value`; missing where it is not known.
    """

    held: pd.DataFrame
    deal_value: pd.Series[float]

    def of(self, index: pd.Index) -> TierFacts:
        """Return the facts of some of the leads, in the order of `index`."""
        return TierFacts(self.held.reindex(index), self.deal_value.reindex(index))


def strongest(rules: Sequence[TierRule], held: pd.DataFrame, order: Sequence[str]) -> np.ndarray:
    """Return, for each lead, the index in `rules` of the one that counts, -1 where none holds; shape (n,).

    Parameters
    ----------
    held
        See `TierFacts`.
    order
        Tiers from the one that goes first; of two rules with one tier the first listed counts.
    """
    counts = np.full(len(held), -1)
    by_strength = sorted(range(len(rules)), key=lambda number: order.index(rules[number].tier))
    for number in reversed(by_strength):
        counts[held[rules[number].name].to_numpy(dtype=bool)] = number
    return counts
