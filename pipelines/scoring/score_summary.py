"""A score list in a few numbers, as score_summary.json holds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field

from features.schema.spec import Spec
from models.lists.results import OwnersSummary
from models.nurture.results import NurtureSummary
from models.tiers.results import ListSummary
from models.tiers.tier_rules import EXCLUDED

CLOSED_SHARE = 0.05  # of a list, above which closed leads are no accident


class ExpectedRevenue(Spec):
    """What the leads that capacity reaches are expected to bring, and the interval in which it will lie."""

    value: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """Say it for people."""
        return f"the leads called are expected to bring {self.value:,.0f} ({self.low:,.0f} to {self.high:,.0f})"


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
    no_list
        Why there is nobody on it; "" where there is.
    expected_conversions
        By tier; none where the rules alone score, as are `overfull`, `capacity` and `unseen`.
    lowest_score
        That reached each tier; see `score_lists.lowest_scores`.
    unseen
        By attribute, leads with a value that the model does not know.
    closed
        By attribute and value, leads that are not excluded although the value means lost or customer.
    by_owner
        The owners' lists; None where `lists.owner` asks for none.
    nurture
        The leads to look at again; None without `nurture.on`.
    revenue
        None without `money.deal_value`.
    """

    format: Literal[2] = 2
    as_of: str | None
    intercept: float | None
    n: int
    who: str
    no_list: str = ""
    expected_conversions: dict[str, float]
    lowest_score: dict[str, int]
    unseen: dict[str, int]
    closed: dict[str, dict[str, int]] = Field(default={})
    by_owner: OwnersSummary | None = None
    nurture: NurtureSummary | None = None
    revenue: ExpectedRevenue | None = None
    model_id: str
    data_fingerprint: str

    @classmethod
    def of_nobody(cls, why: str, day: str, tiers: Iterable[str], model_id: str, data_fingerprint: str) -> Self:
        """Return the summary of a list without a lead."""
        return cls(
            as_of=day,
            intercept=None,
            n=0,
            who=f"leads open on {day}",
            no_list=why,
            tiers=dict.fromkeys(tiers, 0),
            overfull={},
            explored=0,
            capacity=[],
            expected_conversions={},
            lowest_score={},
            unseen={},
            model_id=model_id,
            data_fingerprint=data_fingerprint,
        )

    @property
    def warnings(self) -> list[str]:
        """Say which attributes call too many leads of the list closed."""
        listed = self.n - self.tiers.get(EXCLUDED, 0)
        return [
            f"{total:,} of {listed:,} leads on the list are closed by {name} ({', '.join(values)}); keep them off it "
            "with tiers.exclusions"
            for name, values in self.closed.items()
            if (total := sum(values.values())) > CLOSED_SHARE * listed
        ]
