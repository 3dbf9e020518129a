"""Forward-chained folds inside the training period: train on the earlier rows, evaluate on the next ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from features.cohort.moments import LIST
from features.schema.spec import Spec
from models.splitting.holdout import draw

Order = Literal["dates", "rows", "none"]


class FoldParams(Spec):
    """How the training period is cut into folds."""

    count: int = Field(default=3, ge=1, le=100, description="Forward folds; more choose more surely and take longer.")
    unordered: int = Field(
        default=5, ge=2, le=100, description="Folds where nothing orders the rows, and each learns from all the others."
    )
    first_share: float = Field(
        default=0.4, gt=0, lt=1, description="Share of the conversions that come before the first fold's later part."
    )
    period_rows: int = Field(
        default=100,
        ge=1,
        description="Without dates, this many rows in a row are ranked against each other, as sales would at one time.",
    )
    max_rows: int = Field(
        default=20000,
        ge=100,
        description=(
            "Rows that choose: where there are more, all conversions and a share of the others, which stands for all."
        ),
    )


@dataclass(frozen=True)
class Fold:
    """One cut of the training rows.

    Attributes
    ----------
    earlier, later
        Indices of the rows to train on and of the rows to evaluate on, shapes (n,) and (m,).
    period
        Code of each later row's period, shape (m,). Sales compares the leads of one period, so a model is evaluated by
        how it ranks within each; the intercept of a period is fitted separately.
    """

    earlier: np.ndarray
    later: np.ndarray
    period: np.ndarray


def in_time(rows: pd.DataFrame, order: Order) -> pd.DataFrame:
    """Return the rows in the order of time, and of lead_id within a moment."""
    return rows.iloc[np.lexsort([rows["lead_id"].to_numpy("str"), when(rows, order)])].reset_index(drop=True)


def when(rows: pd.DataFrame, order: Order) -> np.ndarray:
    """Return the time of each row, shape (n,): in days, in rows, or 0 where there is no order."""
    if order == "dates":
        return days(rows["snapshot_at"])
    if order == "rows":
        return rows["position"].to_numpy("float64")
    return np.zeros(len(rows))


def forward_folds(rows: pd.DataFrame, order: Order, params: FoldParams, seed: int) -> list[Fold]:
    """Cut rows so that each fold is evaluated on about as many conversions as any other.

    Parameters
    ----------
    rows
        lead_id, label, and by `order` snapshot_at and known_at, or position; sorted by time. With `moment`, rows
        between lists are learned from and never evaluated on: models are judged by lists.

    Returns
    -------
    list of Fold
        With time, each fold trains on the rows whose label was known when its later rows begin. Without any order,
        each fold is evaluated on a hash of the leads and trains on all others. Folds that lack an outcome on either
        side are left out.
    """
    if order == "none":
        bucket = (draw(rows["lead_id"], seed, "folds") * params.unordered).astype("int64").to_numpy()
        cuts = [(np.flatnonzero(bucket != k), np.flatnonzero(bucket == k)) for k in range(params.unordered)]
    else:
        cuts = _by_time(rows, when(rows, order), order, params)
    label = rows["label"].to_numpy("float64")
    return [
        Fold(earlier, later, _periods(rows.iloc[later], order, params))
        for earlier, later in cuts
        if _has_both(label[earlier]) and _has_both(label[later])
    ]


def _by_time(
    rows: pd.DataFrame, at: np.ndarray, order: Order, params: FoldParams
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut at moments, never within one, where equal shares of the conversions have been seen."""
    lists = of_lists(rows)
    moments = np.unique(at[lists])
    index = np.searchsorted(moments, at, side="right") - 1  # of the list before, for a row between two
    seen = np.cumsum(np.bincount(index[lists], rows["label"].to_numpy("float64")[lists]))
    shares = params.first_share + (1 - params.first_share) * np.arange(params.count) / params.count
    starts = np.unique(np.minimum(np.searchsorted(seen, shares * seen[-1]) + 1, len(moments) - 1))
    known = days(rows["known_at"]) if order == "dates" else at
    cuts = []
    for start, stop in zip(starts, [*starts[1:], len(moments)], strict=True):
        inside = lists & (index >= start) & (index < stop)
        before = (known <= moments[start]) if order == "dates" else (index < start)
        cuts.append((np.flatnonzero(before), np.flatnonzero(inside)))
    return cuts


def of_lists(rows: pd.DataFrame) -> np.ndarray:
    """Return which rows are those of lists, shape (n,): all, where no `moment` says otherwise."""
    return rows["moment"].eq(LIST).to_numpy() if "moment" in rows else np.ones(len(rows), dtype=bool)


def _periods(later: pd.DataFrame, order: Order, params: FoldParams) -> np.ndarray:
    if order == "dates":
        return np.unique(later["snapshot_at"], return_inverse=True)[1]
    return np.arange(len(later)) // params.period_rows if order == "rows" else np.zeros(len(later), "int64")


def _has_both(label: np.ndarray) -> bool:
    return bool(len(label)) and bool(0 < label.mean() < 1)


def days(at: pd.Series[pd.Timestamp]) -> np.ndarray:
    """Return moments as days since 1970, shape (n,)."""
    return at.to_numpy("datetime64[us]").astype("int64") / 86_400e6
