"""Wins that no list could hold: how many, at which age and why; what lists catch is a share of the others alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from features.cohort.snapshots import DAY, grid, revival_end
from features.schema.declarations import SnapshotParams
from models.evaluation.intervals import clopper_pearson
from models.evaluation.list_coverage import (
    BEFORE,
    BETWEEN,
    DAILY,
    EARLY,
    LOST,
    REASONS,
    TOO_OLD,
    TOO_YOUNG,
    IntervalCoverage,
    ListCoverage,
    WinsOfAge,
    WinsOnNoList,
)

AT_ONCE = "scored at the moment"
AGES = (0, 1, 7, 28, 56, 112)  # days at which a group of ages begins


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
        lead_id, created_at, converted_at, age_days, reason ("" on a list), and daily_reason: of a daily list.
    """

    rows: pd.DataFrame

    @classmethod
    def of(
        cls,
        leads: pd.DataFrame,
        outcomes: pd.DataFrame,
        params: SnapshotParams,
        until: pd.Timestamp,
        revivals: pd.DataFrame | None = None,
    ) -> DatedWins:
        """Look at all wins known by a moment.

        Parameters
        ----------
        leads
            lead_id, created_at.
        outcomes
            lead_id, converted_at, lost_at; one row a lead.
        until
            The last moment by which a win would be known.
        revivals
            As in `at_risk`.
        """
        won = outcomes.loc[outcomes["converted_at"] <= until, ["lead_id", "converted_at", "lost_at"]]
        wins = won.merge(leads[["lead_id", "created_at"]], "inner", "lead_id")
        daily = params.model_copy(update=DAILY)
        by_params, by_day = (reasons(wins, _lists(wins, grids), grids, revivals) for grids in (params, daily))
        age = (wins["converted_at"] - wins["created_at"]).dt.total_seconds() / DAY.total_seconds()
        return cls(
            wins[["lead_id", "created_at", "converted_at"]].assign(age_days=age, reason=by_params, daily_reason=by_day)
        )

    @property
    def before(self) -> float:
        """The share of all wins that came before any list could hold the lead."""
        return float(self.rows["reason"].isin(BEFORE).mean())

    @property
    def daily_before(self) -> float:
        """The same with a daily list."""
        return float(self.rows["daily_reason"].isin(BEFORE).mean())

    def count(self, first: pd.Timestamp, end: pd.Timestamp, confidence: float) -> WinsOnNoList:
        """Count the wins in [first, end), with Clopper-Pearson intervals."""
        rows = self.rows[self.rows["converted_at"].ge(first) & self.rows["converted_at"].lt(end)]
        counts = {
            "on_none": _on_none(rows),
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
                WinsOfAge(days=name, wins=len(of_age), on_none=_on_none(of_age), reasons=_by_reason(of_age))
                for name, of_age in rows.groupby(group, observed=True)
            ],
            **_shares(counts, len(rows), confidence),
        )


def cover(
    wins: DatedWins, params: SnapshotParams, lists: tuple[pd.Timestamp, pd.Timestamp], until: pd.Timestamp,
    confidence: float,
) -> ListCoverage:  # fmt: skip
    """Count wins on no list from the first to the last of some lists, its horizon included, and in the whole history.

    Parameters
    ----------
    until
        As in `DatedWins.of`.
    """
    first, last = lists
    horizon, begin = pd.Timedelta(days=params.horizon_days), wins.rows["created_at"].min()
    return ListCoverage(
        every_days=params.every_days,
        min_age_days=params.min_age_days,
        max_age_days=params.max_age_days,
        horizon_days=params.horizon_days,
        period=wins.count(first, last + horizon, confidence),
        history=wins.count(first if pd.isna(begin) else min(begin, first), until + pd.Timedelta(1, "us"), confidence),
    )


