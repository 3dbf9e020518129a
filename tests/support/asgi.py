"""A request to an ASGI application in this process, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def tree(self) -> Any:
        return json.loads(self.text)


def call(app: ASGIApp, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a request; a body that is no bytes is sent as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    given = {"content-type": "application/json"} | dict(headers or {})
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "server": ("test", 80), "client": ("test", 1),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    messages: list[Message] = []

    async def run() -> None:
        waiting = [{"type": "http.request", "body": sent, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop() if waiting else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: Message) -> None:
            messages.append(message)

        await app(scope, receive, send)

    asyncio.run(run())
    status = next(one["status"] for one in messages if one["type"] == "http.response.start")
    return Answer(status, b"".join(one.get("body", b"") for one in messages).decode())
