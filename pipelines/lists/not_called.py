"""Leads of the best tier whom nobody has called since they entered it, or since a trigger: beside every list, each day.

What a list says is carried to the next one, so that a lead waits from its entry on however many lists are kept.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from models.kpis.response import uncalled
from pipelines.lists.response import NONE, contacts_of, fired_triggers
from pipelines.scoring.score_list import RankedList
from pipelines.storage.contract_store import Contract, Display
from pipelines.storage.files import write_csv, write_parquet
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
NOT_CALLED = "not_called"
PEOPLE = ["lead_id", "since", "minutes", "score", "tier_reason"]


def not_called(listed: RankedList, contract: Contract, run: RunContext, before: Path | None) -> pd.DataFrame | None:
    """Find the leads of the best tier that wait for a call, longest first.

    Parameters
    ----------
    before
        The folder of the list before; None: this is the first one.

    Returns
    -------
    DataFrame or None
        PEOPLE; None for tables without dates, and where neither a contact log nor an event says when sales called.
    """
    contacts = None if pd.isna(listed.as_of) else contacts_of(contract, run)
    if contacts is None:
        return None
    best, rows = run.params.tiers.names[0], listed.leads
    hot = rows.loc[rows["tier"] == best, ["lead_id", "score", "tier_reason", "previous_tier"]]
    entered = hot.loc[hot["previous_tier"] != best, ["lead_id"]].assign(at=listed.as_of)
    fired = fired_triggers(best, contract, run)
    seen = fired[(fired["at"] >= contacts.since) & (fired["at"] <= listed.as_of)]
    starts = pd.concat([entered, seen[["lead_id", "at"]], _carried(before)])
    found = uncalled(starts[starts["lead_id"].isin(hot["lead_id"])], contacts, listed.as_of)
    waiting = hot.merge(found, on="lead_id")[PEOPLE].sort_values(["since", "lead_id"], ignore_index=True)
    if late := int((waiting["minutes"] >= run.params.kpis.sla_minutes).sum()):
        log.warning("score: %s: %s leads wait for a call (%s.csv), %s of them longer than %s minutes", best,
                    f"{len(waiting):,}", NOT_CALLED, f"{late:,}", f"{run.params.kpis.sla_minutes:,}")  # fmt: skip
    return waiting


def _carried(before: Path | None) -> pd.DataFrame:
    """Return who waited on the list before, and since when; nobody where it does not say."""
    path = None if before is None else before / f"{NOT_CALLED}.parquet"
    if path is None or not path.is_file():
        return NONE[["lead_id", "at"]]
    return pd.read_parquet(path, columns=["lead_id", "since"]).rename(columns={"since": "at"})


def write_not_called(rows: pd.DataFrame | None, folder: Path, display: Display) -> None:
    """Write the rows for programs, and with what people are shown of leads for people."""
    if rows is None:
        return
    write_parquet(rows, folder / f"{NOT_CALLED}.parquet")
    write_csv(display.beside(rows), folder / f"{NOT_CALLED}.csv")
