"""Wins on no list as metrics.json and kpis.json hold them, and in words."""

from __future__ import annotations

from features.schema.spec import Spec
from models.evaluation.estimate import Figure, Figures

TOO_YOUNG, EARLY, BETWEEN, TOO_OLD, LOST = REASONS = (
    "too young",
    "before the first list",
    "between two lists",
    "too old",
    "lost before",
)
BEFORE = (TOO_YOUNG, EARLY)  # won before any list could hold the lead: what the interval and the youngest age cost
DAILY = {"every_days": 1, "min_age_days": 0}  # the closest grid of whole days


class WinsOfAge(Spec):
    """The wins of leads this many days old, and those of them on no list, by reason."""

    days: str
    wins: int
    on_none: int
    reasons: dict[str, int]


class WinsOnNoList(Figures):
    """The wins from a first to a last day, and those that no list could hold.

    Attributes
    ----------
    reasons
        How many were on none, by reason, see `wins_on_no_list.DatedWins`; they add up to `on_none`.
    before
        How many of these came before any list could hold the lead: too young, or before the first list.
    daily_before
        The same if a list were made every midnight, with all leads from their creation on.
    """

    first: str
    last: str
    wins: int
    on_none: int
    on_none_share: Figure
    on_none_share_low: Figure
    on_none_share_high: Figure
    before: int
    before_share: Figure
    before_share_low: Figure
    before_share_high: Figure
    daily_before: int
    daily_before_share: Figure
    daily_before_share_low: Figure
    daily_before_share_high: Figure
    reasons: dict[str, int]
    ages: list[WinsOfAge]


class IntervalCoverage(Figures):
    """How many wins of a history lists of one interval could have held, whatever the ranking."""

    by: str
    wins: int
    held: int
    held_share: Figure
    held_share_low: Figure
    held_share_high: Figure


class ListCoverage(Spec):
    """Wins on no list in the days that the tested lists look at, and in the whole history, by these settings."""

    every_days: int
    min_age_days: int
    max_age_days: int
    horizon_days: int
    period: WinsOnNoList
    history: WinsOnNoList

    @property
    def is_daily(self) -> bool:
        return {name: getattr(self, name) for name in DAILY} == DAILY

    @property
    def sentence(self) -> str:
        """Say how many wins were on no list and why, what a daily list would change, and the same of all history."""
        one, every = self.period, self.history
        whole = (
            f"Over the whole history ({_days(every)}) {_share(every, 'before')} of {every.wins:,} wins came before any "
            f"list{self._daily(every)}."
        )
        if not one.wins:
            return f"No win is known of {_days(one)}. {whole}"
        why = ", ".join(f"{n:,} {self.words[reason]}" for reason, n in one.reasons.items() if n)
        return (
            f"Of {one.wins:,} wins ({_days(one)}) {_share(one, 'on_none')} were on no list{': ' + why if why else ''}. "
            f"{_share(one, 'before')} came before any list could hold the lead{self._daily(one)}. {whole}"
        )

    @property
    def words(self) -> dict[str, str]:
        """How each reason reads after a count of wins."""
        return {
            TOO_YOUNG: f"of leads less than {_in_days(self.min_age_days)} old",
            EARLY: "before the lead's first list",
            BETWEEN: f"more than {_in_days(self.horizon_days)} after the last list",
            TOO_OLD: f"of leads more than {_in_days(self.max_age_days)} old",
            LOST: "of leads lost before",
        }

    def _daily(self, wins: WinsOnNoList) -> str:
        return (
            ""
            if self.is_daily or not wins.before
            else f"; with a daily list it would be {_share(wins, 'daily_before')}"
        )


def _days(wins: WinsOnNoList) -> str:
    return f"{wins.first} to {wins.last}"


def _in_days(n: int) -> str:
    return f"{n} day{'' if n == 1 else 's'}"


def _share(wins: WinsOnNoList, name: str) -> str:
    value, low, high = (getattr(wins, f"{name}_share{end}") for end in ("", "_low", "_high"))
    return "none" if value is None else f"{value:.1%} ({low:.1%} to {high:.1%})"
