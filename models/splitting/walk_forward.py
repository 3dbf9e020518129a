"""The walk-forward backtest: where to cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from features.schema.spec import MOST_DAYS, Spec

DAY = pd.Timedelta(days=1)


class BacktestParams(Spec):
    """How often the past is retrained, and how long each model is evaluated."""

    cuts: int = Field(default=4, ge=0, le=1000, description="Retrainings in the past; 0: no backtest.")
    every_days: int = Field(
        default=28,
        ge=1,
        le=MOST_DAYS,
        description="Days from one retraining to the next: as often as you would retrain.",
    )
    every_rows: int = Field(
        default=2000, ge=1, description="Rows from one retraining to the next, where there are rows without dates."
    )
    choose: Literal["first", "each"] = Field(
        default="first",
        description=(
            "first: what the folds chose at the first cut is kept and each cut trains anew; each: choose "
            "again at each cut, as a monthly retraining would; takes as many times longer."
        ),
    )


@dataclass(frozen=True)
class Cut:
    """One retraining.

    Attributes
    ----------
    part
        "train" for what was known at the cut, "test" for the period after it, "" for the rest; one a snapshot.
    at
        The day of the cut, or the number of the row.
    """

    part: pd.Series[str]
    at: str


def cuts(snapshots: pd.DataFrame, order: Literal["dates", "rows"], params: BacktestParams) -> list[Cut]:
    """Cut matured snapshots into the last periods, each with all that was known when it began.

    Parameters
    ----------
    snapshots
        snapshot_at and known_at, or position.

    Returns
    -------
    list of Cut
        The oldest first. Periods follow each other without a gap, and the last one ends with the last snapshot.
    """
    if order == "dates":
        step = pd.Timedelta(days=params.every_days)
        end = snapshots["snapshot_at"].max() + DAY
        starts = [end - step * (params.cuts - number) for number in range(params.cuts)]
        return [_by_date(snapshots, start, start + step) for start in starts]
    rank = snapshots["position"].rank(method="min").to_numpy() - 1
    starts_at = [len(rank) - params.every_rows * (params.cuts - number) for number in range(params.cuts)]
    return [_by_rank(snapshots, rank, start, start + params.every_rows) for start in starts_at if start > 0]


def _by_date(snapshots: pd.DataFrame, start: pd.Timestamp, stop: pd.Timestamp) -> Cut:
    at = snapshots["snapshot_at"]
    part = np.select([snapshots["known_at"] <= start, (at >= start) & (at < stop)], ["train", "test"], "")
    return Cut(pd.Series(part, index=snapshots.index, dtype="str"), start.date().isoformat())


def _by_rank(snapshots: pd.DataFrame, rank: np.ndarray, start: int, stop: int) -> Cut:
    part = np.select([rank < start, (rank >= start) & (rank < stop)], ["train", "test"], "")
    return Cut(pd.Series(part, index=snapshots.index, dtype="str"), f"row {start:,}")
