"""What tiers need from the data and the list in place: facts for triggers and exclusions, and previous tiers."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from features.conditions import EventSeen, conditions_held
from features.errors import DataError
from features.fit import attributes_as_of
from features.matrix import MatrixSpec
from models.overrides import Facts
from models.tier_lists import previous_tiers
from models.tiers import TierParams
from pipelines.store import Contract, Shard

LISTED = ["lead_id", "as_of", "model_id", "earned_tier", "previous_tier"]
log = logging.getLogger("leadscore")


def facts_of(rows: pd.DataFrame, contract: Contract, spec: MatrixSpec, tiers: TierParams) -> Facts:
    """Ask what triggers and exclusions ask about leads at their moments, and for their deal values.

    Parameters
    ----------
    rows
        lead_id, snapshot_at; one row a lead and moment. An event counts when event_at < snapshot_at and known_at <=
        snapshot_at, as everywhere.

    Returns
    -------
    Facts
        With the index of `rows`.
    """
    _warn_of_types(contract, tiers)
    numbered = rows[["lead_id", "snapshot_at"]].assign(row=np.arange(len(rows)))
    shards = [_facts_of_shard(shard, spec, tiers) for shard in contract.shards(numbered)]
    place = np.argsort(np.concatenate([shard["row"] for shard, _ in shards])) if shards else np.arange(0)
    empty = pd.DataFrame(columns=[one.name for one in tiers.triggers + tiers.exclusions], dtype=bool)
    held = pd.concat([empty, *(shard.drop(columns="row") for shard, _ in shards)], ignore_index=True)
    deal_value = pd.concat([pd.Series(dtype="float64"), *(value for _, value in shards)], ignore_index=True)
    return Facts(held.iloc[place].set_axis(rows.index), deal_value.iloc[place].set_axis(rows.index))


def _facts_of_shard(shard: Shard, spec: MatrixSpec, tiers: TierParams) -> tuple[pd.DataFrame, pd.Series[float]]:
    conditions = {one.name: one.when for one in tiers.triggers + tiers.exclusions}
    held = conditions_held(*shard.tables, spec, conditions).assign(row=shard.rows["row"])
    attribute = tiers.value.attribute
    if attribute is None:
        return held, pd.Series(np.nan, index=held.index)
    frame = attributes_as_of(shard.rows, shard.leads, shard.history, spec.attributes)
    return held, frame[attribute].astype("float64").reset_index(drop=True)


def _warn_of_types(contract: Contract, tiers: TierParams) -> None:
    """Say which event types of triggers and exclusions no event has: misspelt, or not come yet."""
    asked = {
        name for one in tiers.triggers + tiers.exclusions if isinstance(one.when, EventSeen) for name in one.when.types
    }
    if asked:
        seen = contract.events.select("event_type").distinct().to_pyarrow().column("event_type").to_pylist()
        for name in sorted(asked.difference(seen)):
            log.warning("tiers: a trigger or exclusion asks for event type %r, which no event has", name)


def tiers_in_place(path: Path, as_of: pd.Timestamp | None, model_id: str) -> pd.Series[str] | None:
    """Return the tiers that a new list is compared with; see `tier_lists.previous_tiers`.

    Parameters
    ----------
    path
        The scores of the list in place; there need be none.

    Raises
    ------
    DataError
        Where the list in place cannot be read.
    """
    if not path.is_file():
        return None
    try:
        known = set(pq.read_schema(path).names)
        in_place = pd.read_parquet(path, columns=[name for name in LISTED if name in known])
    except (OSError, ArrowException) as error:
        raise DataError(
            path.name,
            "",
            found=f"a file that cannot be read ({error})",
            expected="the previous list of scores, whose tiers leads keep within tiers.margin",
            fix=f"Restore {path}, or remove it so that tiers begin anew.",
        ) from None
    if known.issuperset(LISTED):
        return previous_tiers(in_place, as_of, model_id)
    return None  # a list of a version that kept no such record
