"""The log of the hand-written rules: each point that a lead earned at a snapshot, by which rule, when.

Points are counted in thousandths, as integers, so that a sum is the same in any order and always equals its log.
Entries have the columns `row` (the snapshot's number), `rule`, `earned_at`, `counts_from` (the time from which decay
or a pattern's window is counted) and `milli` (thousandths of a point at the snapshot, never 0).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.attributes.as_of import attributes_as_of
from features.attributes.definitions import attribute_features, fit_matrix
from features.events.definitions import pair_known
from features.events.event_log import MICROSECONDS_A_DAY
from features.matrix.matrix import LeadTables, MatrixSpec, numbered
from features.rules.declarations import AttributeTest, RulesParams
from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.vocabulary import Vocabulary

if TYPE_CHECKING:
    import ibis.expr.types as ir


MILLI = 1000
A_MONDAY = pd.Timestamp("1900-01-01").to_pydatetime()  # periods of caps are counted from here; no event is earlier
FOREVER = 1_000_000  # days; longer than any data
UNCAPPED = 1 << 40
ENTRY = ["row", "rule", "earned_at", "counts_from", "milli"]
RULE_ROW = pa.schema(
    [("rule", pa.string()), ("type", pa.string()), ("points", pa.float64()), ("pattern", pa.bool_())]
    + [("answer", pa.bool_()), ("fading", pa.string())]
    + [(name, pa.int64()) for name in ("days", "times", "period")]
)


def attribute_facts(
    frame: pd.DataFrame,
    attributes: Mapping[str, AttributeSpec],
    params: FeatureParams,
    vocabulary: Vocabulary,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return what rules may test of each snapshot: attributes as they are, and what is derived from them, in words.

    Parameters
    ----------
    frame
        The result of `attributes_as_of`; one row a snapshot.
    only
        Names of the derived columns to compute; None: all.

    Returns
    -------
    DataFrame
        One row a snapshot in the frame's order. Attributes known only through the outcome are not in it; derived
        columns are those of the matrix, such as job_title__seniority, with the name of the level instead of its code.
    """
    usable = [name for name, spec in attributes.items() if spec.known != "outcome"]
    derived = fit_matrix(frame, attributes, params, vocabulary, only)
    columns = {name: frame[name] for name in usable}
    for feature in attribute_features(attributes, params, vocabulary):
        if feature.name in derived and feature.name not in columns:
            names = None if feature.levels is None else dict(enumerate(feature.levels))
            values = derived[feature.name]
            columns[feature.name] = values if names is None else values.map(names).astype("str")
    return pd.DataFrame(columns).reset_index(drop=True)


def empty_facts(attributes: Mapping[str, AttributeSpec], params: FeatureParams, *, dated: bool) -> pd.DataFrame:
    """Return the columns of `attribute_facts` with their types and no row, before any data are read."""
    known = {name: spec for name, spec in attributes.items() if spec.known != "outcome"}
    dtypes = {name: "float64" if spec.kind == "number" else "str" for name, spec in known.items()}
    times = dict.fromkeys(["snapshot_at", "created_at"] if dated else ["snapshot_at"], "datetime64[us]")
    frame = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in (times | dtypes).items()})
    levels: dict[str, list[str]] = {name: [] for name, spec in known.items() if spec.kind == "category"}
    nothing: dict[str, Any] = {"event_types": [], "valued_types": [], "channels": {}, "event_groups": []}
    vocabulary = Vocabulary(**nothing, has_other=False, levels=levels, frequencies={}, dated=dated)
    return attribute_facts(frame, attributes, params, vocabulary)


