"""How fast sales answers the leads of lists and triggers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from features.rules.conditions import EventSeen
from models.kpis.response import FIRED, Contacts, entries, firings, response_times, starts_of
from models.kpis.results import ResponseTimes
from pipelines.storage.contract_store import Contract
from pipelines.storage.run_context import RunContext


def response(listed: pd.DataFrame, contract: Contract, run: RunContext) -> ResponseTimes | None:
    """Measure the time from entering the best tier, or from a trigger into it, to the first contact.

    Parameters
    ----------
    listed
        lead_id, snapshot_at and tier of the lists.

    Returns
    -------
    ResponseTimes
        By the contact log, or where there is none, by events of sales; None where there are neither, or nobody entered.
    """
    contacts = _contacts(contract, run)
    if contacts is None:
        return None
    best, first = run.params.tiers.names[0], listed["snapshot_at"].min()
    windows = [one.when for one in run.params.tiers.triggers if one.tier == best and isinstance(one.when, EventSeen)]
    fired = [firings(_events(contract, when.types, first), when.days) for when in windows]
    empty = pd.DataFrame({"lead_id": listed["lead_id"].head(0), "at": listed["snapshot_at"].head(0), "kind": FIRED})
    days = max((when.days or run.params.snapshots.max_age_days for when in windows), default=0)
    starts = starts_of(entries(listed, best), pd.concat([empty, *fired]), days)
    if not (starts["at"] <= contacts.until).any():
        return None
    kpis, confidence = run.params.kpis, run.params.evaluate.confidence
    return response_times(starts, contacts, contract.outcomes, kpis.sla_minutes, confidence)


def _contacts(contract: Contract, run: RunContext) -> Contacts | None:
    path = run.layout.contacts.path
    log_rows = pd.read_parquet(path, columns=["lead_id", "contacted_at"]) if path.is_file() else pd.DataFrame()
    if len(log_rows):
        return Contacts(log_rows, "contact log")
    events, ours = contract.events, run.params.kpis.sales_events
    touched = events.filter(events.event_type.isin(ours) if ours else events.direction == "outbound")
    rows = touched.select("lead_id", contacted_at=touched.event_at).to_pyarrow().to_pandas()
    return Contacts(rows, "events of sales") if len(rows) else None


def _events(contract: Contract, types: Sequence[str], first: pd.Timestamp) -> pd.DataFrame:
    """Return when events of some types were known; those before the first list make none fire."""
    events = contract.events
    rows = events.filter(events.event_type.isin(types)).select("lead_id", "known_at").to_pyarrow().to_pandas()
    return rows[rows["known_at"] >= first]
