"""Which (lead_id, snapshot_at) rows exist: leads at risk at the moments of a calendar grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from features.schema.declarations import SnapshotParams

if TYPE_CHECKING:
    import ibis.expr.types as ir


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
    leads: pd.DataFrame,
    outcomes: pd.DataFrame,
    moments: pd.DatetimeIndex,
    params: SnapshotParams,
    revivals: pd.DataFrame | None = None,
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
        Youngest and oldest age of a lead, and what brings an older one back.
    revivals
        lead_id, revived_at: when older leads acted, see `revivals_of`; needed where `params.revive_on` is there.

    Returns
    -------
    DataFrame
        lead_id, snapshot_at; sorted by both, one row a pair. A lead is open when it was created before the moment,
        had not converted or been lost before it, and its age in days lies within the limits, both included; past the
        upper one, within `revive_on.days` of the last time that it acted.

    Raises
    ------
    ValueError
        Where leads come back and nobody says when.
    """
    if params.revive_on is not None and revivals is None:
        raise ValueError("snapshots.revive_on needs the times at which leads came back")
    ends = life_spans(leads, outcomes)
    created, closed = ends["created_at"].to_numpy("datetime64[us]"), ends["closed"]
    begin = created + np.timedelta64(params.min_age_days, "D")
    end = np.minimum(created + np.timedelta64(params.max_age_days, "D"), closed.to_numpy("datetime64[us]"))
    times = moments.to_numpy("datetime64[us]")
    after_creation = np.searchsorted(times, created, side="right")
    start = np.maximum(np.searchsorted(times, begin, side="left"), after_creation)
    stop = np.maximum(np.searchsorted(times, end, side="right"), start)
    pairs = _pairs(ends["lead_id"], times, start, stop)
    if params.revive_on is not None and revivals is not None:
        again = _revived_pairs(ends, times, params, revivals)
        pairs = pd.concat([pairs, again], ignore_index=True).drop_duplicates()
    return pairs.sort_values(["lead_id", "snapshot_at"], ignore_index=True)


def life_spans(leads: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return when each lead was created and when it closed, won or lost: lead_id, created_at, closed.

    A lead that has not closed does so at the end of time.
    """
    ends = leads[["lead_id", "created_at"]].merge(outcomes[["lead_id", "converted_at", "lost_at"]], "left", "lead_id")
    closed = ends[["converted_at", "lost_at"]].min(axis=1).fillna(pd.Timestamp.max.as_unit("us"))
    return ends[["lead_id", "created_at"]].assign(closed=closed)


def _revived_pairs(
    ends: pd.DataFrame, times: np.ndarray, params: SnapshotParams, revivals: pd.DataFrame
) -> pd.DataFrame:  # of leads past their age, with each moment soon enough after they acted
    rows = revivals.merge(ends, "inner", "lead_id")
    acted, created = (rows[name].to_numpy("datetime64[us]") for name in ("revived_at", "created_at"))
    begin = np.maximum(acted, created + np.timedelta64(max(params.max_age_days, params.min_age_days), "D"))
    end = np.minimum(revival_end(acted, params), rows["closed"].to_numpy("datetime64[us]"))
    start = np.searchsorted(times, begin, side="left")
    stop = np.maximum(np.searchsorted(times, end, side="right"), start)
    return _pairs(rows["lead_id"], times, start, stop)


def revival_end(acted: np.ndarray, params: SnapshotParams) -> np.ndarray:
    """Return until when leads that acted are at risk again, shape (n,)."""
    days = 0 if params.revive_on is None else params.revive_on.days
    until: np.ndarray = acted + np.timedelta64(days, "D")
    return until


def revivals_of(events: ir.Table, leads: pd.DataFrame, params: SnapshotParams) -> pd.DataFrame | None:
    """Return when leads acted that were too old by then, or would be within `revive_on.days`; None: none comes back.

    Parameters
    ----------
    events
        The contract's events: lead_id, event_at, known_at, event_type, direction.

    Returns
    -------
    DataFrame
        lead_id, revived_at: the first moment at which the event counts; sorted by both.
    """
    import ibis

    if params.revive_on is None:
        return None
    types = params.revive_on.types
    acted = events.filter(events.event_type.isin(types) if types else events.direction == "inbound")
    old = leads[["lead_id"]].assign(
        old_from=leads["created_at"] + pd.Timedelta(days=max(params.max_age_days - params.revive_on.days, 0))
    )
    born = ibis.memtable(pa.Table.from_pandas(old.rename(columns={"lead_id": "old_lead"}), preserve_index=False))
    counts = ibis.greatest(acted.event_at + ibis.interval(microseconds=1), acted.known_at)
    times = acted.select("lead_id", revived_at=counts).distinct()
    late = times.join(born, [times.lead_id == born.old_lead, times.revived_at > born.old_from])
    found = late.select("lead_id", "revived_at").order_by("lead_id", "revived_at")
    frame = found.to_pyarrow().to_pandas()
    return frame.astype({"lead_id": "str", "revived_at": "datetime64[us]"})


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
