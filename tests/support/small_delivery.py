"""Lists of scores, a CRM to deliver them to, and what it shows afterwards."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipelines.config.delivery import Delivery
from pipelines.config.params import Params
from pipelines.delivery import deliver
from pipelines.storage.files import write_parquet
from tests.support.crm_server import SLOW_S, CrmServer
from tests.support.tables import PARAMS

Kind = Literal["hubspot", "salesforce"]
KINDS: tuple[Kind, ...] = ("hubspot", "salesforce")
VARIABLES = {"hubspot": "HUBSPOT_TOKEN", "salesforce": "SALESFORCE_TOKEN"}
Scores = dict[str, tuple[int, str]]


def section(crm: CrmServer, folder: Path, **changed: Any) -> dict[str, Any]:
    """The delivery parameters of a test."""
    settings: dict[str, Any] = {
        "state": str(folder / "state"),
        "timeout_s": SLOW_S / 2,
        crm.kind: {"base_url": crm.url},
    }
    for key, value in changed.items():
        settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    return settings


def params_for(crm: CrmServer, folder: Path, **changed: Any) -> Params:
    tree = PARAMS.delivery.model_dump(by_alias=True)
    for key, value in section(crm, folder, **changed).items():
        tree[key] = tree[key] | value if isinstance(value, dict) and key in KINDS else value
    return PARAMS.model_copy(update={"delivery": Delivery.model_validate(tree)})


def put(folder: Path, scores: Scores, day: str = "2026-11-01") -> Path:
    """A finished folder with these leads' scores and tiers."""
    rows = pd.DataFrame(
        {
            "lead_id": pd.Series(list(scores), dtype="str"),
            "as_of": pd.Series([pd.Timestamp(day)] * len(scores), dtype="datetime64[us]"),
            "score": np.array([score for score, _ in scores.values()], dtype="int64"),
            "tier": pd.Series([tier for _, tier in scores.values()], dtype="str"),
            "probability": [score / 100 for score, _ in scores.values()],
        }
    )
    write_parquet(rows, folder / "scores" / "scores.parquet")
    return folder / "scores"


def many(n: int, score: int = 50) -> Scores:
    return {f"L{number:04d}": (score + number % 7, "warm") for number in range(n)}


def run(crm: CrmServer, folder: Path, scores: Scores, day: str = "2026-11-01", **changed: Any) -> list[float]:
    """Deliver a list and return the waits that were requested."""
    waits: list[float] = []
    deliver.deliver(params_for(crm, folder, **changed), put(folder, scores, day), crm.kind, waits.append)
    return waits


def held(crm: CrmServer) -> Scores:
    """What the CRM shows."""
    names = ("lead_score", "lead_tier") if crm.kind == "hubspot" else ("Lead_Score__c", "Lead_Tier__c")
    return {lead: (int(record[names[0]]), record[names[1]]) for lead, record in crm.records.items()}


def books(params: Params, kind: str) -> dict[str, Any]:
    """Everything in the state file."""
    (path,) = Path(params.delivery.state).glob(f"{kind}-*.sqlite")
    with sqlite3.connect(path) as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("held", "outbox")}
