"""Tiers on the held-out score lists: their sizes, conversions within capacity, and which rates can be certified."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import scipy

from models.points.scale import score
from models.scoring.scorer import ModelMetadata
from models.tiers.assignment import TierContext
from models.tiers.capacity import observed_wins, sampled_capacity
from models.tiers.certification import certify
from models.tiers.score_lists import assign_lists, share_changed, working_ranks
from models.tiers.tier_rules import TierFacts
from pipelines.config.params import Params
from pipelines.scoring.tier_inputs import tier_facts
from pipelines.storage.contract_store import Contract

log = logging.getLogger("leadscore")


def tier_metrics(
    rows: pd.DataFrame,
    log_odds: np.ndarray,
    metadata: ModelMetadata,
    params: Params,
    contract: Contract,
    sampled: float,
) -> tuple[dict[str, Any], pd.Series[str]]:
    """Put the leads of every held-out list into tiers, as scoring would have, and measure the result.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label of the test period.
    log_odds
        Of the model, shape (n,).
    sampled
        Share of the leads that the rows are; the same share of capacity falls to them.

    Returns
    -------
    dict
        policy, margin, capacity (leads of these rows a list), lists (snapshot_at and the number of leads in each tier),
        share_changed (from list to list), realised (see `capacity.observed_wins`) and certificates.
    Series
        The tier of each row, by the index of `rows`.
    """
    listed, facts, tiers = put_into_tiers(rows, log_odds, metadata, params, contract, sampled)
    capacity = sampled_capacity(params.capacity.per_period, sampled)
    rank = working_ranks(listed, tiers, params.tiers, facts)
    horizon = params.snapshots.horizon_days if params.source.order == "dates" else None
    certificates = certify(
        listed, tiers, rank, params.tiers.ladder, average=metadata.base_rate, sampled=sampled, horizon_days=horizon
    )
    for one in certificates:
        log.info("evaluate: %s", one.sentence)
    return {
        "policy": params.tiers.policy,
        "margin": params.tiers.margin,
        "capacity": capacity,
        "lists": _sizes(listed, tiers),
        "share_changed": share_changed(listed, tiers),
        "realised": observed_wins(listed, rank, capacity, params.evaluate.confidence),
        "certificates": [one.to_json() for one in certificates],
    }, tiers


def put_into_tiers(
    rows: pd.DataFrame,
    log_odds: np.ndarray,
    metadata: ModelMetadata,
    params: Params,
    contract: Contract,
    sampled: float,
) -> tuple[pd.DataFrame, TierFacts, pd.Series[str]]:
    """Return the rows as lists with their points, the facts for triggers and exclusions, and the tiers."""
    points = metadata.points.points(log_odds)
    listed = rows[["lead_id", "snapshot_at", "label"]].assign(
        probability=scipy.special.expit(log_odds), points=points, score=score(points)
    )
    facts = tier_facts(listed, contract, metadata.matrix, params.tiers)
    capacity = sampled_capacity(params.capacity.per_period, sampled)
    tiers = assign_lists(listed, TierContext(params.tiers, capacity, metadata.points, facts))
    return listed, facts, tiers


def _sizes(rows: pd.DataFrame, tiers: pd.Series[str]) -> list[dict[str, Any]]:
    day = rows["snapshot_at"].dt.strftime("%Y-%m-%d").fillna("")
    return [
        {"snapshot_at": at or None, "tiers": {str(name): int(n) for name, n in one.value_counts().sort_index().items()}}
        for at, one in tiers.groupby(day)
    ]
