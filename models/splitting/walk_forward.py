"""The walk-forward backtest: where to cut, and what the periods say together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

DAY = pd.Timedelta(days=1)


class BacktestParams(BaseModel):
    """How often the past is retrained, and how far each model looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cuts: int = Field(ge=0)
    every_days: int = Field(ge=1)
    every_rows: int = Field(ge=1)
    choose: Literal["first", "each"]


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
    rank = snapshots["position"].rank(method="first").to_numpy() - 1
    starts_at = [len(rank) - params.every_rows * (params.cuts - number) for number in range(params.cuts)]
    return [_by_rank(snapshots, rank, start, start + params.every_rows) for start in starts_at if start > 0]


def _by_date(snapshots: pd.DataFrame, start: pd.Timestamp, stop: pd.Timestamp) -> Cut:
    at = snapshots["snapshot_at"]
    part = np.select([snapshots["known_at"] <= start, (at >= start) & (at < stop)], ["train", "test"], "")
    return Cut(pd.Series(part, index=snapshots.index, dtype="str"), start.date().isoformat())


def _by_rank(snapshots: pd.DataFrame, rank: np.ndarray, start: int, stop: int) -> Cut:
    part = np.select([rank < start, (rank >= start) & (rank < stop)], ["train", "test"], "")
    return Cut(pd.Series(part, index=snapshots.index, dtype="str"), f"row {start:,}")
