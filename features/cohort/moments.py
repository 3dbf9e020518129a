"""Moments between lists that a model may learn from as well: at ages since creation, and right after inbound events.

Which moments there are follows from what was known by then, so that neither later events nor the outcome choose them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from features.cohort.snapshots import life_spans, revival_end
from features.schema.declarations import MomentParams, SnapshotParams

if TYPE_CHECKING:
    import ibis.expr.types as ir


LIST = ""  # the kind of a row that a list holds
INBOUND = "inbound event"
HOUR, DAY, TICK = np.timedelta64(1, "h"), np.timedelta64(1, "D"), np.timedelta64(1, "us")
HOURS_A_DAY = 24
Grain = Literal["times", "created in days", "facts in days"]


def moment_kind(hours: int) -> str:
    """Name an age.

    Examples
    --------
    >>> [moment_kind(hours) for hours in (0, 1, 24, 36, 168)]
    ['creation', '1 hour', '1 day', '36 hours', '7 days']
    """
    if hours == 0:
        return "creation"
    unit, n = ("day", hours // HOURS_A_DAY) if hours % HOURS_A_DAY == 0 else ("hour", hours)
    return f"{n} {unit}" + ("s" if n > 1 else "")


def moment_kinds(params: MomentParams) -> list[str]:
    """Name all kinds that the parameters ask for."""
    return [*(moment_kind(hours) for hours in params.ages_hours), *([INBOUND] if params.after_inbound else [])]


def moment_text(at: pd.Timestamp) -> str:
    """Write a moment of UTC: the day alone, where it is the beginning of one.

    Examples
    --------
    >>> moment_text(pd.Timestamp("2026-11-01")), moment_text(pd.Timestamp("2026-11-01 10:30"))
    ('2026-11-01', '2026-11-01T10:30:00Z')
    """
    return at.date().isoformat() if is_day(at) else f"{at.isoformat()}Z"


def is_day(at: pd.Timestamp) -> bool:
    """Whether a moment is the beginning of a day (UTC)."""
    return bool(at == at.floor("D"))


def days_only(times: pd.Series[pd.Timestamp]) -> bool:
    """Whether a column of times holds days alone: each of them, and there is one, is a midnight (UTC)."""
    known = times.dropna().to_numpy("datetime64[us]")
    return bool(len(known)) and bool((known == known.astype("datetime64[D]")).all())


def age_moments(leads: pd.DataFrame, ages_hours: Sequence[int], grain: Grain) -> pd.DataFrame:
    """Return a row a lead and age: lead_id, snapshot_at, moment.

    Parameters
    ----------
    leads
        lead_id, created_at.
    grain
        With times, a moment is a microsecond after its age, so that what happened at the creation itself counts. Where
        leads are created in days, it is the beginning of a day, before all that happened on it, and only ages in whole
        days are there. Where other facts have days alone, it is the next midnight, by which their order is known.
    """
    created = leads["created_at"].to_numpy("datetime64[us]")
    whole = [hours for hours in ages_hours if grain != "created in days" or hours % HOURS_A_DAY == 0]
    parts = [
        pd.DataFrame(
            {"lead_id": leads["lead_id"].to_numpy(), "snapshot_at": _after(created + hours * HOUR, grain)}
        ).assign(moment=moment_kind(hours))
        for hours in whole
    ]
    return pd.concat(parts, ignore_index=True) if parts else _none()


def inbound_moments(events: ir.Table, grain: Grain) -> pd.DataFrame:
    """Return when leads had just acted: lead_id, snapshot_at, moment; of each lead the 1st, 2nd, 4th, 8th ... time.

    A lead that acts a hundred times so counts seven times, and whether a moment is there depends on no later event.

    Parameters
    ----------
    events
        The contract's events: lead_id, event_at, known_at, direction.
    """
    import ibis

    acted = events.filter(events.direction == "inbound")
    happened = acted.event_at + ibis.interval(microseconds=1)
    if grain != "times":
        happened = acted.event_at.truncate("D") + ibis.interval(days=1)
    moments = acted.select("lead_id", snapshot_at=ibis.greatest(happened, acted.known_at)).distinct()
    numbered = moments.mutate(number=ibis.row_number().over(group_by=moments.lead_id, order_by=moments.snapshot_at) + 1)
    kept = numbered.filter((numbered.number & (numbered.number - 1)) == 0).order_by("lead_id", "snapshot_at")
    frame = kept.select("lead_id", "snapshot_at").to_pyarrow().to_pandas()
    at = frame["snapshot_at"].astype("datetime64[us]")
    return frame.assign(lead_id=frame["lead_id"].astype("str"), snapshot_at=at, moment=INBOUND)


def open_moments(
    moments: pd.DataFrame,
    leads: pd.DataFrame,
    outcomes: pd.DataFrame,
    population: SnapshotParams,
    revivals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Keep the moments at which a lead was there, had not closed, and was young enough; one row a lead and moment.

    Parameters
    ----------
    moments
        lead_id, snapshot_at, moment; of rows of one lead and moment the first stays.
    revivals
        As in `snapshots.at_risk`.
    """
    once = moments.drop_duplicates(["lead_id", "snapshot_at"])
    rows = once.merge(life_spans(leads, outcomes), "inner", "lead_id")
    at = rows["snapshot_at"]
    young = at - rows["created_at"] <= pd.Timedelta(days=population.max_age_days) + pd.Timedelta(1, "us")
    if revivals is not None:
        young |= came_back(rows, revivals, population)
    is_open = (at >= rows["created_at"]) & (at <= rows["closed"]) & young
    kept = rows.loc[is_open, ["lead_id", "snapshot_at", "moment"]]
    return kept.sort_values(["lead_id", "snapshot_at"], ignore_index=True)