def attribute_entries(facts: pd.DataFrame, rules: RulesParams) -> pd.DataFrame:
    """Return the entries of the rules on attributes, as each stood at the snapshot; they have no time of their own."""
    parts = [pd.DataFrame({"row": np.flatnonzero(holds(rule, facts[rule.attribute]))}).assign(
        rule=rule.name, milli=rule.points * MILLI) for rule in rules.attributes]  # fmt: skip
    entries = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"row": [], "rule": [], "milli": []})
    no_time = pd.Series(pd.NaT, index=entries.index, dtype="datetime64[us]")
    entries = entries.assign(earned_at=no_time, counts_from=no_time)[ENTRY]
    return entries[entries["milli"] != 0].astype({"row": "int64", "rule": "str", "milli": "int64"})


def holds(test: AttributeTest, values: pd.Series) -> np.ndarray:
    """Evaluate a test for each value, shape (n,); a missing value passes only the test for missing."""
    match test.test:
        case "missing":
            return values.isna().to_numpy()
        case "is":
            return values.isin(test.value if isinstance(test.value, list) else []).to_numpy()
        case "at_least":
            return (values >= test.value).to_numpy()
        case "below":
            return (values < test.value).to_numpy()


def holds_for(test: AttributeTest, cell: str | float | None) -> bool:
    """Evaluate a test for one value, as `holds` does."""
    if test.test == "missing" or cell is None:
        return test.test == "missing" and cell is None
    if isinstance(test.value, list):
        return cell in test.value
    return float(cell) >= test.value if test.test == "at_least" else float(cell) < test.value


def event_entries(snapshots: ir.Table, events: ir.Table, rules: RulesParams) -> ir.Table:
    """Return the entries of the rules on events and patterns as ONE expression, on any backend.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at and `row`, the snapshot's number from 0.
    events
        lead_id, event_at, known_at, event_type. `definitions.counts_at` decides which count. Of a rule with a
        cap the latest events of each period count, because they are worth most: so one event more can only add to what
        a rule gives or takes.

    Returns
    -------
    Table
        row, rule, earned_at, counts_from, milli; in no order.
    """
    seen = _visible(snapshots, events, rules)
    return _of_events(seen).union(_of_patterns(seen), distinct=False)


def event_points(entries: ir.Table) -> ir.Table:
    """Sum the entries: one row for each snapshot and rule that gives points, with their `milli`."""
    return entries.group_by("row", "rule").aggregate(milli=entries.milli.sum().cast("int64"))


def _rule_rows(rules: RulesParams) -> pa.Table:
    """One row for each rule and event type of it."""
    rows: list[dict[str, object]] = []
    for rule in rules.events:
        cap = rule.cap
        fading, days = (rule.decay.kind, rule.decay.days) if rule.decay else ("expiry", FOREVER)
        how = {"pattern": False, "answer": False, "fading": fading, "days": days}
        limit = {"times": cap.times if cap else UNCAPPED, "period": cap.days if cap else FOREVER}
        rows += [{"rule": rule.name, "type": name, "points": rule.points} | how | limit for name in rule.types]
    for pattern in rules.patterns:
        about = {"rule": pattern.name, "points": pattern.points, "pattern": True, "fading": "expiry"}
        about |= {"days": pattern.days or FOREVER, "times": pattern.times, "period": FOREVER}
        rows += [about | {"type": name, "answer": False} for name in pattern.types]
        rows += [about | {"type": name, "answer": True} for name in pattern.answers]
    return pa.Table.from_pylist(rows, schema=RULE_ROW)


def _visible(snapshots: ir.Table, events: ir.Table, rules: RulesParams) -> ir.Table:
    """Pair each snapshot with the events known then and the rules about them."""
    import ibis

    rule_rows = ibis.memtable(_rule_rows(rules))
    ruled = events.select("lead_id", "event_at", "known_at", "event_type").join(
        rule_rows, events.event_type == rule_rows.type
    )
    pairs = pair_known(snapshots, ruled)
    return pairs.mutate(age=pairs.snapshot_at.delta(pairs.event_at, unit="microsecond").cast("float64"))


