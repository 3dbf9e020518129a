"""The hand-written rules over snapshots: the same moments and half-open windows as the feature matrix."""

from __future__ import annotations

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.fit import attributes_as_of
from features.matrix import MatrixSpec, numbered
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
        parts.append(_read(event_entries(numbered(snapshots), events, rules).to_pyarrow(), ENTRY))
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
    asked = ask_sums(numbered(snapshots), events, rules)
    return sums_of(snapshots, leads, history, None if asked is None else asked.to_pyarrow(), spec, rules)


def ask_sums(moments: ir.Table, events: ir.Table, rules: RulesParams) -> ir.Table | None:
    """Return what the rules ask of the event log, as one expression; None where no rule speaks of events.

    Parameters
    ----------
    moments
        lead_id, snapshot_at, row; see `matrix.numbered`.
    """
    if not (rules.events or rules.patterns):
        return None
    return event_points(event_entries(moments, events, rules))


def sums_of(
    snapshots: pd.DataFrame,
    leads: pd.DataFrame,
    history: pd.DataFrame,
    of_events: pa.Table | None,
    spec: MatrixSpec,
    rules: RulesParams,
) -> pd.DataFrame:
    """Return the sums of `rule_sums` from the answer to `ask_sums`."""
    parts = [_of_attributes(snapshots, leads, history, spec, rules)[SUM]]
    if of_events is not None:
        parts.append(_read(of_events, SUM))
    return pd.concat(parts, ignore_index=True)


def _of_attributes(
    snapshots: pd.DataFrame, leads: pd.DataFrame, history: pd.DataFrame, spec: MatrixSpec, rules: RulesParams
) -> pd.DataFrame:
    if not rules.attributes:
        return attribute_entries(pd.DataFrame(), rules)
    frame = attributes_as_of(snapshots, leads, history, spec.attributes)
    asked = {rule.attribute for rule in rules.attributes}
    facts = attribute_facts(frame, spec.attributes, spec.params, spec.vocabulary, asked)
    return attribute_entries(facts, rules)


def _read(entries: pa.Table, columns: list[str]) -> pd.DataFrame:
    """Make a frame of the entries, the rules' names as plain text, as those of attributes are."""
    return entries.to_pandas()[columns].astype({"row": "int64", "rule": "str", "milli": "int64"})
