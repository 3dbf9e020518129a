"""What the owners' lists of one day come to, and what overrides did: figures that name nobody."""

from __future__ import annotations

from typing import Literal

from features.schema.spec import Spec

Side = Literal["raised", "lowered"]


class RuleCost(Spec):
    """One rule, and the wins to expect that would be on the lists without it and are not with it."""

    rule: str
    wins: float


class OwnersSummary(Spec):
    """All owners' lists together.

    Attributes
    ----------
    owners
        Who get a list.
    capacity
        Leads that they can work.
    leads, dealt, new
        Leads on the lists; of them without an owner in the data; and not on their owner's last list.
    wins
        The sum of the leads' probabilities, with its interval (`capacity.wins_interval`); None where the rules alone
        score, as are `fewest` and `most`.
    fewest, most
        Wins to expect on the list of one owner.
    best
        The same of as many leads from the top of the score list, whoever works them.
    costs
        What each rule costs; without that rule alone.
    left_out
        Leads on no list, by reason.
    notes
        What is not as the parameters expect it.
    """

    owners: int
    capacity: int
    leads: int
    dealt: int
    new: int
    wins: float | None
    wins_low: float | None
    wins_high: float | None
    fewest: float | None
    most: float | None
    best: float | None
    costs: list[RuleCost]
    left_out: dict[str, int]
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """Say it for people, a sentence a line."""
        lines = [
            f"{self.leads:,} leads on the lists of {self.owners:,} owners, who can work {self.capacity:,}; "
            f"{self.dealt:,} of them had no owner, {self.new:,} are new to theirs"
        ]
        if self.wins is not None:
            lines.append(
                f"{self.wins:.1f} wins to expect ({self.wins_low:.0f} to {self.wins_high:.0f}), from {self.fewest:.1f} "
                f"to {self.most:.1f} an owner; the best {self.capacity:,} leads, whoever works them: {self.best:.1f}"
            )
        lines += [f"{one.rule}: {_cost(one.wins)}" for one in self.costs]
        if self.left_out:
            lines.append("on no list: " + ", ".join(f"{n:,} {why}" for why, n in self.left_out.items()))
        return [*lines, *self.notes]


def _cost(wins: float) -> str:
    if abs(wins) < 0.05:
        return "costs no wins to expect"
    return f"costs {wins:.1f} wins to expect" if wins > 0 else f"gains {-wins:.1f} wins to expect"


class JudgedOverrides(Spec):
    """What became of the leads that people raised, or lowered.

    Attributes
    ----------
    n, converted, rate
        Leads, how many of them converted within the horizon, and the share, with its exact interval.
    n_model, rate_model, predicted
        Of these, leads whose own probability was kept: how many, the share that converted, and the mean probability.
    right
        Whether people were surely right against the model, surely wrong (False), or neither (None).
    """

    side: Side
    n: int
    converted: int
    rate: float
    rate_low: float
    rate_high: float
    n_model: int
    rate_model: float | None
    predicted: float | None
    right: bool | None

    @property
    def sentence(self) -> str:
        """Say it for people."""
        text = (
            f"Of {self.n:,} leads that people {self.side}, {self.converted:,} converted: {self.rate:.1%} "
            f"({self.rate_low:.1%} to {self.rate_high:.1%})"
        )
        if self.predicted is None or self.rate_model is None:
            return f"{text}; what the model gave them was not kept."
        verdict = {True: "people were right", False: "the model was right", None: "this cannot tell who was right"}
        of_these = "" if self.n_model == self.n else f" of {self.n_model:,} of them"
        return f"{text}; the model gave{of_these} {self.predicted:.1%} on average: {verdict[self.right]}."


class OverridesResult(Spec):
    """Whether past overrides were right: how many were given, how many could be judged, and by side."""

    given: int
    judged: int
    raised: JudgedOverrides | None
    lowered: JudgedOverrides | None

    @property
    def lines(self) -> list[str]:
        """Say it for people, a sentence a line."""
        sides = [one.sentence for one in (self.raised, self.lowered) if one is not None]
        given = "1 override" if self.given == 1 else f"{self.given:,} overrides"
        return [f"{given} so far, {self.judged:,} of them old enough to judge.", *sides]