def _of_events(seen: ir.Table) -> ir.Table:
    import ibis

    single = seen.filter(~seen.pattern)
    day = single.event_at.truncate("D").delta(ibis.literal(A_MONDAY), unit="day")
    single = single.mutate(span=single.days.cast("float64") * float(MICROSECONDS_A_DAY), bucket=day // single.period)
    newest = ibis.row_number().over(group_by=["row", "rule", "bucket"], order_by=ibis.desc("event_at"))
    counted = single.mutate(rank=newest)
    counted = counted.filter(counted["rank"] < counted.times)
    left = ibis.cases(
        (counted.fading == "half_life", ibis.literal(2.0) ** -(counted.age / counted.span)),
        (counted.fading == "linear", ibis.greatest(1.0 - counted.age / counted.span, 0.0)),
        else_=(counted.age <= counted.span).cast("float64"),
    )
    milli = (counted.points * left * float(MILLI)).round().cast("int64")
    entries = counted.select("row", "rule", earned_at="event_at", counts_from="event_at", milli=milli)
    return entries.filter(entries.milli != 0)


def _of_patterns(seen: ir.Table) -> ir.Table:
    """A pattern is earned by its first full count, and lasts while its latest full count lies in the window."""
    import ibis

    both = seen.filter(seen.pattern)
    both = both.mutate(answered=both.age.min(where=both.answer).over(group_by=["row", "rule"]))
    inside = both.age <= both.days.cast("float64") * float(MICROSECONDS_A_DAY)
    since = both.answered.isnull() | (both.age < both.answered)
    run = both.filter(~both.answer & inside & since)
    run = run.mutate(
        newest=ibis.row_number().over(group_by=["row", "rule"], order_by=run.age),
        oldest=ibis.row_number().over(group_by=["row", "rule"], order_by=ibis.desc(run.age)),
    )
    full = run.group_by("row", "rule").aggregate(
        earned_at=run.event_at.max(where=run.oldest == run.times - 1),
        counts_from=run.event_at.max(where=run.newest == run.times - 1),
        milli=(run.points.max() * float(MILLI)).round().cast("int64"),
    )
    return full.filter(full.earned_at.notnull() & (full.milli != 0)).select(*ENTRY)


SUM = ["row", "rule", "milli"]


def rule_log(tables: LeadTables, spec: MatrixSpec, rules: RulesParams) -> pd.DataFrame:
    """Return each point earned, at every snapshot.

    Returns
    -------
    DataFrame
        row (the snapshot's number from 0), rule, earned_at, counts_from, milli; see the top of this module.
    """
    frame = attributes_as_of(tables.snapshots, tables.leads, tables.history, spec.attributes)
    parts = [_of_attributes(frame, spec, rules)]
    if rules.events or rules.patterns:
        parts.append(_read(event_entries(numbered(tables.snapshots), tables.events, rules).to_pyarrow(), ENTRY))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class RuleQuery:
    """The query for the log of `rule_log` summed by snapshot and rule: row, rule, milli."""

    spec: MatrixSpec
    rules: RulesParams

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        if not (self.rules.events or self.rules.patterns):
            return None
        return event_points(event_entries(moments, events, self.rules))

    def result(self, frame: pd.DataFrame, answer: pa.Table | None) -> pd.DataFrame:
        parts = [_of_attributes(frame, self.spec, self.rules)[SUM]]
        if answer is not None:
            parts.append(_read(answer, SUM))
        return pd.concat(parts, ignore_index=True)


def _of_attributes(frame: pd.DataFrame, spec: MatrixSpec, rules: RulesParams) -> pd.DataFrame:
    if not rules.attributes:
        return attribute_entries(pd.DataFrame(), rules)
    tested = {rule.attribute for rule in rules.attributes}
    facts = attribute_facts(frame, spec.attributes, spec.params, spec.vocabulary, tested)
    return attribute_entries(facts, rules)


def _read(entries: pa.Table, columns: list[str]) -> pd.DataFrame:
    """Make a frame of the entries, the rules' names as plain text, as those of attributes are."""
    return entries.to_pandas()[columns].astype({"row": "int64", "rule": "str", "milli": "int64"})
