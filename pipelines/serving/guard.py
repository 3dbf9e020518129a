"""The door of the server: who may come in, how much, how fast and how long; logged without personal data."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("leadscore")
LARGEST_BODY = 1_000_000  # bytes
DEADLINE_S = 5.0  # of one request, its body included
MOST_PER_SECOND = 200  # requests, and as many at once
OPEN = ("/healthz", "/readyz")  # say nothing of leads
BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """What Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "leadscore_request_seconds",
            "Time of a request.",
            ["route", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.kept = Counter("leadscore_rows_kept", "Leads and events that were new.", ["table"], registry=self.registry)
        self.models = Counter("leadscore_models", "New models taken or refused.", ["outcome"], registry=self.registry)
        self.notices = Gauge("leadscore_notices", "Notices by what they do.", ["to", "state"], registry=self.registry)
        self.unscored = Gauge(
            "leadscore_arrivals_unscored", "Arrivals that nobody is told of for a fault.", registry=self.registry
        )


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    body: int = LARGEST_BODY
    seconds: float = DEADLINE_S
    per_second: float = MOST_PER_SECOND


@dataclass
class Rate:
    """A bucket that holds as many requests as may come in a second, and fills as fast."""

    per_second: float
    clock: Callable[[], float] = time.monotonic
    left: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left, self.at = self.per_second, self.clock()

    def take(self) -> bool:
        """Whether one more request may come in."""
        now = self.clock()
        self.left = min(self.per_second, self.left + (now - self.at) * self.per_second)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class RefusedRequestError(Exception):
    """A request that is answered at the door."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class Guard:
    """Middleware around the whole application.

    Parameters
    ----------
    token
        Callers bring it as a bearer token; None: they need none.
    """

    def __init__(self, app: ASGIApp, token: str | None, limits: Limits, metrics: Metrics) -> None:
        self.app, self.token, self.limits, self.metrics = app, token, limits, metrics
        self.rate = Rate(limits.per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._admit(scope)
            async with asyncio.timeout(self.limits.seconds):
                await self.app(scope, _replayed(await self._body(scope, receive)), sent)
        except RefusedRequestError as refused:
            await _answer(refused.status, refused.error, sent)
        except TimeoutError:
            if not status:
                await _answer(503, f"found no answer within {self.limits.seconds:g} s; send it again", sent)
        finally:
            self._note(scope, status or 500, time.perf_counter() - began)

    def _admit(self, scope: Scope) -> None:
        if scope["path"] in OPEN:
            return
        if not self.rate.take():
            raise RefusedRequestError(
                429, f"found more than {self.limits.per_second:g} requests a second; send it later"
            )
        given = dict(scope["headers"]).get(b"authorization", b"")
        if self.token is not None and not hmac.compare_digest(given, b"Bearer " + self.token.encode()):
            raise RefusedRequestError(401, "found no valid token, expected `Authorization: Bearer TOKEN`")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the whole body, and stop reading where it is too large."""
        pieces, size, more = [], int(dict(scope["headers"]).get(b"content-length", b"0") or 0), True
        if size > self.limits.body:
            raise self._too_large()
        size = 0
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedRequestError(400, "found a body that ended early")
            pieces.append(message.get("body", b""))
            size, more = size + len(pieces[-1]), message.get("more_body", False)
            if size > self.limits.body:
                raise self._too_large()
        return b"".join(pieces)

    def _too_large(self) -> RefusedRequestError:
        return RefusedRequestError(413, f"found a body above {self.limits.body:,} bytes; send smaller batches")

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request by its route: a path holds an id."""
        route = getattr(scope.get("route"), "path", "none")
        self.metrics.seconds.labels(route, str(status)).observe(seconds)
        if route not in OPEN:
            line = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
            log.info("serve: %s", json.dumps(line))


def _replayed(body: bytes) -> Receive:
    """Return what gives the application a body that has been read."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive


async def _answer(status: int, error: str, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": error}).encode()})
