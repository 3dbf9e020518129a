"""The population of a score list: the leads that are open on its day."""

from __future__ import annotations

import pandas as pd

from features.cohort.moments import is_day, moment_text
from features.cohort.snapshots import life_spans, one_per_lead
from features.matrix.matrix import MatrixSpec
from features.schema.declarations import SnapshotParams
from features.schema.errors import NoOpenLeadsError, ParamsError
from features.schema.lead_status import count_closed
from models.tiers.tier_rules import EXCLUDED
from pipelines.config.params import Params, require_day
from pipelines.scoring.history import leads_at_risk
from pipelines.storage.contract_store import Contract, read_matrix
from pipelines.storage.run_context import RunContext


def open_leads(contract: Contract, population: SnapshotParams | None, run: RunContext) -> tuple[pd.DataFrame, str]:
    """Return the leads to score (lead_id, snapshot_at) and a description of them.

    `population` says how old a lead may be; it is None for tables without dates. With dates: those open at
    `score.as_of`. Without: those whose outcome is not known; where all are known, the held-out leads are used, so that
    there is a list to look at.

    Raises
    ------
    NoOpenLeadsError
        Where no lead is open on the day.
    """
    if population is None:
        known = contract.outcomes.loc[contract.outcomes["converted"].notna(), "lead_id"]
        unknown = contract.leads[~contract.leads["lead_id"].isin(known)]
        if len(unknown):
            return one_per_lead(unknown), "leads without an outcome"
        matrix, _ = read_matrix(run.layout)
        held_out = matrix.loc[matrix["part"] == "test", "lead_id"]
        rows = contract.leads[contract.leads["lead_id"].isin(held_out)]
        return one_per_lead(rows), "held-out leads, as none is without an outcome"
    as_of = scoring_day(run.params, contract)
    rows = leads_at_risk(contract, pd.DatetimeIndex([as_of]).as_unit("us"), population)
    if rows.empty:
        raise _nobody(contract, population, as_of)
    return rows.sort_values("lead_id", ignore_index=True), f"leads open on {moment_text(as_of)}"


def closed_leads(listed: pd.DataFrame, contract: Contract, spec: MatrixSpec) -> dict[str, dict[str, int]]:
    """Count the leads of a list (lead_id, tier) that may be called although the CRM calls them closed."""
    called = listed.loc[listed["tier"] != EXCLUDED, "lead_id"]
    return count_closed(contract.leads[contract.leads["lead_id"].isin(called)], spec.attributes)


def _nobody(contract: Contract, population: SnapshotParams, as_of: pd.Timestamp) -> NoOpenLeadsError:
    """Say who would be on the list, and which limit of age keeps the open leads off it."""
    ends = life_spans(contract.leads, contract.outcomes)
    age = as_of - ends.loc[ends["closed"] >= as_of, "created_at"]
    age = age[age > pd.Timedelta(0)]
    young = int((age < pd.Timedelta(days=population.min_age_days)).sum())
    old = int((age > pd.Timedelta(days=population.max_age_days)).sum())
    limits = [*(["a smaller snapshots.min_age_days"] if young else []),
              *(["a larger snapshots.max_age_days"] if old else [])]  # fmt: skip
    return NoOpenLeadsError(
        "leads",
        "created_at",
        found=f"no lead open on {moment_text(as_of)}; of those not closed, {young:,} are younger and {old:,} older",
        expected=_expected(population),
        fix=" or ".join(["Choose another score.as_of", *limits]) + ".",
    )


def _expected(population: SnapshotParams) -> str:
    """Say who would be on the list; leads created at some time of day are no whole day old at midnight."""
    if population.min_age_days == population.max_age_days:
        return (
            f"leads exactly {population.min_age_days} days old at midnight that have not closed, which no lead created "
            "at another time of day is (snapshots.min_age_days is max_age_days)"
        )
    again = "" if population.revive_on is None else ", or older ones that acted lately,"
    return f"leads {population.min_age_days} to {population.max_age_days} days old{again} that have not closed"


def scoring_day(params: Params, contract: Contract) -> pd.Timestamp:
    """Return the moment, in UTC, as of which leads are scored: the beginning of a day, unless a time is given."""
    if params.score.as_of == "latest":
        return contract.data_until.floor("D") + pd.Timedelta(days=1)
    at = pd.Timestamp(params.score.as_of).as_unit("us")
    return at if at.tzinfo is None else at.tz_convert("UTC").tz_localize(None)


def list_day(params: Params, contract: Contract) -> pd.Timestamp:
    """Return the day of a list that is kept; raises ParamsError where `score.as_of` is a time of day."""
    require_day(params)
    return scoring_day(params, contract)


def one_lead(lead_id: str, contract: Contract, run: RunContext) -> pd.DataFrame:
    """Return one lead at the scoring day, open or not: lead_id, snapshot_at (NaT for tables without dates).

    Raises
    ------
    ParamsError
        Where no lead has this id, or it was created later.
    """
    lead = contract.leads[contract.leads["lead_id"] == lead_id]
    if lead.empty:
        raise ParamsError(
            f"no lead {lead_id!r} among the {len(contract.leads):,} of {run.layout.leads.path}; "
            "write its id as it is there"
        )
    if run.params.source.order != "dates":
        return one_per_lead(lead)[["lead_id", "snapshot_at"]]
    at, created = scoring_day(run.params, contract), lead["created_at"].iloc[0]
    if created >= at:
        raise ParamsError(
            f"lead {lead_id!r} was created on {created:%Y-%m-%d}, so there is nothing to explain at "
            f"{'the start of ' if is_day(at) else ''}{moment_text(at)}; give a later --as-of"
        )
    return pd.DataFrame({"lead_id": [lead_id], "snapshot_at": pd.Series([at], dtype="datetime64[us]")})
