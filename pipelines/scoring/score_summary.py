"""A score list in a few numbers, as score_summary.json holds it."""

from __future__ import annotations

from typing import Literal

from features.schema.spec import Spec


class Overfull(Spec):
    """A tier with more triggered leads than its capacity."""

    capacity: int
    triggered: int


class CapacityStep(Spec):
    """What calling `capacity` leads from the top of the list would win; see `capacity.expected_wins`."""

    capacity: int
    leads: int
    cut_off: int | None
    wins: float
    wins_low: float
    wins_high: float


class ScoreSummary(Spec):
    """Counts of one score list.

    Attributes
    ----------
    as_of
        The scoring day in ISO format; None for tables without dates.
    who
        Which leads were scored, in words.
    tiers
        Leads in each tier.
    explored
        Leads that exploration drew at random.
    expected_conversions
        By tier; none where the rules alone score, as are `overfull`, `capacity` and `unseen`.
    lowest_score
        That reached each tier.
    unseen
        By attribute, leads with a value that the model does not know.
    """

    format: Literal[1] = 1
    as_of: str | None
    n: int
    who: str
    tiers: dict[str, int]
    overfull: dict[str, Overfull]
    explored: int
    capacity: list[CapacityStep]
    expected_conversions: dict[str, float]
    lowest_score: dict[str, int]
    unseen: dict[str, int]
    model_id: str
    data_fingerprint: str
