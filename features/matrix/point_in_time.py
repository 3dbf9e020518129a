"""The feature matrix for anybody's own tables: what was known of leads at a moment."""

from __future__ import annotations

import ibis
import pandas as pd
import pyarrow as pa

from features.events.definitions import count_events
from features.matrix.matrix import LeadTables, MatrixSpec, feature_matrix
from features.schema.contract import TABLES, arrow_schema
from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.errors import DataError
from features.schema.vocabulary import Vocabulary

DEFAULT = FeatureParams()
EVENTS = arrow_schema("events", TABLES["events"])
FILLED = {"direction": "inbound", "channel": "online", "value": None}  # where the events do not say


def point_in_time_features(
    leads: pd.DataFrame,
    events: pd.DataFrame,
    at: pd.Timestamp | pd.Series[pd.Timestamp],
    spec: MatrixSpec | None = None,
    params: FeatureParams = DEFAULT,
) -> pd.DataFrame:
    """Compute what was known of leads at a moment: only events that had happened and were known before it count.

    Parameters
    ----------
    leads
        lead_id, created_at, and attributes, which stood at creation already; one row a lead.
    events
        lead_id, event_at, event_type; and known_at, direction (inbound, outbound), channel (online, offline) and value,
        where there are any.
    at
        One moment, for every lead created before it; or moments, with lead_id as the index, which may repeat.
    spec
        Which features: `Run.spec` has those of a run. None: learned from all that was known before the last moment.
    params
        How they are learned; read where there is no spec.

    Returns
    -------
    DataFrame
        lead_id, snapshot_at, and the features; a row a moment, in the order of the leads, or of `at`.

    Raises
    ------
    DataError
        Where a column is missing, a lead is named that is not in `leads`, or a moment is not after its creation.
    """
    declared = {} if spec is None else spec.attributes
    _check_columns("leads", leads, [name for name, one in declared.items() if one.known != "outcome"])
    people, log = _leads(leads), _events(events)
    snapshots = _snapshots(people, at)
    spec = spec or _learned(people, log, snapshots["snapshot_at"].max(), params)
    nothing = pd.DataFrame({"lead_id": pd.Series(dtype="str"), "valid_from": pd.Series(dtype="datetime64[us]")})
    matrix = feature_matrix(LeadTables(snapshots, people, nothing, log), spec)
    return pd.concat([snapshots, matrix], axis=1)


def _leads(leads: pd.DataFrame) -> pd.DataFrame:
    _check_columns("leads", leads, ["lead_id", "created_at"])
    if (again := leads["lead_id"].duplicated()).any():
        raise DataError(
            "leads",
            "lead_id",
            found=f"{leads.loc[again, 'lead_id'].iloc[0]!r} twice",
            expected="one row a lead",
            fix="Keep the newest row of each lead.",
        )
    times = pd.to_datetime(leads["created_at"]).astype("datetime64[us]")
    return leads.assign(lead_id=leads["lead_id"].astype("str"), created_at=times).reset_index(drop=True)


def _events(events: pd.DataFrame) -> ibis.Table:
    _check_columns("events", events, ["lead_id", "event_at", "event_type"])
    filled = events.assign(**{name: value for name, value in FILLED.items() if name not in events})
    if "known_at" not in events:
        filled["known_at"] = filled["event_at"]
    times = {name: pd.to_datetime(filled[name]).astype("datetime64[us]") for name in ("event_at", "known_at")}
    return ibis.memtable(pa.Table.from_pandas(filled.assign(**times), schema=EVENTS, preserve_index=False))


def _check_columns(table: str, rows: pd.DataFrame, names: list[str]) -> None:
    if missing := [name for name in names if name not in rows]:
        raise DataError(
            table,
            missing[0],
            found=f"the columns {', '.join(map(str, rows))}",
            expected=", ".join(names),
            fix="Rename the columns of your table.",
        )


def _snapshots(leads: pd.DataFrame, at: pd.Timestamp | pd.Series[pd.Timestamp]) -> pd.DataFrame:
    created = leads.set_index("lead_id")["created_at"]
    if not isinstance(at, pd.Series):
        at = pd.Series(pd.Timestamp(at), index=created.index[created < pd.Timestamp(at)])
    lead_id, moments = at.index.astype("str"), pd.to_datetime(at).astype("datetime64[us]").to_numpy()
    late = ~(created.reindex(lead_id).to_numpy() < moments)  # also of a lead that is not there
    if late.any():
        raise DataError(
            "leads",
            "created_at",
            found=f"lead {lead_id[late][0]!r}, which is not there before {pd.Timestamp(moments[late][0])}",
            expected="leads that were created before their moment",
            fix="Give a later moment, or leave the lead out.",
        )
    return pd.DataFrame({"lead_id": pd.Series(lead_id, dtype="str"), "snapshot_at": moments})


def _learned(leads: pd.DataFrame, events: ibis.Table, until: pd.Timestamp, params: FeatureParams) -> MatrixSpec:
    """Learn the columns from what was known before a moment; numbers are numbers, all else is a category."""
    known = leads[leads["created_at"] < until]
    attributes = {
        str(name): AttributeSpec(kind="number" if _is_number(leads[name]) else "category", label=str(name))
        for name in leads.columns.drop(["lead_id", "created_at"])
    }
    counts = count_events(events, ibis.literal(until.to_pydatetime())).to_pyarrow().to_pandas()
    vocabulary = Vocabulary.learn(attributes, known, counts, params)
    return MatrixSpec(attributes=attributes, event_labels={}, event_units={}, params=params, vocabulary=vocabulary)


def _is_number(column: pd.Series[float]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
