"""The snapshots of a contract, labelled by what was known."""

from __future__ import annotations

import pandas as pd

from features.cohort.labels import label_dated, label_undated
from features.cohort.snapshots import at_risk, grid, one_per_lead
from features.schema.declarations import SnapshotParams
from pipelines.storage.contract_store import Contract


def labelled(contract: Contract, population: SnapshotParams | None) -> pd.DataFrame:
    """Return every snapshot with `matured`, `known_at` and `label`; `population` is None without dates."""
    if population is None:
        return label_undated(one_per_lead(contract.leads), contract.outcomes)
    return labelled_lists(contract, population, contract.data_until)


def labelled_lists(contract: Contract, population: SnapshotParams, until: pd.Timestamp) -> pd.DataFrame:
    """Return the snapshots of every list up to a moment, labelled by the outcomes that were known then."""
    moments = grid(contract.leads["created_at"].min(), until, population)
    snapshots = at_risk(contract.leads, contract.outcomes, moments, population)
    return label_dated(snapshots, contract.outcomes, min(until, contract.outcomes_until), population)
