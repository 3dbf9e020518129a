"""CRMs on this machine that answer like HubSpot and Salesforce, with faults to order, and books of what changed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from tests.support.loopback import SilentHandler, on_loopback

TOKEN = "t0p-s3cret-t0ken"  # noqa: S105  # of no real account
SLOW_S = 2.0
Trouble = Literal[
    "", "busy", "busy_until", "failed", "broken", "reset", "reset_after", "slow", "slow_after", "torn", "partly",
    "unnamed", "forgotten", "twice", "moved"
]  # fmt: skip
# The request is carried out, and the answer goes astray:
AFTER_WRITING = ("reset_after", "slow_after", "torn", "unnamed", "forgotten")
BATCH = {"hubspot": 100, "salesforce": 200}


@dataclass
class CrmServer:
    """A CRM's records, and the requests that it got.

    Attributes
    ----------
    troubles
        What happens to the next requests, in order; then all goes well.
    before, after
        Called before a request is carried out, which `before` may forbid, and after that.
    poison
        Leads whose records are refused for good; `whole`: so that their whole batch is refused with HTTP 400,
        `crash`: so that it fails with HTTP 500.
    changes
        How often the content of each lead's record has changed: its effective updates.
    sent
        How often each lead was sent, with which content.
    """

    kind: Literal["hubspot", "salesforce"]
    url: str = ""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    poison: dict[str, Literal["alone", "whole", "crash"]] = field(default_factory=dict)
    before: Callable[[], bool] = lambda: True
    after: Callable[[], object] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, lead: str, content: dict[str, Any]) -> bool:
        """Bring one record up to date and count it if that changed anything."""
        self.sent[lead, json.dumps(content, sort_keys=True)] += 1
        if lead in self.poison:
            return False
        new = self.records.get(lead, {}) | content
        self.changes[lead] += new != self.records.get(lead)
        self.records[lead] = new
        return True

    def carry_out(self, body: dict[str, Any], id_field: str) -> list[tuple[str, str, bool]]:
        """Write a request's records; returns lead, its key if any, and whether it was taken."""
        inputs = body["inputs"] if self.kind == "hubspot" else body["records"]
        assert 0 < len(inputs) <= BATCH[self.kind]
        done = []
        for one in inputs:
            if self.kind == "hubspot":
                assert one["idProperty"] == id_field and one["properties"][id_field] == one["id"]
                assert all(isinstance(value, str) for value in one["properties"].values())
                lead, key, content = one["id"], one["objectWriteTraceId"], one["properties"]
                self.keys[key] += 1
            else:
                assert one["attributes"] == {"type": "Lead"} and "Id" not in one and body["allOrNone"] is False
                content = {name: value for name, value in one.items() if name != "attributes"}
                lead, key = one[id_field], ""
            done.append((lead, key, self.write(lead, content)))
        assert len({lead for lead, _, _ in done}) == len(done)
        return done


def answer(server: CrmServer, done: Sequence[tuple[str, str, bool]], trouble: Trouble) -> tuple[int, Any]:
    """What the published API answers for these leads, or for all but one (`forgotten`); messages repeat the token."""
    if trouble == "forgotten":
        done = done[:-1]
    if server.kind == "salesforce":
        good = {"success": True, "created": False, "errors": []}
        bad = {"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": f"no {TOKEN}", "fields": []}
        return 200, [good | {"id": lead} if ok else {"success": False, "errors": [bad]} for lead, _, ok in done]
    results = [{"id": f"r{lead}", "objectWriteTraceId": key, "properties": {}} for lead, key, ok in done if ok]
    if trouble == "unnamed":
        results = [{"id": one["id"], "properties": {}} for one in results]
    errors = [
        {"category": "VALIDATION_ERROR", "message": f"no {TOKEN}", "context": {"objectWriteTraceId": [key]}}
        for _, key, ok in done
        if not ok
    ]
    tree = {"status": "COMPLETE", "results": results}
    return (207, tree | {"numErrors": len(errors), "errors": errors}) if errors else (200, tree)


