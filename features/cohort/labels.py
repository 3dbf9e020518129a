"""The matured outcome within the horizon."""

from __future__ import annotations

import pandas as pd

from features.schema.declarations import SnapshotParams


def label_dated(
    snapshots: pd.DataFrame, outcomes: pd.DataFrame, outcomes_until: pd.Timestamp, params: SnapshotParams
) -> pd.DataFrame:
    """Label each snapshot by whether the lead converted within the horizon, where that is known already.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at.
    outcomes
        lead_id, converted_at.
    outcomes_until
        The last moment by which outcomes are known; a horizon that ends later, plus the outcome's lag, has not matured.

    Returns
    -------
    DataFrame
        The snapshots in their order with `matured` (bool), `known_at` (when the label is known at the latest) and
        `label` (1.0 when converted_at lies in [snapshot_at, snapshot_at + horizon), else 0.0; missing when immature,
        even for a lead that has converted already, or recent snapshots would hold winners alone).
    """
    won = snapshots[["lead_id"]].merge(outcomes[["lead_id", "converted_at"]], "left", "lead_id")["converted_at"]
    won.index = snapshots.index
    at = snapshots["snapshot_at"]
    horizon_end = at + pd.Timedelta(days=params.horizon_days)
    known_at = horizon_end + pd.Timedelta(days=params.outcome_lag_days)
    matured = known_at <= outcomes_until
    label = ((won >= at) & (won < horizon_end)).astype("float64")
    return snapshots.assign(known_at=known_at, matured=matured, label=label.where(matured))


def label_undated(snapshots: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Label each lead by whether it converted, for tables without dates; an open lead has not matured.

    Returns
    -------
    DataFrame
        The snapshots in their order with `known_at` (NaT), `matured` and `label`, as in `label_dated`.
    """
    won = snapshots[["lead_id"]].merge(outcomes[["lead_id", "converted"]], "left", "lead_id")["converted"]
    label = pd.Series(won.astype("Float64").to_numpy("float64", na_value=float("nan")), index=snapshots.index)
    return snapshots.assign(known_at=snapshots["snapshot_at"], matured=label.notna(), label=label)