def came_back(rows: pd.DataFrame, revivals: pd.DataFrame, population: SnapshotParams) -> pd.Series[bool]:
    """Whether each row (lead_id, snapshot_at) lies soon enough after its lead acted; see `snapshots.at_risk`."""
    left = rows[["lead_id", "snapshot_at"]].assign(row=np.arange(len(rows))).sort_values("snapshot_at")
    right = revivals.sort_values("revived_at")
    last = pd.merge_asof(left, right, left_on="snapshot_at", right_on="revived_at", by="lead_id").sort_values("row")
    acted = last["revived_at"].to_numpy("datetime64[us]")
    within = rows["snapshot_at"].to_numpy("datetime64[us]") <= revival_end(acted, population)
    return pd.Series(within & ~np.isnat(acted), index=rows.index)


def acted_lately(events: pa.Table, at: pd.Timestamp, population: SnapshotParams) -> bool:
    """Whether one lead, by its events of the contract, acted so that it is at risk again at a moment; no engine."""
    revive_on = population.revive_on
    if revive_on is None:
        return False
    happened, known = (events[name].to_numpy().astype("datetime64[us]") for name in ("event_at", "known_at"))
    column, wanted = ("event_type", revive_on.types) if revive_on.types else ("direction", ["inbound"])
    counts = np.maximum(happened + TICK, known)
    moment = np.datetime64(at, "us")
    within = (counts <= moment) & (moment <= revival_end(counts, population))
    return bool((within & np.isin(events[column].to_numpy().astype("str"), wanted)).any())


def all_moments(leads: pd.DataFrame, events: ir.Table, params: MomentParams, grain: Grain) -> pd.DataFrame:
    """Return the moments that the parameters name: lead_id, snapshot_at, moment."""
    parts = [age_moments(leads, params.ages_hours, grain)]
    if params.after_inbound:
        parts.append(inbound_moments(events, grain))
    return pd.concat(parts, ignore_index=True)


def _after(times: np.ndarray, grain: Grain) -> np.ndarray:
    if grain == "created in days":
        return times
    after: np.ndarray = times + TICK
    return after if grain == "times" else after.astype("datetime64[D]").astype("datetime64[us]") + DAY


def _none() -> pd.DataFrame:
    at = pd.Series([], dtype="datetime64[us]")
    return pd.DataFrame(
        {"lead_id": pd.Series([], dtype="str"), "snapshot_at": at, "moment": pd.Series([], dtype="str")}
    )
