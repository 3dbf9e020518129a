"""What tiers need beside scores: facts for triggers and exclusions, previous tiers, and overrides by people."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ArrowException

from features.matrix.matrix import MatrixSpec
from features.rules.conditions import ConditionQuery, EventSeen
from features.schema.errors import DataError
from models.lists.second_thoughts import as_overrides, no_overrides
from models.scoring.scorer import ModelMetadata
from models.tiers.declarations import TierParams
from models.tiers.exploration import Quota, period_of
from models.tiers.overrides import EXCLUDED, TierFacts
from models.tiers.score_lists import previous_tiers
from pipelines.config.params import Params
from pipelines.storage.contract_store import Contract, QueryTask
from pipelines.storage.files import file_digest, write_parquet
from pipelines.storage.layout import Layout

TIER_COLUMNS = ["lead_id", "as_of", "model_id", "earned_tier", "previous_tier"]
DEAL_VALUE = "deal_value"
STORE = "overrides.parquet"
log = logging.getLogger("leadscore")


def override_facts(
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


# Overrides: the file beside the lists, and the table of the source; each is replaced as a whole


def stores(layout: Layout, folder: Path) -> list[Path]:
    """Return the files that hold overrides of the lists in a folder, those of the source first."""
    return [layout.overrides.path, folder / STORE]


def read_overrides(files: Sequence[Path], tiers: Sequence[str]) -> pd.DataFrame:
    """Read all overrides, those of the first file first.

    Raises
    ------
    DataError
        Where a file cannot be read, or an override gives a tier that is none of `tiers`, nor excluded.
    """
    given = [as_overrides(_read(path)) for path in files if path.is_file()]
    rows = pd.concat(given, ignore_index=True) if given else no_overrides()
    wrong = rows[(rows["tier"] != "") & ~rows["tier"].isin([*tiers, EXCLUDED])]
    empty = rows[(rows["tier"] == "") & rows["points"].isna()]
    for bad, found in ((wrong, "tier"), (empty, "neither a tier nor points")):
        if len(bad):
            tier = bad["tier"].iloc[0]
            raise DataError(
                "overrides",
                "tier",
                found=f"{found} {tier!r} in {len(bad):,} overrides" if tier else f"{found} in {len(bad):,} overrides",
                expected=f"a tier ({', '.join([*tiers, EXCLUDED])}) or points",
                fix="Correct the table of source.overrides, or take the override back with `leadscore lead override`.",
            )
    return rows


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            "overrides",
            "",
            found=f"{path}, which cannot be read ({str(error).splitlines()[0]})",
            expected="what `leadscore lead override` writes",
            fix="Restore it, or remove it and give the overrides again.",
        ) from None


def digest(files: Sequence[Path]) -> str:
    """Return what tells one state of the files from another, "" where there is none of them."""
    return " ".join(file_digest(path) for path in files if path.is_file())


def add_override(file: Path, row: dict[str, object]) -> None:
    """Add one override to a file."""
    rows = as_overrides(_read(file)) if file.is_file() else no_overrides()
    write_parquet(as_overrides(pd.concat([rows.astype(object), pd.DataFrame([row])], ignore_index=True)), file)


def take_back(file: Path, lead_id: str, at: pd.Timestamp) -> int:
    """Mark the overrides of a lead that are in force as taken back; return how many there were."""
    if not file.is_file():
        return 0
    rows = as_overrides(_read(file))
    meant = (rows["lead_id"] == lead_id) & rows["withdrawn_at"].isna()
    if meant.any():
        write_parquet(rows.assign(withdrawn_at=rows["withdrawn_at"].mask(meant, at)), file)
    return int(meant.sum())
