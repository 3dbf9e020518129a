"""A service on a small model and an empty store, with a clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI

from models.scoring.scorer import Scorer
from pipelines.scoring.override_store import STORE
from pipelines.serving.app import Service, build_app
from pipelines.serving.champion import Champion, Origin
from pipelines.serving.facts import Defaults
from pipelines.serving.guard import Limits
from pipelines.serving.store import FactStore
from pipelines.storage.bundle import save_bundle
from tests.support.asgi import Answer, call
from tests.support.small_model import scorer
from tests.support.tables import ATTRIBUTES, MONDAY, PARAMS, Row

DEFAULTS = Defaults("inbound", "online", "UTC")
REASONS = 3
TIERS = PARAMS.tiers.model_copy(update={"triggers": [], "exclusions": []})  # they ask for other attributes


@dataclass
class SmallServer:
    """The service and its application."""

    folder: Path
    service: Service
    clock: list[pd.Timestamp]
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        self.app = build_app(self.service)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        return call(self.app, "POST", path, body, headers)

    def get(self, path: str, **headers: str) -> Answer:
        return call(self.app, "GET", path, None, headers)


def small_server(folder: Path, model: Scorer | None = None, token: str | None = None, **limits: Any) -> SmallServer:
    bundle = folder / "model"
    if not bundle.exists():
        save_bundle(model or scorer(), bundle)
    champion = Champion.take(Origin(bundle, folder / "score_summary.json", TIERS, REASONS, [folder / STORE]))
    store = FactStore.open(FactStore.url_of(folder / "serve.sqlite"), DEFAULTS)
    clock = [MONDAY]
    service = Service(champion, store, lambda: clock[0], token, Limits(**limits))
    return SmallServer(folder, service, clock)


def zoned(moment: pd.Timestamp) -> str:
    return f"{moment.isoformat(timespec='microseconds')}Z"


def lead_body(row: Row) -> dict[str, Any]:
    """A lead of the contract as JSON."""
    attributes = {name: row.get(name) for name in ATTRIBUTES}
    return {"lead_id": row["lead_id"], "created_at": zoned(row["created_at"]), "attributes": attributes}


def event_body(row: Row, **more: Any) -> dict[str, Any]:
    """An event of the contract as JSON."""
    kept = {name: row[name] for name in ("event_type", "direction", "channel", "value")}
    return kept | {"event_at": zoned(row["event_at"])} | more
