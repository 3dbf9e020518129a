"""The wins of a contract that no list could hold."""

from __future__ import annotations

import pandas as pd

from features.cohort.snapshots import revivals_of
from models.evaluation.list_coverage import IntervalCoverage, ListCoverage
from models.evaluation.wins_on_no_list import DatedWins, by_interval, cover
from pipelines.config.params import Params
from pipelines.storage.contract_store import Contract


def closes_until(contract: Contract, params: Params) -> pd.Timestamp:
    """Return the last moment by which a won or lost deal would be known."""
    return contract.outcomes_until - pd.Timedelta(days=params.snapshots.outcome_lag_days)


def intervals(contract: Contract, params: Params) -> list[IntervalCoverage]:
    """Count which wins of the whole history lists of each interval could have held; none without dates."""
    if params.population is None:
        return []
    known = contract.outcomes[contract.outcomes["converted_at"] <= closes_until(contract, params)]
    wins = known.merge(contract.leads[["lead_id", "created_at"]], "inner", "lead_id")
    revivals = revivals_of(contract.events, contract.leads, params.population)
    return by_interval(wins, params.population, revivals, params.evaluate.confidence)


def list_coverage(contract: Contract, params: Params, first: str | None, last: str | None) -> ListCoverage | None:
    """Count the wins on no list, of all leads, around the lists from a first to a last day; None without dates."""
    if params.population is None or first is None or last is None:
        return None
    until = closes_until(contract, params)
    revivals = revivals_of(contract.events, contract.leads, params.population)
    wins = DatedWins.of(contract.leads, contract.outcomes, params.population, until, revivals)
    lists = (pd.Timestamp(first), pd.Timestamp(last))
    return cover(wins, params.population, lists, until, params.evaluate.confidence)
