"""The hand-written rules over snapshots: the same moments and half-open windows as the feature matrix."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.fit import attributes_as_of
from features.matrix import MatrixSpec
from features.rule_entries import ENTRY, attribute_entries, attribute_facts, event_entries, event_points
from features.rule_spec import RulesParams

SUM = ["row", "rule", "milli"]


def rule_log(
    snapshots: pd.DataFrame,
    leads: pd.DataFrame,
    history: pd.DataFrame,
    events: ir.Table,
    spec: MatrixSpec,
    rules: RulesParams,
) -> pd.DataFrame:
    """Return each point earned, at every snapshot.

    Parameters
    ----------
    snapshots, leads, history, events, spec
        As `matrix.feature_matrix` takes them.

    Returns
    -------
    DataFrame
        row (the snapshot's number from 0), rule, earned_at, counts_from, milli; see `rule_entries`.
    """
    parts = [_of_attributes(snapshots, leads, history, spec, rules)]
    if rules.events or rules.patterns:
        parts.append(_read(_of_events(snapshots, events, rules), ENTRY))
    return pd.concat(parts, ignore_index=True)


def rule_sums(
    snapshots: pd.DataFrame,
    leads: pd.DataFrame,
    history: pd.DataFrame,
    events: ir.Table,
    spec: MatrixSpec,
    rules: RulesParams,
) -> pd.DataFrame:
    """Return the log of `rule_log` summed by snapshot and rule: row, rule, milli."""
    parts = [_of_attributes(snapshots, leads, history, spec, rules)[SUM]]
    if rules.events or rules.patterns:
        parts.append(_read(event_points(_of_events(snapshots, events, rules)), SUM))
    return pd.concat(parts, ignore_index=True)


def _of_attributes(
    snapshots: pd.DataFrame, leads: pd.DataFrame, history: pd.DataFrame, spec: MatrixSpec, rules: RulesParams
) -> pd.DataFrame:
    frame = attributes_as_of(snapshots, leads, history, spec.attributes)
    facts = attribute_facts(frame, spec.attributes, spec.params, spec.vocabulary)
    return attribute_entries(facts, rules)


def _of_events(snapshots: pd.DataFrame, events: ir.Table, rules: RulesParams) -> ir.Table:
    moments = snapshots[["lead_id", "snapshot_at"]].assign(row=range(len(snapshots)))
    return event_entries(ibis.memtable(pa.Table.from_pandas(moments, preserve_index=False)), events, rules)


def _read(entries: ir.Table, columns: list[str]) -> pd.DataFrame:
    """Fetch the entries with the rules' names as plain text, as those of attributes are."""
    return entries.to_pyarrow().to_pandas()[columns].astype({"row": "int64", "rule": "str", "milli": "int64"})
