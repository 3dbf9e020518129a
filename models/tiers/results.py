"""What the tiers of one score list, or of two, come to: parts of score_summary.json and of comparisons as types."""

from __future__ import annotations

from features.schema.spec import Spec


class Overfull(Spec):
    """A tier with more triggered leads than its capacity."""

    capacity: int
    triggered: int


class CapacityStep(Spec):
    """What calling `capacity` leads from the top of the list would win; see `capacity.expected_wins`.

    Attributes
    ----------
    leads
        As many of them as the list has.
    cut_off
        The score of the last one called; None where the list is not ranked by it.
    wins
        The sum of probabilities; `_low` and `_high`: see `capacity.wins_interval`.
    """

    capacity: int
    leads: int
    cut_off: int | None
    wins: float
    wins_low: float
    wins_high: float

    @property
    def down_to(self) -> str:
        """Say where the list is cut off, "" where no score does."""
        return "" if self.cut_off is None else f", from score {self.cut_off} up"


class ListSummary(Spec):
    """The size of a list's tiers and what capacity buys.

    Attributes
    ----------
    tiers
        Leads in each tier; the excluded only where there are any.
    overfull
        Under the policy capacity, the tiers that are.
    explored
        Leads that exploration drew at random.
    overridden
        Leads whose tier is a person's.
    by_fixed_scores
        Whether the list is so short that its tiers follow fixed scores, not capacity; see `assignment.of_length`.
    """

    tiers: dict[str, int]
    overfull: dict[str, Overfull]
    explored: int
    overridden: int = 0
    by_fixed_scores: bool = False
    capacity: list[CapacityStep]


class TierFlow(Spec):
    """How many leads moved from one tier to another; None: not on that list."""

    tier_from: str | None
    tier_to: str | None
    n: int
