"""What tiers need beside scores: facts for triggers and exclusions, and previous tiers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ArrowException

from features.matrix.matrix import MatrixSpec
from features.rules.conditions import ConditionQuery, EventSeen
from features.schema.errors import DataError
from models.scoring.scorer import ModelMetadata
from models.tiers.declarations import TierParams
from models.tiers.exploration import Quota, period_of
from models.tiers.score_lists import previous_tiers
from models.tiers.tier_rules import TierFacts
from pipelines.config.params import Params
from pipelines.storage.contract_store import Contract, QueryTask

if TYPE_CHECKING:
    import ibis.expr.types as ir


TIER_COLUMNS = ["lead_id", "as_of", "model_id", "earned_tier", "previous_tier"]
DEAL_VALUE = "deal_value"
log = logging.getLogger("leadscore")


def tier_facts(
    rows: pd.DataFrame, contract: Contract, spec: MatrixSpec, tiers: TierParams, *, current: bool = False
) -> TierFacts:
    """Evaluate the conditions of triggers and exclusions for leads at their moments, and look up their deal values.

    Parameters
    ----------
    rows
        lead_id, snapshot_at; one row a lead and moment. An event counts when event_at < snapshot_at and known_at <=
        snapshot_at, as everywhere.
    current
        Whether they are a list to call from; see `ConditionQuery`.

    Returns
    -------
    Facts
        With the index of `rows`.
    """
    warn_of_types(contract, tiers)
    numbered = rows[["lead_id", "snapshot_at"]].assign(row=np.arange(len(rows)))
    empty = pd.DataFrame(columns=["row", *(field.name for field in fact_columns(tiers))])
    columns = pd.concat(contract.each(numbered, QueryTask(FactsQuery(spec, tiers, current)))) if len(rows) else empty
    return name_facts(columns.sort_values("row").set_axis(rows.index), tiers)


@dataclass(frozen=True)
class FactsQuery:
    """The query whether each trigger and exclusion holds, by its number, and for the deal value."""

    spec: MatrixSpec
    tiers: TierParams
    current: bool

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        return self._conditions.expression(moments, events)

    def result(self, frame: pd.DataFrame, answer: pa.Table | None) -> pd.DataFrame:
        """Return `fact_columns`; see `ConditionQuery.result`."""
        held = self._conditions.result(frame, answer)
        attribute, deal_value = self.tiers.value.attribute, pd.Series(np.nan, index=held.index)
        if attribute is not None:
            deal_value = frame[attribute].astype("float64")
        return held.set_axis(_condition_columns(self.tiers), axis=1).assign(**{DEAL_VALUE: deal_value.to_numpy()})

    @property
    def _conditions(self) -> ConditionQuery:
        conditions = {one.name: one.when for one in self.tiers.triggers + self.tiers.exclusions}
        return ConditionQuery(self.spec, conditions, self.current)


def name_facts(columns: pd.DataFrame, tiers: TierParams) -> TierFacts:
    """Name the columns that `FactsQuery` returned; the index stays."""
    names = [one.name for one in tiers.triggers + tiers.exclusions]
    return TierFacts(
        columns[_condition_columns(tiers)].astype("bool").set_axis(names, axis=1), columns[DEAL_VALUE].astype("float64")
    )


def fact_columns(tiers: TierParams) -> list[pa.Field]:
    """Return the columns that `FactsQuery` returns."""
    return [pa.field(name, pa.bool_()) for name in _condition_columns(tiers)] + [pa.field(DEAL_VALUE, pa.float64())]


def _condition_columns(tiers: TierParams) -> list[str]:
    """Return column names that stand for the names of triggers and exclusions, which may be any text."""
    return [f"condition_{number}" for number in range(len(tiers.triggers) + len(tiers.exclusions))]


def warn_of_types(contract: Contract, tiers: TierParams) -> None:
    """Warn of event types in triggers and exclusions that no event has: misspelt, or not seen yet."""
    types = {
        name for one in tiers.triggers + tiers.exclusions if isinstance(one.when, EventSeen) for name in one.when.types
    }
    if types:
        seen = contract.events.select("event_type").distinct().to_pyarrow().column("event_type").to_pylist()
        for name in sorted(types.difference(seen)):
            log.warning("tiers: a trigger or exclusion names event type %r, which no event has", name)


def exploration_quota(as_of: pd.Timestamp, metadata: ModelMetadata, params: Params) -> Quota:
    """Return the exploration quota of a score list that a model makes on a day."""
    return Quota(params.exploration.share, params.project.seed, period_of(as_of, metadata.snapshots))


def read_previous_tiers(path: Path, as_of: pd.Timestamp | None, model_id: str) -> pd.Series[str] | None:
    """Return the tiers that a new list is compared with; see `score_lists.previous_tiers`.

    Parameters
    ----------
    path
        The scores of the current list; there may be none.

    Raises
    ------
    DataError
        Where the current list cannot be read.
    """
    if not path.is_file():
        return None
    try:
        known = set(pq.read_schema(path).names)
        current = pd.read_parquet(path, columns=[name for name in TIER_COLUMNS if name in known])
    except (OSError, ArrowException) as error:
        raise DataError(
            path.name,
            "",
            found=f"a file that cannot be read ({error})",
            expected="the previous list of scores, whose tiers leads keep within tiers.margin",
            fix=f"Restore {path}, or remove it so that tiers start afresh.",
        ) from None
    if known.issuperset(TIER_COLUMNS):
        return previous_tiers(current, as_of, model_id)
    return None  # written by a version that kept no such record
