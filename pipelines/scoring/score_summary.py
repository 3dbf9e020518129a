"""A score list in a few numbers, as score_summary.json holds it."""

from __future__ import annotations

from typing import Literal

from models.tiers.results import ListSummary


class ScoreSummary(ListSummary):
    """Counts of one score list.

    Attributes
    ----------
    as_of
        The scoring day in ISO format; None for tables without dates.
    intercept
        That all leads share, from the outcomes known by that day; None where the rules alone score.
    who
        Which leads were scored, in words.
    expected_conversions
        By tier; none where the rules alone score, as are `overfull`, `capacity` and `unseen`.
    lowest_score
        That reached each tier.
    unseen
        By attribute, leads with a value that the model does not know.
    """

    format: Literal[2] = 2
    as_of: str | None
    intercept: float | None
    n: int
    who: str
    expected_conversions: dict[str, float]
    lowest_score: dict[str, int]
    unseen: dict[str, int]
    model_id: str
    data_fingerprint: str
