"""Wins that no list could hold: how many, at which age and why; what lists catch is a share of the others alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from features.cohort.snapshots import DAY, grid
from features.schema.declarations import SnapshotParams
from features.schema.spec import Spec
from models.evaluation.estimate import Figure, Figures
from models.evaluation.intervals import clopper_pearson

TOO_YOUNG, EARLY, BETWEEN, TOO_OLD, LOST = REASONS = (
    "too young",
    "before the first list",
    "between two lists",
    "too old",
    "lost before",
)
BEFORE = (TOO_YOUNG, EARLY)  # won before any list could hold the lead: what the interval and the youngest age cost
AGES = (0, 1, 7, 28, 56, 112)  # days at which a group of ages begins
DAILY = {"every_days": 1, "min_age_days": 0}  # the closest grid of whole days


class WinsOfAge(Spec):
    """The wins of leads so many days old, and those of them on no list, by reason."""

    days: str
    wins: int
    reasons: dict[str, int]


class WinsOnNoList(Figures):
    """The wins from a first to a last day, and those that no list could hold.

    Attributes
    ----------
    reasons
        How many were on none, by reason, see `DatedWins`; they add up to `on_none`.
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
        return "" if self.is_daily else f"; with a daily list it would be {_share(wins, 'daily_before')}"


def _days(wins: WinsOnNoList) -> str:
    return f"{wins.first} to {wins.last}"


def _in_days(n: int) -> str:
    return f"{n} day{'' if n == 1 else 's'}"


def _share(wins: WinsOnNoList, name: str) -> str:
    value, low, high = (getattr(wins, f"{name}_share{end}") for end in ("", "_low", "_high"))
    return "none" if value is None else f"{value:.1%} ({low:.1%} to {high:.1%})"


@dataclass(frozen=True)
class DatedWins:
    """Every dated win, and whether a list held it.

    A list holds a win when the lead was at risk on it (see `at_risk`) and won within its horizon. The reason of a win
    on no list is the last hurdle: lost before, or too old, where lists would have held it else; between two lists,
    where the horizon of the one before had passed; else the win came first, of a lead too young for any list, or old
    enough and before the next one.

    Examples
    --------
    Lists on Mondays, from the age of 1 day on. A lead is created on Tuesday. Won on the same day: too young. Won on
    Friday: before the first list. Won on the Monday after, or on the next day: on a list.

    Attributes
    ----------
    rows
        lead_id, converted_at, age_days, reason ("" on a list), and daily_reason: of a daily list.
    """

    rows: pd.DataFrame

    @classmethod
    def of(cls, leads: pd.DataFrame, outcomes: pd.DataFrame, params: SnapshotParams, until: pd.Timestamp) -> DatedWins:
        """Look at all wins known by a moment.

        Parameters
        ----------
        leads
            lead_id, created_at.
        outcomes
            lead_id, converted_at, lost_at; one row a lead.
        until
            The last moment by which a win would be known.
        """
        won = outcomes.loc[outcomes["converted_at"] <= until, ["lead_id", "converted_at", "lost_at"]]
        wins = won.merge(leads[["lead_id", "created_at"]], "inner", "lead_id")
        daily = params.model_copy(update=DAILY)
        by_params, by_day = (reasons(wins, _lists(wins, grids), grids) for grids in (params, daily))
        age = (wins["converted_at"] - wins["created_at"]).dt.total_seconds() / DAY.total_seconds()
        return cls(wins[["lead_id", "converted_at"]].assign(age_days=age, reason=by_params, daily_reason=by_day))

    def count(self, first: pd.Timestamp, end: pd.Timestamp, confidence: float) -> WinsOnNoList:
        """Count the wins in [first, end), with Clopper-Pearson intervals."""
        rows = self.rows[self.rows["converted_at"].ge(first) & self.rows["converted_at"].lt(end)]
        counts = {
            "on_none": int((rows["reason"] != "").sum()),
            "before": int(rows["reason"].isin(BEFORE).sum()),
            "daily_before": int(rows["daily_reason"].isin(BEFORE).sum()),
        }
        group = pd.cut(rows["age_days"].clip(lower=0), [*AGES, math.inf], right=False, labels=_age_names())
        return WinsOnNoList(
            first=first.date().isoformat(),
            last=(end - pd.Timedelta(1, "us")).date().isoformat(),
            wins=len(rows),
            reasons=_by_reason(rows),
            ages=[
                WinsOfAge(days=name, wins=len(of_age), reasons=_by_reason(of_age))
                for name, of_age in rows.groupby(group, observed=True)
            ],
            **_shares(counts, len(rows), confidence),
        )


def _lists(wins: pd.DataFrame, params: SnapshotParams) -> pd.DatetimeIndex:
    """Return the lists until the last win; before the first creation there is nobody to list."""
    if wins.empty:
        return pd.DatetimeIndex([])
    return grid(wins["created_at"].min(), wins["converted_at"].max(), params)


def reasons(wins: pd.DataFrame, lists: pd.DatetimeIndex, params: SnapshotParams) -> np.ndarray:
    """Return why each win was on none of the lists, "" for those on one, shape (n,).

    Parameters
    ----------
    wins
        created_at, converted_at, and lost_at where it is known.
    lists
        When they were made, ascending.
    """
    created, won, lost = (wins[name].to_numpy("datetime64[us]") for name in ("created_at", "converted_at", "lost_at"))
    times, days = lists.to_numpy("datetime64[us]"), np.timedelta64(1, "D")
    first = np.maximum(
        np.searchsorted(times, created + params.min_age_days * days), np.searchsorted(times, created, side="right")
    )
    in_reach = np.maximum(first, np.searchsorted(times, won - params.horizon_days * days, side="right"))
    by_win = np.searchsorted(times, won, side="right")
    by_age = np.minimum(by_win, np.searchsorted(times, created + params.max_age_days * days, side="right"))
    by_loss = np.where(np.isnat(lost), by_age, np.minimum(by_age, np.searchsorted(times, lost, side="right")))
    return np.select(
        [by_loss > in_reach, by_age > in_reach, by_win > in_reach, by_win > first,
         won < created + params.min_age_days * days],
        ["", LOST, TOO_OLD, BETWEEN, TOO_YOUNG],
        EARLY,
    )  # fmt: skip


def _by_reason(rows: pd.DataFrame) -> dict[str, int]:
    counts = rows["reason"].value_counts()
    return {reason: int(counts.get(reason, 0)) for reason in REASONS}


def _age_names() -> list[str]:
    spans = [(first, after - 1) for first, after in pairwise(AGES)]
    return [*(f"{first}" if first == last else f"{first} to {last}" for first, last in spans), f"{AGES[-1]} or more"]


def _shares(counts: dict[str, int], wins: int, confidence: float) -> dict[str, Any]:
    shares: dict[str, Any] = dict(counts)
    for name, n in counts.items():
        low, high = clopper_pearson(n, wins, confidence)
        shares |= {f"{name}_share": n / wins if wins else None, f"{name}_share_low": low, f"{name}_share_high": high}
    return shares
