"""The revenue of the later period's lists, as the model would have given them, for kpis.json and by owner."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import scipy

from features.attributes.as_of import attributes_as_of
from features.matrix.matrix import MatrixSpec
from models.kpis.revenue import GroupRevenue, RevenueResult, RevenueRows, revenue_gains, revenue_groups
from models.kpis.tier_kpis import of_leads, period_of
from models.points.scale import score
from models.scoring.scorer import ModelMetadata
from models.tiers.assignment import TierContext
from models.tiers.score_lists import assign_lists, best_first, working_ranks
from models.tiers.tier_rules import EXCLUDED, TierFacts
from pipelines.config.params import Params
from pipelines.revenue.deal_values import RANK_COLUMN, DealValues, values_of
from pipelines.storage.contract_store import Contract, Display
from pipelines.storage.files import write_csv
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
NO_OWNER = "without an owner"


def write_revenue(
    rows: pd.DataFrame, facts: TierFacts, spec: MatrixSpec, capacity: int, contract: Contract, run: RunContext
) -> RevenueResult | None:
    """Return what the lists brought, and write it by owner, as a file that no tracked file repeats; see below."""
    path = run.layout.revenue_by_owner.path
    path.unlink(missing_ok=True)
    display = Display.read_mapped(run.layout, run.params.source.leads) if run.params.money.owner else Display()
    found = list_revenue(rows, facts, contract, spec, run.params, capacity, display)
    if found is None:
        return None
    if found[1]:
        write_csv(pd.DataFrame([one.model_dump() for one in found[1]]).drop(columns="group"), path)
    for line in found[0].lines:
        log.info("kpis: %s", line)
    return found[0]


def money_tiers(
    rows: pd.DataFrame, facts: TierFacts, metadata: ModelMetadata, capacity: int, contract: Contract, params: Params
) -> pd.Series[str]:
    """Return the tiers of past lists that are ranked by money; those by probability where none asks for another rank.

    Parameters as of `list_revenue`; deal values are learned from the deals won before the first list.
    """
    column = RANK_COLUMN.get(params.money.rank_by)
    deals = None
    if column is not None and len(rows):
        deals = DealValues.learn(contract, metadata.matrix, params.money, rows["snapshot_at"].min())
    if deals is None:
        return rows["tier"]
    worth = deals.columns(rows["probability"], rows[["lead_id", "snapshot_at"]], params.evaluate.confidence)[column]
    points = metadata.points.points(scipy.special.logit(rows["probability"].to_numpy("float64")))
    listed = rows.assign(rank_value=worth, points=points, score=score(points))
    return assign_lists(listed, TierContext(params.tiers, capacity, metadata.points, facts))


def list_revenue(
    rows: pd.DataFrame, facts: TierFacts, contract: Contract, spec: MatrixSpec, params: Params, capacity: int,
    display: Display,
) -> tuple[RevenueResult, list[GroupRevenue]] | None:  # fmt: skip
    """Measure what the lists brought; deal values are learned from the deals won before the first of them.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label, probability, tier, and rule_points where there are rules; one a lead and list.
    capacity
        Leads called of each list.

    Returns
    -------
    The figures, and the revenue by owner, whose names no tracked file may hold; None without money, or without values.
    """
    rows = rows[rows["label"].notna()]
    deals = DealValues.learn(contract, spec, params.money, rows["snapshot_at"].min()) if len(rows) else None
    if deals is None:
        return None
    outcomes = contract.outcomes.set_index("lead_id")["converted_at"]
    log_value, spread = deals.logs(rows)
    known = rows[["lead_id", "snapshot_at", "label", "probability", "tier"]].assign(
        won_at=of_leads(rows["lead_id"], outcomes),
        value=values_of(rows["lead_id"], contract, params.money).where(rows["label"] == 1),
        log_value=log_value,
        called=_called(rows, facts, deals, params, capacity),
    )
    known["value"] = known["value"].where(known["value"] > 0)
    if params.rules.names:
        known["called_by_rules"] = _rank(rows, rows["rule_points"]) < capacity
    model, cost = deals.model, params.tiers.value.call_cost
    given = RevenueRows(known, spread, model.residuals, cost, params.evaluate.confidence, params.project.seed)
    result = RevenueResult(
        deals=model.n,
        constant=model.constant,
        told=model.gain,
        without_value=given.without_value,
        groups=revenue_groups(given, _names(rows, contract, spec, params)),
        gains=revenue_gains(given),
    )
    return result, _by_owner(given, display, params)


def _called(rows: pd.DataFrame, facts: TierFacts, deals: DealValues, params: Params, capacity: int) -> pd.Series[bool]:
    column = RANK_COLUMN.get(params.money.rank_by)
    if column is None:
        return working_ranks(rows, rows["tier"], params.tiers, facts) < capacity
    worth = deals.columns(rows["probability"], rows[["lead_id", "snapshot_at"]], params.evaluate.confidence)[column]
    return _rank(rows, worth.mask(rows["tier"] == EXCLUDED, -np.inf)) < capacity


def _rank(rows: pd.DataFrame, by: pd.Series[float]) -> pd.Series[int]:
    """Return each lead's rank, from 0, on its list, the highest first; ties broken by lead_id."""
    best = best_first(rows.assign(rank_value=by))
    return rows.iloc[best].groupby("snapshot_at", dropna=False).cumcount().reindex(rows.index)


def _names(rows: pd.DataFrame, contract: Contract, spec: MatrixSpec, params: Params) -> dict[str, pd.Series[str]]:
    names: dict[str, pd.Series[str]] = {params.kpis.period: period_of(rows["snapshot_at"], params.kpis)}
    if params.money.groups:
        moments = rows[["lead_id", "snapshot_at"]]
        known = attributes_as_of(moments, contract.leads, contract.history, spec.attributes).set_axis(rows.index)
        names |= {name: known[name].fillna("").astype("str") for name in params.money.groups}
    return names


def _by_owner(given: RevenueRows, display: Display, params: Params) -> list[GroupRevenue]:
    label = params.money.owner
    if not label:
        return []
    owner = of_leads(given.rows["lead_id"], display.cells[label]).fillna(NO_OWNER).astype("str")
    return [one for one in revenue_groups(given, {"owner": owner}) if one.group == "owner"]
