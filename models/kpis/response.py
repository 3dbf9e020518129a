"""How fast sales answers: minutes from entering the best tier, or a trigger, to the first contact after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from models.evaluation.intervals import rate_interval
from models.kpis.results import MinutesUntil, ResponseTimes
from models.kpis.summary import DAY_MINUTES
from models.kpis.tier_kpis import of_leads
from models.kpis.velocity import survival

SHARES = (0.25, 0.5, 0.75)
ENTERED, FIRED = "entered the tier", "trigger"


@dataclass(frozen=True)
class Contacts:
    """Whom sales contacted, and when.

    Attributes
    ----------
    rows
        lead_id, contacted_at.
    by
        Where they come from.
    """

    rows: pd.DataFrame
    by: Literal["contact log", "events of sales"]

    @property
    def by_day(self) -> bool:
        """Whether the log has days alone."""
        at = self.rows["contacted_at"]
        return bool((at == at.dt.floor("D")).all())

    @property
    def since(self) -> pd.Timestamp:
        """The day of the oldest contact: what came earlier, nobody wrote down."""
        return self.rows["contacted_at"].min().floor("D")

    @property
    def until(self) -> pd.Timestamp:
        """The newest contact: what came later, nobody has written down yet."""
        newest = self.rows["contacted_at"].max()
        return newest + pd.Timedelta(days=1) if self.by_day else newest


def entries(listed: pd.DataFrame, tier: str) -> pd.DataFrame:
    """Return when leads entered a tier: their first list in it after one without, or after none.

    Parameters
    ----------
    listed
        lead_id, snapshot_at, tier.

    Returns
    -------
    DataFrame
        lead_id, at, kind. Who is in the tier on the first list may have been before, and is left out.
    """
    moments = np.sort(listed["snapshot_at"].unique())
    inside = listed.loc[listed["tier"] == tier, ["lead_id", "snapshot_at"]].sort_values(["lead_id", "snapshot_at"])
    number = pd.Series(np.searchsorted(moments, inside["snapshot_at"]), index=inside.index)
    new = number.groupby(inside["lead_id"]).diff() != 1
    kept = inside[new & (number > 0)]
    return kept.rename(columns={"snapshot_at": "at"}).assign(kind=ENTERED).reset_index(drop=True)


def firings(events: pd.DataFrame, days: float | None) -> pd.DataFrame:
    """Return when a trigger fired: at an event with none of its kind in the days before, or ever where there are none.

    Parameters
    ----------
    events
        lead_id, known_at; of the trigger's types.
    """
    rows = events.sort_values(["lead_id", "known_at"])
    gap = rows.groupby("lead_id")["known_at"].diff()
    again = gap.notna() if days is None else gap <= pd.Timedelta(days=days)
    return pd.DataFrame({"lead_id": rows["lead_id"], "at": rows["known_at"]})[~again].assign(kind=FIRED)


def starts_of(entered: pd.DataFrame, fired: pd.DataFrame, window_days: float) -> pd.DataFrame:
    """Put both together; an entry within `window_days` after a trigger of the lead is the same news, told later."""
    fired = fired.sort_values("at")
    earlier = pd.merge_asof(
        entered.sort_values("at"), fired[["lead_id", "at"]].assign(fired_at=fired["at"]), on="at", by="lead_id",
        tolerance=pd.Timedelta(days=window_days),
    )  # fmt: skip
    fresh = earlier.loc[earlier["fired_at"].isna(), ["lead_id", "at", "kind"]]
    return pd.concat([fired, fresh]).sort_values(["at", "lead_id"], ignore_index=True)


def uncalled(starts: pd.DataFrame, contacts: Contacts, now: pd.Timestamp) -> pd.DataFrame:
    """Find who waits for a call: since the first start after which nobody has contacted the lead.

    Parameters
    ----------
    starts
        lead_id, at; any number a lead.

    Returns
    -------
    DataFrame
        lead_id, since, minutes (by now). Where the log has days alone, a contact on the day of a start counts.
    """
    log = contacts.rows[contacts.rows["contacted_at"] <= now]
    last = of_leads(starts["lead_id"], log.groupby("lead_id")["contacted_at"].max())
    reached = last >= (starts["at"].dt.floor("D") if contacts.by_day else starts["at"])
    since = starts[~reached].groupby("lead_id")["at"].min().rename("since").reset_index()
    return since.assign(minutes=((now - since["since"]).dt.total_seconds() / 60).astype("int64"))


def response_times(
    starts: pd.DataFrame, contacts: Contacts, outcomes: pd.DataFrame, sla_minutes: int, confidence: float
) -> ResponseTimes:
    """Measure the time to the first contact.

    Parameters
    ----------
    starts
        lead_id, at, kind.
    outcomes
        lead_id, converted_at, lost_at: who has closed is called no more.

    Returns
    -------
    ResponseTimes
        Of starts within the log by a lead that is open then. Share within the agreed time of all starts whose agreed
        time has passed within the log, but those of leads that closed in it without a contact. It is None where the
        log has days alone and the agreed time is shorter.
    """
    closes = outcomes.set_index("lead_id")[["converted_at", "lost_at"]].min(axis=1)
    at = starts["at"].dt.floor("D") if contacts.by_day else starts["at"]
    seen = (at >= contacts.since) & (at <= contacts.until) & ~(of_leads(starts["lead_id"], closes) <= at)
    begun = starts.assign(at=at)[seen].sort_values("at")
    log = contacts.rows.sort_values("contacted_at")
    met = pd.merge_asof(
        begun, log.assign(at=log["contacted_at"])[["lead_id", "at", "contacted_at"]], on="at", by="lead_id",
        direction="forward",
    )  # fmt: skip
    closed = of_leads(met["lead_id"], closes)
    end = closed.where(closed < contacts.until, contacts.until).clip(lower=met["at"])
    contacted = met["contacted_at"] <= end
    minutes = (met["contacted_at"].where(contacted, end) - met["at"]).dt.total_seconds() / 60
    passed = contacts.until - met["at"] >= pd.Timedelta(minutes=sla_minutes)  # else quick answers alone would count
    known = passed & (contacted | (minutes >= sla_minutes))
    told = not contacts.by_day or sla_minutes >= DAY_MINUTES
    within = (contacted & (minutes <= sla_minutes))[known].to_numpy("float64")
    low, high = (
        rate_interval(within, met.loc[known, "lead_id"].to_numpy(), confidence)
        if told and len(within)
        else (None, None)
    )
    curve = survival(minutes, contacted, SHARES, confidence)
    return ResponseTimes(
        by=contacts.by,
        by_day=contacts.by_day,
        until=contacts.until.isoformat(),
        sla_minutes=sla_minutes,
        triggers=int((met["kind"] == FIRED).sum()),
        within_sla=float(within.mean()) if told and len(within) else None,
        within_sla_low=low,
        within_sla_high=high,
        within_sla_n=int(known.sum()) if told else 0,
        open_without_contact=int((~contacted & ~(closed < contacts.until)).sum()),
        n=curve.n,
        contacted=curve.happened,
        minutes=[MinutesUntil(share=one.share, minutes=one.days, low=one.low, high=one.high) for one in curve.days],
    )
