"""Attributes as they were known at a moment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.schema.declarations import AttributeSpec
from features.schema.errors import DataError


def attributes_as_of(
    snapshots: pd.DataFrame, leads: pd.DataFrame, history: pd.DataFrame, attributes: Mapping[str, AttributeSpec]
) -> pd.DataFrame:
    """Return each snapshot's lead with its attributes as they stood then.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at.
    leads
        One row a lead, with attributes as last known.
    history
        lead_id, valid_from and the attributes that are known: history; a row's values hold from valid_from on.

    Returns
    -------
    DataFrame
        One row a snapshot, in its order: the columns of `leads`. For a lead with a history, each historic attribute
        is taken from the last row with valid_from < snapshot_at and is missing before the first, because what the
        CRM shows today was written later. A history that does not begin with its lead so leaks edits to come.
    """
    current = snapshots[["lead_id", "snapshot_at"]].merge(leads, "left", "lead_id")
    edited = [name for name, spec in attributes.items() if spec.known == "history" and name in history]
    if not edited or history.empty:
        return current
    left = current[["lead_id", "snapshot_at"]].assign(row=np.arange(len(current))).sort_values("snapshot_at")
    right = history[["lead_id", "valid_from", *edited]].sort_values("valid_from", kind="stable")
    past = pd.merge_asof(
        left, right, left_on="snapshot_at", right_on="valid_from", by="lead_id", allow_exact_matches=False
    ).sort_values("row", ignore_index=True)
    has_history = pd.Index(history["lead_id"].unique()).get_indexer(pd.Index(current["lead_id"])) >= 0
    return current.assign(**{name: past[name].where(has_history, current[name]) for name in edited})


def check_history(leads: pd.DataFrame, history: pd.DataFrame) -> None:
    """Refuse a history that does not begin with its lead.

    Before the first row nothing is known of an edited attribute, so that a missing value would leak an edit to come.

    Raises
    ------
    DataError
        With the number of such leads.
    """
    first = history.groupby("lead_id")["valid_from"].min().dt.floor("D")
    begins = leads.set_index("lead_id")["created_at"].reindex(first.index)
    late = int((first > begins).sum())
    if late:
        raise DataError(
            "attribute_history",
            "valid_from",
            found=f"{late:,} of {len(first):,} leads whose first row is later than their created_at",
            expected="a row with the values at creation for every lead that has a history",
            fix="Add the values at creation, or declare the attributes known: creation if they are never overwritten, "
            "or known: outcome to leave them out.",
        )
