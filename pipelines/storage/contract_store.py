"""The contract tables as the later stages read them."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from features.attributes.as_of import attributes_as_of
from features.matrix.matrix import FeatureQuery, LeadTables, MatrixQuery, MatrixSpec, numbered
from features.rules.declarations import RulesParams
from features.rules.point_log import RuleQuery
from features.schema.declarations import SnapshotParams
from features.schema.errors import DataError
from models.scoring.rule_points import points
from pipelines.config.sections import Project
from pipelines.config.source import LeadSource
from pipelines.storage.data_profile import DataProfile, check_event_columns, read_profile
from pipelines.storage.duckdb import memory_limit
from pipelines.storage.layout import Layout
from pipelines.storage.results import existing, read_snapshot_counts

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir


SHOWN = re.compile(r"<!--(display|lead)-->.*?<!--/\1-->", re.DOTALL)  # values are escaped, so that none can end it
SHARD_LEADS = 50_000  # leads whose features are computed at once, where they have no more than
SHARD_EVENTS = 4_000_000  # events, counted once for each snapshot; both bound memory, and never change a result


@dataclass(frozen=True)
class LeadShard:
    """Snapshots of the `number`th range of leads, indexed from 0, and those leads' data except their events."""

    number: int
    rows: pd.DataFrame
    leads: pd.DataFrame
    history: pd.DataFrame

    def attributes(self, spec: MatrixSpec) -> pd.DataFrame:
        """Return the rows with their leads' attributes as they stood then."""
        return attributes_as_of(self.rows, self.leads, self.history, spec.attributes)


@dataclass(frozen=True)
class Shard(LeadShard):
    """The same with the events, on the backend that computes."""

    events: ir.Table

    @property
    def tables(self) -> LeadTables:
        return LeadTables(self.rows, self.leads, self.history, self.events)


class ShardTask(Protocol):
    """What is done with each shard: an expression on the event log, and what is computed from its answer."""

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        """Return what is needed of the events; see `FeatureQuery`."""

    def finished(self, shard: LeadShard) -> pd.DataFrame | None:
        """Return the result that an interrupted run has left; None where there is none."""

    def compute(self, shard: LeadShard, answer: pa.Table | None) -> pd.DataFrame:
        """Return the shard's result, given the answer to the expression."""


@dataclass(frozen=True)
class QueryTask:
    """The task that puts a query's result, one row a snapshot, beside the shard's rows."""

    query: FeatureQuery

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        return self.query.expression(moments, events)

    def finished(self, shard: LeadShard) -> None:
        return None

    def compute(self, shard: LeadShard, answer: pa.Table | None) -> pd.DataFrame:
        return pd.concat([shard.rows, self.query.result(shard.attributes(self.query.spec), answer)], axis=1)


class _RulePoints(RuleQuery):
    """The query for the points by the hand-written rules, as `rule_points`."""

    def result(self, frame: pd.DataFrame, answer: pa.Table | None) -> pd.DataFrame:
        return pd.DataFrame({"rule_points": points(super().result(frame, answer), len(frame), self.rules)})


