"""Which (lead_id, snapshot_at) rows exist: leads at risk at the moments of a calendar grid."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.schema.declarations import SnapshotParams

DAY = pd.Timedelta(days=1)


def grid(first: pd.Timestamp, last: pd.Timestamp, params: SnapshotParams) -> pd.DatetimeIndex:
    """Return the grid's moments in [first, last], midnight each, `every_days` apart and through `anchor`."""
    step = pd.Timedelta(days=params.every_days)
    anchor = pd.Timestamp(params.anchor)
    steps = np.ceil((first - anchor) / step)
    return pd.date_range(anchor + steps * step, last, freq=step, unit="us")


def last_list(at: pd.Series[pd.Timestamp], params: SnapshotParams) -> pd.Series[pd.Timestamp]:
    """Return the grid's moment at or before each time."""
    step, anchor = pd.Timedelta(days=params.every_days), pd.Timestamp(params.anchor)
    return (anchor + ((at - anchor) // step) * step).astype("datetime64[us]")


def is_list(at: pd.Timestamp, params: SnapshotParams) -> bool:
    """Whether a moment is one of the grid's."""
    return (at - pd.Timestamp(params.anchor)) % pd.Timedelta(days=params.every_days) == pd.Timedelta(0)


def at_risk(
    leads: pd.DataFrame, outcomes: pd.DataFrame, moments: pd.DatetimeIndex, params: SnapshotParams
) -> pd.DataFrame:
    """Pair each moment with the leads that were open then.

    Parameters
    ----------
    leads
        One row a lead: lead_id, created_at.
    outcomes
        One row a lead that has one: lead_id, converted_at, lost_at.
    moments
        The snapshot times.
    params
        Youngest and oldest age of a lead.

    Returns
    -------
    DataFrame
        lead_id, snapshot_at; sorted by both, one row a pair. A lead is open when it was created before the moment,
        had not converted or been lost before it, and its age in days lies within the limits, both included.
    """
    ends = leads[["lead_id", "created_at"]].merge(outcomes[["lead_id", "converted_at", "lost_at"]], "left", "lead_id")
    created = ends["created_at"].to_numpy("datetime64[us]")
    closed = ends[["converted_at", "lost_at"]].min(axis=1).fillna(pd.Timestamp.max.as_unit("us"))
    begin = created + np.timedelta64(params.min_age_days, "D")
    end = np.minimum(created + np.timedelta64(params.max_age_days, "D"), closed.to_numpy("datetime64[us]"))
    times = moments.to_numpy("datetime64[us]")
    after_creation = np.searchsorted(times, created, side="right")
    start = np.maximum(np.searchsorted(times, begin, side="left"), after_creation)
    stop = np.maximum(np.searchsorted(times, end, side="right"), start)
    return _pairs(ends["lead_id"], times, start, stop).sort_values(["lead_id", "snapshot_at"], ignore_index=True)


def _pairs(
    lead_id: pd.Series[str], times: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> pd.DataFrame:  # one row for each time with index in [start, stop) of its lead
    length = stop - start
    row = np.repeat(np.arange(len(length)), length)
    offset = np.arange(length.sum()) - np.repeat(length.cumsum() - length, length)
    return pd.DataFrame({"lead_id": lead_id.to_numpy()[row], "snapshot_at": times[np.repeat(start, length) + offset]})


def one_per_lead(leads: pd.DataFrame) -> pd.DataFrame:
    """Return one row a lead for tables without dates: lead_id, snapshot_at (NaT), position (the source's row order)."""
    at = pd.Series(pd.NaT, index=leads.index, dtype="datetime64[us]")
    return leads[["lead_id"]].assign(snapshot_at=at, position=leads["position"]).reset_index(drop=True)
