"""What an earlier moment knew of the leads, so that a later one can tell time, edits and events apart."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
import pandas as pd

from features.engagement import known_events
from features.event_marks import with_marks
from features.fit import attributes_as_of
from features.matrix import MatrixSpec, feature_matrix
from features.spec import AttributeSpec


def counterfactuals(
    lead_ids: pd.Series[str],
    leads: pd.DataFrame,
    history: pd.DataFrame,
    events: ir.Table,
    spec: MatrixSpec,
    since: pd.Timestamp,
    until: pd.Timestamp,
) -> dict[str, pd.DataFrame]:
    """Compute the features at `until` from what was known at `since`, and then with what became known between.

    Parameters
    ----------
    lead_ids
        The leads to look at, created before `since`; one row each.
    leads, history, events, spec
        As `matrix.feature_matrix` takes them.

    Returns
    -------
    dict
        Three matrices, one row a lead in the order of `lead_ids`, each with one thing more: `time_passing` (attributes
        and events as known at `since`), `edited_attributes` (attributes as known at `until`), `new_events` (events too:
        this is the matrix at `until`).
    """
    later = _moments(lead_ids, until)
    then = attributes_then(lead_ids, leads, history, spec.attributes, since)
    old_events = with_marks(known_events(events, ibis.literal(since.to_pydatetime())))
    return {
        "time_passing": feature_matrix(later, then, history.head(0), old_events, spec),
        "edited_attributes": feature_matrix(later, leads, history, old_events, spec),
        "new_events": feature_matrix(later, leads, history, events, spec),
    }


def attributes_then(
    lead_ids: pd.Series[str],
    leads: pd.DataFrame,
    history: pd.DataFrame,
    attributes: Mapping[str, AttributeSpec],
    at: pd.Timestamp,
) -> pd.DataFrame:
    """Return the table of leads as it stood at a moment: the columns of `leads`, one row for each of `lead_ids`."""
    return attributes_as_of(_moments(lead_ids, at), leads, history, attributes).drop(columns="snapshot_at")


def edits(then: pd.DataFrame, now: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> pd.DataFrame:
    """List the attributes whose value differs between two states of the same leads.

    Parameters
    ----------
    then, now
        Two results of `attributes_then` for the same leads in the same order.

    Returns
    -------
    DataFrame
        lead_id, attribute, then, now (as they are in the tables, missing where not known); by attribute, then in the
        order of the leads. What was edited there and back is no edit.
    """
    changed = []
    for name, spec in attributes.items():
        if spec.known == "history" and name in now:
            differs = (then[name] != now[name]) & ~(then[name].isna() & now[name].isna())
            both = {"then": then.loc[differs, name].astype(object), "now": now.loc[differs, name].astype(object)}
            changed.append(pd.DataFrame({"lead_id": then.loc[differs, "lead_id"], "attribute": name} | both))
    empty = pd.DataFrame(columns=["lead_id", "attribute", "then", "now"])
    return pd.concat(changed, ignore_index=True) if changed else empty


def new_events(events: ir.Table, since: pd.Timestamp, until: pd.Timestamp) -> ir.Table:
    """Keep the events that count at `until` and did not yet at `since`: they came, or became known, between."""
    first = ibis.literal(since.to_pydatetime())
    old = (events.event_at < first) & (events.known_at <= first)
    return known_events(events.filter(~old), ibis.literal(until.to_pydatetime()))


def _moments(lead_ids: pd.Series[str], at: pd.Timestamp) -> pd.DataFrame:
    times = pd.Series(at, index=lead_ids.index, dtype="datetime64[us]")
    return pd.DataFrame({"lead_id": lead_ids, "snapshot_at": times}).reset_index(drop=True)
