"""A webhook on this machine that checks signatures, takes each id once, and fails as it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from tests.support.crm_server import SLOW_S
from tests.support.loopback import SilentHandler, on_loopback

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
VARIABLE = "LEADSCORE_WEBHOOK_SECRET"
Fault = Literal["", "failed", "slow", "reset", "reset_after", "slow_after", "duplicate", "busy", "gone"]
TAKEN_FIRST = ("reset_after", "slow_after", "duplicate")  # what befalls the answer, not the request


@dataclass
class Webhook:
    """What came in.

    Attributes
    ----------
    faults
        What happens to the next requests, in order; then all goes well.
    taken
        The body of each notice, by its id.
    seen
        Requests whose signature was right, by the id of their notice.
    """

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    forged: int = 0

    def take(self, headers: Any, body: bytes) -> None:
        signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
        digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(headers["webhook-signature"], f"v1,{digest}"):
            self.forged += 1
            return
        self.seen[headers["webhook-id"]] += 1
        self.taken.setdefault(headers["webhook-id"], json.loads(body))


class Handler(SilentHandler, BaseHTTPRequestHandler):
    """One request."""

    hook: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.hook.faults.pop(0) if self.hook.faults else ""
        if not fault or fault in TAKEN_FIRST:
            self.hook.take(self.headers, body)
        if fault in ("reset", "reset_after"):
            self.reset()
            return
        if fault in ("slow", "slow_after"):
            threading.Event().wait(SLOW_S / 4)
        status = {"failed": 500, "busy": 429, "gone": 410, "duplicate": 409}.get(fault, 204)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def receiving() -> Iterator[Webhook]:
    """A webhook on a free port of the loopback."""
    hook = Webhook()
    handler = type("Bound", (Handler,), {"hook": hook})
    with on_loopback(handler) as url:
        hook.url = f"{url}/leads"
        yield hook