def by_interval(
    wins: pd.DataFrame, params: SnapshotParams, revivals: pd.DataFrame | None, confidence: float
) -> list[IntervalCoverage]:
    """Count the wins that a weekly, daily and hourly list, and a score at the moment, could each have come before.

    Parameters
    ----------
    wins
        lead_id, created_at, converted_at, lost_at.
    revivals
        As in `at_risk`.
    """
    young = params.model_copy(update={"min_age_days": 0})
    weekly, daily = (one.model_copy(update={"every_days": days}) for one, days in ((params, 7), (young, 1)))
    hours = pd.DatetimeIndex([])
    if len(wins):
        hours = pd.date_range(wins["created_at"].min().ceil("h"), wins["converted_at"].max(), freq="h", unit="us")
    none = {
        f"weekly list, leads from {params.min_age_days} day{'' if params.min_age_days == 1 else 's'} on":
            reasons(wins, _lists(wins, weekly), weekly, revivals) != "",
        "daily list, leads from their creation on": reasons(wins, _lists(wins, daily), daily, revivals) != "",
        "hourly list": reasons(wins, hours, young, revivals) != "",
        AT_ONCE: never_at_risk(wins, params, revivals),
    }  # fmt: skip
    held = {name: len(wins) - int(missed.sum()) for name, missed in none.items()}
    return [
        IntervalCoverage(by=name, wins=len(wins), **_shares({"held": n}, len(wins), confidence))
        for name, n in held.items()
    ]


def never_at_risk(wins: pd.DataFrame, params: SnapshotParams, revivals: pd.DataFrame | None = None) -> np.ndarray:
    """Whether no moment before a win, within its horizon, had the lead at risk; by days, a day begins before its wins.

    Parameters
    ----------
    wins
        created_at, converted_at, lost_at; with revivals lead_id, too.

    Returns
    -------
    ndarray
        Shape (n,).
    """
    created, won, lost = (wins[name].to_numpy("datetime64[us]") for name in ("created_at", "converted_at", "lost_at"))
    days = np.timedelta64(1, "D")
    last = np.fmin(np.fmin(created + params.max_age_days * days, lost), won)
    held = (last > won - params.horizon_days * days) & (last >= created)
    if revivals is not None and params.revive_on is not None:
        rows = wins.assign(row=np.arange(len(wins))).merge(revivals, "inner", "lead_id")
        names = ("created_at", "converted_at", "lost_at", "revived_at")
        born, wins_at, losses, acted = (rows[name].to_numpy("datetime64[us]") for name in names)
        leaves = np.fmin(np.fmin(revival_end(acted, params), wins_at), losses)
        begin = np.maximum(acted, born + params.max_age_days * days)
        again = (begin < leaves) & (leaves > wins_at - params.horizon_days * days)
        held[rows.loc[again, "row"].to_numpy("int64")] = True
    return ~held


def _lists(wins: pd.DataFrame, params: SnapshotParams) -> pd.DatetimeIndex:
    """Return the lists until the last win; before the first creation there is nobody to list."""
    if wins.empty:
        return pd.DatetimeIndex([])
    return grid(wins["created_at"].min(), wins["converted_at"].max(), params)


def reasons(
    wins: pd.DataFrame, lists: pd.DatetimeIndex, params: SnapshotParams, revivals: pd.DataFrame | None = None
) -> np.ndarray:
    """Return why each win was on none of the lists, "" for those on one, shape (n,).

    Parameters
    ----------
    wins
        created_at, converted_at, and lost_at where it is known.
    lists
        When they were made, ascending.
    revivals
        As in `at_risk`; then `wins` has lead_id, too.
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
    held = (by_loss > in_reach) | _held_again(wins, times, params, revivals)
    return np.select(
        [held, by_age > in_reach, by_win > in_reach, by_win > first,
         won < created + params.min_age_days * days],
        ["", LOST, TOO_OLD, BETWEEN, TOO_YOUNG],
        EARLY,
    )  # fmt: skip


def _held_again(
    wins: pd.DataFrame, times: np.ndarray, params: SnapshotParams, revivals: pd.DataFrame | None
) -> np.ndarray:  # whether a list held the lead because it had acted, shape (n,)
    if revivals is None or params.revive_on is None:
        return np.zeros(len(wins), dtype=bool)
    rows = wins.assign(row=np.arange(len(wins))).merge(revivals, "inner", "lead_id")
    names = ("created_at", "converted_at", "lost_at", "revived_at")
    created, won, lost, acted = (rows[name].to_numpy("datetime64[us]") for name in names)
    days = np.timedelta64(1, "D")
    leaves = np.fmin(np.fmin(revival_end(acted, params), won), lost)
    begin = np.maximum(acted, created + max(params.max_age_days, params.min_age_days) * days)
    start = np.maximum(np.searchsorted(times, begin), np.searchsorted(times, won - params.horizon_days * days, "right"))
    held = np.zeros(len(wins), dtype=bool)
    held[rows.loc[np.searchsorted(times, leaves, side="right") > start, "row"].to_numpy("int64")] = True
    return held


def _on_none(rows: pd.DataFrame) -> int:
    return int((rows["reason"] != "").sum())


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
