"""Dynamics 365: the request of the published schema, all or none of a batch, and who is at fault set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from features.schema.errors import DeliveryError
from pipelines.config.delivery import Delivery, Dynamics
from pipelines.delivery import deliver
from pipelines.delivery.crm import DynamicsScores, Message
from tests.support.crm_server import TOKEN
from tests.support.loopback import SilentHandler, on_loopback
from tests.support.small_delivery import Scores, put
from tests.support.tables import PARAMS

PATH = "/api/data/v9.2/msdyn_predictivescores/Microsoft.Dynamics.CRM.UpsertMultiple"


class Dataverse(SilentHandler, BaseHTTPRequestHandler):
    """A table with an alternate key, which takes a batch as a whole or refuses it as a whole."""

    rows: ClassVar[dict[str, dict[str, Any]]] = {}
    refused = "no-guid"

    def do_POST(self) -> None:
        targets = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Targets"]
        if self.path != PATH or self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._reply(404 if self.path != PATH else 401)
        elif any(self.refused in one["@odata.id"] for one in targets):
            self._reply(400, {"error": {"code": "0x80060891", "message": "no record of that key"}})
        else:
            assert {one["@odata.type"] for one in targets} == {"Microsoft.Dynamics.CRM.msdyn_predictivescore"}
            self.rows.update({one.pop("@odata.id"): one for one in targets})
            self._reply(204)

    def _reply(self, status: int, tree: Any = None) -> None:
        content = json.dumps(tree).encode() if tree else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving() -> Iterator[str]:
    Dataverse.rows.clear()
    with on_loopback(Dataverse) as url:
        yield url


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DYNAMICS_TOKEN", TOKEN)


def send(url: str, folder: Path, scores: Scores) -> None:
    settings = Delivery(state=str(folder / "state"), dynamics=Dynamics(base_url=url, batch=2))
    params = PARAMS.model_copy(update={"delivery": settings})
    deliver.deliver(params, put(folder, scores), "dynamics", lambda _: None)


def test_scores_and_grades_arrive_and_who_is_at_fault_is_set_aside(tmp_path: Path) -> None:
    with serving() as url, pytest.raises(DeliveryError, match="dynamics did not take 1 leads"):
        send(url, tmp_path, {"a1": (90, "hot"), "no-guid": (5, "cold"), "b2": (40, "warm"), "c3": (3, "excluded")})
    assert {key: (row["msdyn_score"], row["msdyn_grade"]) for key, row in Dataverse.rows.items()} == {
        f"msdyn_predictivescores(msdyn_entityid='{lead}',msdyn_entitytype='lead')": content
        for lead, content in (("a1", (90, 0)), ("b2", (40, 1)), ("c3", (3, 3)))
    }


def test_a_quote_in_an_id_stays_in_its_key() -> None:
    request = DynamicsScores(Dynamics(base_url="https://x.crm.dynamics.com")).request([Message("a'b(1)", "k", {})])
    (row,) = request.body["Targets"]
    assert row["@odata.id"] == "msdyn_predictivescores(msdyn_entityid='a%27%27b%281%29',msdyn_entitytype='lead')"
    assert request.url == f"https://x.crm.dynamics.com{PATH}"