class Handler(SilentHandler, BaseHTTPRequestHandler):
    """One request: a trouble of the list, or the answer of the API."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    crm: CrmServer

    def do_POST(self) -> None:
        self._answer("/crm/v3/objects/contacts/batch/upsert", "lead_id")

    def do_PATCH(self) -> None:
        self._answer("/services/data/v62.0/composite/sobjects/Lead/Lead_Id__c", "Lead_Id__c")

    def _answer(self, path: str, id_field: str) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.crm.lock:
            reply = self._decide(path, body, id_field)
        reply()

    def _decide(self, path: str, body: dict[str, Any], id_field: str) -> Callable[[], None]:
        """Carry a request out as far as the trouble lets it, and return how to answer."""
        self.crm.requests += 1
        if self.path != path:
            return lambda: self._reply(404, {})
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return lambda: self._reply(401, {"category": "INVALID_AUTHENTICATION"})
        if not self.crm.before():
            return lambda: self._fail("reset")
        trouble = self.crm.troubles.pop(0) if self.crm.troubles else ""
        if trouble and trouble not in (*AFTER_WRITING, "partly", "twice"):
            return lambda: self._fail(trouble)
        inputs = body.get("inputs") or body["records"]
        poison = {self.crm.poison.get(one.get("id") or one.get(id_field)) for one in inputs}
        if "crash" in poison:
            return lambda: self._reply(500, {})
        if "whole" in poison:
            error = {"category": "VALIDATION_ERROR", "message": f"no {TOKEN}", "errorCode": "INVALID_FIELD"}
            return lambda: self._reply(400, error if self.crm.kind == "hubspot" else [error])
        if trouble == "partly":
            return self._some(inputs, body, id_field)
        if trouble == "twice":  # the last lead is not written, and the answer names the first one in its stead
            name = "inputs" if self.crm.kind == "hubspot" else "records"
            done = self.crm.carry_out(body | {name: inputs[:-1]}, id_field) if inputs[1:] else []
            return lambda: self._reply(*answer(self.crm, [*done, *done[:1]], trouble))
        done = self.crm.carry_out(body, id_field)
        self.crm.after()
        if trouble and trouble not in ("unnamed", "forgotten"):
            return lambda: self._fail(trouble)
        return lambda: self._reply(*answer(self.crm, done, trouble))

    def _some(self, inputs: list[Any], body: dict[str, Any], id_field: str) -> Callable[[], None]:
        """Every third lead meets a lock and is not written."""
        name = "inputs" if self.crm.kind == "hubspot" else "records"
        locked = inputs[::3]
        kept = [one for one in inputs if one not in locked]
        done = self.crm.carry_out(body | {name: kept}, id_field) if kept else []
        _status, tree = answer(self.crm, done, "")
        if self.crm.kind == "salesforce":
            results = iter(tree)
            bad = {"success": False, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "later", "fields": []}]}
            return lambda: self._reply(200, [bad if one in locked else next(results) for one in inputs])
        busy = {"category": "RATE_LIMITS", "message": "later"}
        errors = [busy | {"context": {"objectWriteTraceId": [one["objectWriteTraceId"]]}} for one in locked]
        return lambda: self._reply(207, tree | {"errors": tree.get("errors", []) + errors})

    def _fail(self, trouble: Trouble) -> None:
        if trouble in ("reset", "reset_after"):
            self.reset()
        elif trouble in ("slow", "slow_after"):
            self.close_connection = True
            threading.Event().wait(SLOW_S)
        elif trouble in ("broken", "torn"):
            self._send(200, b'{"results": [{"id"')
        else:
            status = {"busy": 429, "busy_until": 429, "failed": 503, "moved": 302}[trouble]
            self._reply(status, {"category": "RATE_LIMITS"}, trouble)

    def _reply(self, status: int, tree: Any, trouble: Trouble = "") -> None:
        extra = {"busy": {"Retry-After": "7"}, "moved": {"Location": "http://127.0.0.1:1/elsewhere"}}.get(trouble, {})
        if trouble == "busy_until":
            extra = {"Retry-After": "Sun, 01 Nov 2026 10:00:09 GMT"}
        self._send(status, json.dumps(tree).encode(), extra)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The server's clock stands still."""
        return "Sun, 01 Nov 2026 10:00:00 GMT"

    def _send(self, status: int, content: bytes, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(kind: Literal["hubspot", "salesforce"]) -> Iterator[CrmServer]:
    """A CRM on a free port of the loopback."""
    crm = CrmServer(kind)
    handler = type("Bound", (Handler,), {"crm": crm})
    with on_loopback(handler) as crm.url:
        yield crm