@dataclass(frozen=True)
class Contract:
    """Leads, outcomes and attribute history in memory; events on disk, behind DuckDB."""

    leads: pd.DataFrame
    outcomes: pd.DataFrame
    history: pd.DataFrame
    events: ir.Table
    profile: DataProfile

    @classmethod
    def open(cls, layout: Layout, project: Project) -> Contract:
        """Read what `ingest` wrote; raises DataError where it has not run, or where another version of it has."""
        profile = read_profile(layout)
        check_event_columns(profile, layout)
        events = connect(project).read_parquet(layout.events.path)
        return cls(**read_tables(layout), events=events, profile=profile)

    @property
    def data_until(self) -> pd.Timestamp:
        """The last moment that the data covers."""
        return pd.Timestamp(self.profile.data_until or "NaT").as_unit("us")

    @property
    def outcomes_until(self) -> pd.Timestamp:
        """The last moment by which outcomes are known, by which labels mature."""
        return pd.Timestamp(self.profile.outcomes_until or self.profile.data_until or "NaT").as_unit("us")

    def close(self) -> None:
        """Close the connection to DuckDB."""
        self.events.get_backend().disconnect()

    def matrix(
        self, snapshots: pd.DataFrame, spec: MatrixSpec, rules: RulesParams | None = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the snapshots with their features, a shard of leads at a time, by lead_id.

        With rules, a column `rule_points` too: the points by the hand-written rules, as known at the snapshot.
        """
        features = self.each(snapshots, QueryTask(MatrixQuery(spec)))
        if rules is None:
            yield from features
            return
        width = len(snapshots.columns)
        by_rules = self.each(snapshots, QueryTask(_RulePoints(spec, rules)))
        for rows, given in zip(features, by_rules, strict=True):
            yield pd.concat([given, rows.iloc[:, width:]], axis=1)

    def each(self, snapshots: pd.DataFrame, task: ShardTask) -> Iterator[pd.DataFrame]:
        """Do a task on every shard, and yield the results by lead_id."""
        for shard in self.shards(snapshots):
            result = task.finished(shard)
            if result is None:
                expression = task.expression(numbered(shard.rows), shard.events)
                result = task.compute(shard, None if expression is None else expression.to_pyarrow())
            yield result

    def shards(self, snapshots: pd.DataFrame) -> Iterator[Shard]:
        """Yield the snapshots with the tables of their leads, a range of leads at a time."""
        leads = pd.Series(snapshots["lead_id"].unique())
        leads = leads if leads.is_monotonic_increasing else leads.sort_values(ignore_index=True)
        size = self._shard_leads(len(snapshots), len(leads))
        firsts = [str(leads.iloc[start]) for start in range(0, len(leads), size)]
        lasts = [str(leads.iloc[min(start + size, len(leads)) - 1]) for start in range(0, len(leads), size)]
        tables = (_cut(frame, firsts, lasts) for frame in (snapshots, self.leads, self.history))
        for number, (rows, attributes, history) in enumerate(zip(*tables, strict=True)):
            events = self.events.filter(self.events.lead_id.between(firsts[number], lasts[number]))
            yield Shard(number, rows.reset_index(drop=True), attributes, history, events)

    def count_shards(self, snapshots: pd.DataFrame) -> int:
        """Count the shards that these snapshots make."""
        leads = snapshots["lead_id"].nunique()
        return math.ceil(leads / self._shard_leads(len(snapshots), leads))

    def _shard_leads(self, snapshots: int, leads: int) -> int:
        """Return how many leads a shard has, at the mean number of events and snapshots."""
        kept = {name: max(self.profile.tables[name].kept, 1) for name in ("leads", "events")}
        events = kept["events"] / kept["leads"] * snapshots / max(leads, 1)
        return max(1, min(SHARD_LEADS, int(SHARD_EVENTS / max(events, 1))))


def _cut(frame: pd.DataFrame, firsts: Sequence[str], lasts: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows of each range of leads, from its first lead to its last, in the frame's order."""
    lead = frame["lead_id"]
    by_lead = np.arange(len(lead)) if lead.is_monotonic_increasing else lead.argsort(kind="stable").to_numpy()

    def lead_at(index: int) -> str:
        return str(lead.iloc[index])

    for first, last in zip(firsts, lasts, strict=True):
        start, end = bisect_left(by_lead, first, key=lead_at), bisect_right(by_lead, last, key=lead_at)
        yield frame.iloc[np.sort(by_lead[start:end])]


Opener = Callable[[Layout, Project], Contract]  # the engine: Contract.open computes with DuckDB in this process


def read_tables(layout: Layout) -> dict[str, pd.DataFrame]:
    """Read the tables that are kept in memory, by their names in `Contract`."""
    files = {"leads": layout.leads, "outcomes": layout.outcomes, "history": layout.attribute_history}
    return {name: pd.read_parquet(file.path) for name, file in files.items()}


@dataclass(frozen=True)
class Display:
    """What people are shown of leads beside their scores, as the files say it today; no feature and no model has it.

    Attributes
    ----------
    cells
        Text by label, and `url`, the lead's address; the index is lead_id. Empty where `source.leads` shows nothing.
    """

    cells: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def read(cls, layout: Layout) -> Display:
        """Read what `ingest` wrote, if it wrote any."""
        path = layout.display.path
        return cls(pd.read_parquet(path).set_index("lead_id")) if path.is_file() else cls()

    @classmethod
    def read_mapped(cls, layout: Layout, leads: LeadSource) -> Display:
        """Read what the mapping shows; raises DataError where `ingest` has read another mapping."""
        display = cls.read(layout)
        if list(display.cells) != leads.shown:
            raise DataError(
                "display",
                "",
                found=f"the columns {list(display.cells)}",
                expected=f"{leads.shown}, as source.leads.display and url_template say",
                fix="Run `leadscore stage ingest` again.",
            )
        return display

    def beside(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with what people are shown right behind their lead_id."""
        if self.cells.columns.empty:
            return rows
        cells = self.cells.reindex(rows["lead_id"]).set_axis(rows.index)
        return pd.concat([rows[["lead_id"]], cells, rows.drop(columns="lead_id")], axis=1)

    def of(self, lead_id: str) -> dict[str, str]:
        """Return what is shown of one lead, by label, without what is empty."""
        if lead_id not in self.cells.index:
            return {}
        return {str(label): str(text) for label, text in self.cells.loc[lead_id].dropna().items()}


def without_leads(page: str) -> str:
    """Remove from a page whom it is about: ids and what is shown of `Display`, which stand between two comments."""
    return SHOWN.sub(lambda found: "(id left out)" if found[1] == "lead" else "", page)


def read_spec(layout: Layout) -> MatrixSpec:
    """Read which columns build_features made; raises DataError where it has not run."""
    if not layout.vocabulary.path.is_file():
        raise DataError(
            "vocabulary",
            "",
            found="no file",
            expected="what build_features writes",
            fix="Run `leadscore stage build-features` first.",
        )
    return MatrixSpec.model_validate_json(layout.vocabulary.path.read_text(encoding="utf-8"))


def read_matrix(layout: Layout, *, same_data: bool = True) -> tuple[pd.DataFrame, MatrixSpec]:
    """Read what build_features wrote; raises DataError where it has not run, and ModelError where it ran on other data.

    Newer tables do no harm to what has been tested: with `same_data=False` the matrix may be older than they are.
    """
    path = existing(layout.matrix.path, "build-features")
    if same_data:
        read_snapshot_counts(layout)
    return pd.read_parquet(path), read_spec(layout)


def read_moments(layout: Layout, population: SnapshotParams | None) -> pd.DataFrame | None:
    """Read the rows of moments between lists, as `read_matrix`; None where the parameters name no moments."""
    if population is None or population.moments is None:
        return None
    path = existing(layout.moments.path, "build-features")
    read_snapshot_counts(layout)
    return pd.read_parquet(path)


def connect(project: Project) -> ibis.BaseBackend:
    """Open an in-process DuckDB that uses the given cores and memory and never uses the network."""
    import ibis

    backend = ibis.duckdb.connect(threads=project.threads, memory_limit=memory_limit(project))
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
        backend.raw_sql(f"SET {setting} = false")
    backend.raw_sql("SET TimeZone = 'UTC'")
    return backend
