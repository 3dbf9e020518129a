"""What the owners' lists of one day come to: a part of score_summary.json, which names no owner."""

from __future__ import annotations

from features.schema.spec import Spec


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
    places
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
    places: int
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
            f"{self.leads:,} leads on the lists of {self.owners:,} owners, who can work {self.places:,}; "
            f"{self.dealt:,} of them had no owner, {self.new:,} are new to theirs"
        ]
        if self.wins is not None:
            lines.append(
                f"{self.wins:.1f} wins to expect ({self.wins_low:.0f} to {self.wins_high:.0f}), from {self.fewest:.1f} "
                f"to {self.most:.1f} an owner; the best {self.places:,} leads, whoever works them: {self.best:.1f}"
            )
        lines += [f"{one.rule}: {_cost(one.wins)}" for one in self.costs]
        if self.left_out:
            lines.append("on no list: " + ", ".join(f"{n:,} {why}" for why, n in self.left_out.items()))
        return [*lines, *self.notes]


def _cost(wins: float) -> str:
    if abs(wins) < 0.05:
        return "costs no wins to expect"
    return f"costs {wins:.1f} wins to expect" if wins > 0 else f"gains {-wins:.1f} wins to expect"
