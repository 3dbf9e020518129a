"""What the list of leads that are not ready comes to: figures that name nobody."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from features.schema.spec import Spec

MOST_EVENTS = 3  # of each kind, said in words
Group = Literal["acted lately", "quiet", "before ready", "before not ready"]
GROUPS: tuple[Group, ...] = get_args(Group)
STATUSES = ("woken", "due", "new", "waiting")


class JudgedDays(Spec):
    """Days to look again that are over.

    Attributes
    ----------
    lists, n, leads
        Past lists that were stood at, leads on them together, and how many different leads these are.
    said, come
        The share said to be ready by their day, and that was, with its interval.
    """

    lists: int
    n: int
    leads: int
    said: float
    come: float
    come_low: float
    come_high: float

    @property
    def right(self) -> bool:
        """Whether what was said lies in the interval of what came."""
        return self.come_low <= self.said <= self.come_high

    @property
    def sentence(self) -> str:
        """Say it for people."""
        verdict = "as said" if self.right else "fewer than said" if self.come < self.said else "more than said"
        return (
            f"On {self.lists} past lists {self.n:,} leads ({self.leads:,} different ones) were given a day to look "
            f"again: {self.said:.1%} were said to be ready by it, {self.come:.1%} ({self.come_low:.1%} to "
            f"{self.come_high:.1%}) were: {verdict}"
        )


class NextEvent(Spec):
    """How often events of a type came next.

    Attributes
    ----------
    of
        Of which leads: those that waited and acted lately, or were quiet; in the time of one list, those that were
        ready on the next one, or were not.
    label
        How people call the type; "": as it is.
    n
        Different leads.
    rate
        The share of all past lists with such a lead after which such an event came, with its interval.
    """

    of: Group
    event_type: str
    label: str = ""
    channel: str
    direction: str
    n: int
    rate: float
    rate_low: float
    rate_high: float

    @property
    def phrase(self) -> str:
        """Say it for people."""
        kind = ", ".join(part for part in (self.channel, self.direction) if part)
        return f"{self.label or self.event_type} ({kind}) {self.rate:.0%} ({self.rate_low:.0%} to {self.rate_high:.0%})"


class NurtureSummary(Spec):
    """All leads that are not ready but likely to be.

    Attributes
    ----------
    missing
        Why there is no such list; "" where there is.
    leads
        On the list, by status: woken, due, new, waiting.
    expired
        Leads that left it, because they neither became ready nor acted.
    ready
        Leads of the list before that are in a better tier now; None on a first list.
    until_days
        The days that the chance to be ready at all looks ahead.
    judged
        None where too few past lists are over.
    next_days
        The days in which `next` looks.
    """

    missing: str = ""
    leads: dict[str, int] = Field(default={})
    expired: int = 0
    ready: int | None = None
    until_days: int = 0
    judged: JudgedDays | None = None
    next_days: int = 0
    next: list[NextEvent] = Field(default=[])

    @property
    def lines(self) -> list[str]:
        """Say it for people, a sentence a line."""
        return self.figures + [line for name in GROUPS if (line := self.usual(name))]

    @property
    def figures(self) -> list[str]:
        """Say of the list itself how many leads are on it, and whether its days were right."""
        if self.missing:
            return [f"no list of leads to look at again: {self.missing}"]
        by_status = ", ".join(f"{self.leads.get(status, 0):,} {status}" for status in STATUSES)
        lines = [f"{sum(self.leads.values()):,} leads are not ready but likely to be within {self.until_days} days: "
                 f"{by_status}; {self.expired:,} expired"]  # fmt: skip
        if self.ready is not None:
            lines.append(f"{self.ready:,} leads of the list before are ready now")
        return [*lines, self.judged.sentence if self.judged else "too few past lists are over to judge the days"]

    def usual(self, name: Group) -> str:
        """Say what usually came of one group; "" where too few leads tell."""
        found = [one for one in self.next if one.of == name]
        if not found:
            return ""
        when = {"before ready": "from the list before they were ready", "before not ready": "from one list to the next"}
        within = when.get(name, f"within {self.next_days} days")
        return f"of {found[0].n:,} leads ({name}), {within}: " + ", ".join(one.phrase for one in found[:MOST_EVENTS])
