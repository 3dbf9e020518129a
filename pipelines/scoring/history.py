"""The snapshots of a contract, labelled by what was known."""

from __future__ import annotations

import logging

import pandas as pd

from features.cohort.labels import label_dated, label_undated
from features.cohort.moments import Grain, all_moments, days_only, is_day, moment_text, open_moments
from features.cohort.snapshots import at_risk, grid, one_per_lead, revivals_of
from features.schema.declarations import MomentParams, SnapshotParams
from pipelines.storage.contract_store import Contract

log = logging.getLogger("leadscore")


def labelled(contract: Contract, population: SnapshotParams | None) -> pd.DataFrame:
    """Return every snapshot with `matured`, `known_at` and `label`; `population` is None without dates."""
    if population is None:
        return label_undated(one_per_lead(contract.leads), contract.outcomes)
    return labelled_lists(contract, population, contract.data_until)


def labelled_lists(contract: Contract, population: SnapshotParams, until: pd.Timestamp) -> pd.DataFrame:
    """Return the snapshots of every list up to a moment, labelled by the outcomes that were known then."""
    moments = grid(contract.leads["created_at"].min(), until, population)
    snapshots = leads_at_risk(contract, moments, population)
    return label_dated(snapshots, contract.outcomes, min(until, contract.outcomes_until), population)


def leads_at_risk(contract: Contract, moments: pd.DatetimeIndex, population: SnapshotParams) -> pd.DataFrame:
    """Pair each moment with the leads that were at risk then: lead_id, snapshot_at; sorted by both."""
    revivals = revivals_of(contract.events, contract.leads, population)
    return at_risk(contract.leads, contract.outcomes, moments, population, revivals)


def labelled_moments(contract: Contract, population: SnapshotParams, params: MomentParams) -> pd.DataFrame:
    """Return the moments between lists, up to the end of the data: as `labelled_lists`, and `moment`, its kind."""
    grain = grain_of(contract)
    if grain != "times":
        log.warning("build_features: %s, so that moments are midnights", _WHY[grain])
    found = all_moments(contract.leads, contract.events, params, grain)
    found = found[found["snapshot_at"] <= contract.data_until]
    revivals = revivals_of(contract.events, contract.leads, population)
    moments = open_moments(found, contract.leads, contract.outcomes, population, revivals)
    until = min(contract.data_until, contract.outcomes_until)
    return label_dated(moments, contract.outcomes, until, population)


def warn_of_days(at: pd.Timestamp, contract: Contract) -> None:
    """Warn where a list of a time of day stands on facts that have days alone."""
    grain = "times" if pd.isna(at) or is_day(at) else grain_of(contract)
    if grain != "times":
        log.warning("score: %s, and what happened on the day of %s counts as if at its beginning",
                    _WHY[grain], moment_text(at))  # fmt: skip


_WHY = {
    "created in days": "leads.created_at holds days alone",
    "facts in days": "events.event_at, outcomes.converted_at or attribute_history.valid_from holds days alone",
}


def grain_of(contract: Contract) -> Grain:
    """Return how finely a contract's tables know when things happened."""
    if days_only(contract.leads["created_at"]):
        return "created in days"
    facts = [contract.outcomes["converted_at"], contract.history["valid_from"]]
    timed = contract.events.filter(contract.events.event_at != contract.events.event_at.truncate("D"))
    some = contract.events.limit(1).count().to_pyarrow().as_py() > 0
    in_days = some and timed.limit(1).count().to_pyarrow().as_py() == 0
    return "facts in days" if in_days or any(days_only(times) for times in facts) else "times"
