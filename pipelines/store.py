"""The contract tables as the later stages read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.errors import DataError
from features.matrix import MatrixSpec, feature_matrix
from features.rule_matrix import rule_sums
from features.rule_spec import RulesParams
from models.rules import points
from pipelines.artifacts import Layout
from pipelines.params import Project

SHARD_LEADS = 50_000  # leads whose features are computed at once; bounds memory, never changes a result


@dataclass(frozen=True)
class Shard:
    """Snapshots of a range of leads, indexed from 0, and what the contract tables hold of those leads."""

    rows: pd.DataFrame
    leads: pd.DataFrame
    history: pd.DataFrame
    events: ir.Table

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, ir.Table]:
        return self.rows, self.leads, self.history, self.events


@dataclass(frozen=True)
class Contract:
    """Leads, outcomes and attribute history in memory; events on disk, behind DuckDB."""

    leads: pd.DataFrame
    outcomes: pd.DataFrame
    history: pd.DataFrame
    events: ir.Table
    profile: dict[str, Any]

    @classmethod
    def open(cls, layout: Layout, project: Project) -> Contract:
        """Read what `ingest` wrote; raises DataError where it has not run."""
        profile = read_profile(layout)
        return cls(
            leads=pd.read_parquet(layout.leads.path),
            outcomes=pd.read_parquet(layout.outcomes.path),
            history=pd.read_parquet(layout.attribute_history.path),
            events=connect(project).read_parquet(layout.events.path),
            profile=profile,
        )

    @property
    def data_until(self) -> pd.Timestamp:
        """The last moment the data speaks of."""
        return pd.Timestamp(self.profile["data_until"]).as_unit("us")

    def close(self) -> None:
        """Let go of DuckDB."""
        self.events.get_backend().disconnect()

    def matrix(
        self, snapshots: pd.DataFrame, spec: MatrixSpec, rules: RulesParams | None = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the snapshots with their features, a shard of leads at a time, by lead_id.

        With rules, `rule_points` beside the features: what the hand-written rules give, as known at the snapshot.
        """
        for shard in self.shards(snapshots):
            rows = shard.rows
            if rules is not None:
                rows = rows.assign(rule_points=points(rule_sums(*shard.tables, spec, rules), len(rows), rules))
            yield pd.concat([rows, feature_matrix(*shard.tables, spec)], axis=1)

    def shards(self, snapshots: pd.DataFrame) -> Iterator[Shard]:
        """Yield the snapshots with the tables of their leads, a range of leads at a time."""
        ordered = pd.Index(np.sort(snapshots["lead_id"].unique()))
        tables = snapshots, self.leads, self.history
        shard_of = [ordered.get_indexer(table["lead_id"]) // SHARD_LEADS for table in tables]  # -1: none
        for number, start in enumerate(range(0, len(ordered), SHARD_LEADS)):
            first, last = ordered[start], ordered[min(start + SHARD_LEADS, len(ordered)) - 1]
            rows, leads, history = (table[of == number] for table, of in zip(tables, shard_of, strict=True))
            events = self.events.filter(self.events.lead_id.between(str(first), str(last)))
            yield Shard(rows.reset_index(drop=True), leads, history, events)


def read_profile(layout: Layout) -> dict[str, Any]:
    """Read what `ingest` learned of the data: counts, ranges, the last moment and the fingerprint."""
    if not layout.profile.path.is_file():
        raise DataError("contract", "", found="no tables", expected="what ingest writes", fix="Run ingest first.")
    profile: dict[str, Any] = json.loads(layout.profile.path.read_text(encoding="utf-8"))
    return profile


def read_spec(layout: Layout) -> MatrixSpec:
    """Read which columns build_features made; raises DataError where it has not run."""
    if not layout.vocabulary.path.is_file():
        raise DataError("vocabulary", "", found="no file", expected="what build_features writes", fix="Run it first.")
    return MatrixSpec.model_validate_json(layout.vocabulary.path.read_text(encoding="utf-8"))


def read_matrix(layout: Layout) -> tuple[pd.DataFrame, MatrixSpec]:
    """Read what build_features wrote; raises DataError where it has not run."""
    if not layout.matrix.path.is_file():
        raise DataError("matrix", "", found="no file", expected="what build_features writes", fix="Run it first.")
    return pd.read_parquet(layout.matrix.path), read_spec(layout)


def connect(project: Project) -> ibis.BaseBackend:
    """Open an in-process DuckDB that uses the given cores and memory and never reaches for the network."""
    backend = ibis.duckdb.connect(threads=project.threads, memory_limit=project.duckdb_memory)
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
        backend.raw_sql(f"SET {setting} = false")
    backend.raw_sql("SET TimeZone = 'UTC'")
    return backend
