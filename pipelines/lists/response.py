"""How fast sales answers the leads of lists and triggers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from features.rules.conditions import EventSeen
from models.kpis.response import FIRED, Contacts, entries, firings, response_times, starts_of
from models.kpis.results import ResponseTimes
from pipelines.storage.contract_store import Contract
from pipelines.storage.run_context import RunContext

NONE = pd.DataFrame({"lead_id": pd.Series(dtype="str"), "at": pd.Series(dtype="datetime64[us]"), "kind": FIRED})


def response(listed: pd.DataFrame, best: str, contract: Contract, run: RunContext) -> ResponseTimes | str:
    """Measure the time from entering the best tier, or from a trigger into it, to the first contact.

    Parameters
    ----------
    listed
        lead_id, snapshot_at and tier of the lists.
    best
        Their best tier.

    Returns
    -------
    ResponseTimes or str
        By the contact log, or where there is none, by events of sales; why not, where there are neither, or nobody
        entered.
    """
    contacts = contacts_of(contract, run)
    if contacts is None:
        return "no contact log and no event says when sales called"
    entered, fired = entries(listed, best), fired_triggers(best, contract, run)
    windows = [when.days or run.params.snapshots.max_age_days for when in _triggers(best, run)]
    starts = starts_of(entered, pd.concat([entered.head(0), fired]), max(windows, default=0))
    starts = starts[starts["at"] >= listed["snapshot_at"].min()]  # a trigger that fired before the first list
    kpis, confidence = run.params.kpis, run.params.evaluate.confidence
    times = response_times(starts, contacts, contract.outcomes, kpis.sla_minutes, confidence)
    return times if times.n else f"nobody entered {best} between the first and the last contact that is known"


def fired_triggers(best: str, contract: Contract, run: RunContext) -> pd.DataFrame:
    """Return when triggers into a tier fired: lead_id, at, kind."""
    fired = [firings(_events(contract, when.types), when.days) for when in _triggers(best, run)]
    return pd.concat([NONE, *fired])


def _triggers(best: str, run: RunContext) -> list[EventSeen]:
    return [one.when for one in run.params.tiers.triggers if one.tier == best and isinstance(one.when, EventSeen)]


def contacts_of(contract: Contract, run: RunContext) -> Contacts | None:
    """Return whom sales contacted by the end of the data; a booked call is no contact yet."""
    path, until = run.layout.contacts.path, contract.data_until
    columns = ["lead_id", "contacted_at"]
    rows = pd.read_parquet(path, columns=columns) if path.is_file() else pd.DataFrame(columns=columns)
    if len(rows := rows[rows["contacted_at"] <= until]):
        return Contacts(rows, "contact log")
    events, ours = contract.events, run.params.kpis.sales_events
    touched = events.filter(events.event_type.isin(ours) if ours else events.direction == "outbound")
    rows = touched.select("lead_id", contacted_at=touched.event_at).to_pyarrow().to_pandas()
    rows = rows[rows["contacted_at"] <= until]
    return Contacts(rows, "events of sales") if len(rows) else None


def _events(contract: Contract, types: Sequence[str]) -> pd.DataFrame:
    """Return when events of some types were known."""
    events = contract.events
    return events.filter(events.event_type.isin(types)).select("lead_id", "known_at").to_pyarrow().to_pandas()
