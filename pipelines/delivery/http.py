"""One HTTP request whose whole answer is read within a time and a size.

The timeout of requests and urllib3 is of each byte, and none bounds the search for the address: a server that sends a
byte now and then would hold a delivery for ever. So the request runs in a thread that nobody waits for any longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import requests

MOST_BYTES = 10_000_000  # unpacked; an answer about 200 leads has some 100,000
CHUNK = 65_536


class TooLongError(Exception):
    """The answer has more than MOST_BYTES."""


@dataclass(frozen=True)
class HttpRequest:
    """An HTTP request without its token; `form`: its body goes as fields of a form, not as JSON."""

    method: str
    url: str
    body: dict[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)
    form: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer that has been read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The tree of its content; raises ValueError where there is none, or one too deep to be meant."""
        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("brackets too deep") from None


def exchange(request: HttpRequest, session: requests.Session, auth: requests.auth.AuthBase, timeout_s: float) -> Reply:
    """Send a request and read its whole answer.

    Raises
    ------
    TimeoutError
        Where the answer is not complete in time.
    TooLongError
        Where it has more than MOST_BYTES.
    requests.RequestException
        Where there is none.
    """
    future: Future[Reply] = Future()

    def ask() -> None:
        try:
            future.set_result(_read(request, session, auth, timeout_s))
        except BaseException as error:  # raised again where the result is asked for
            future.set_exception(error)

    Thread(target=ask, daemon=True).start()
    return future.result(timeout_s)


def _read(request: HttpRequest, session: requests.Session, auth: requests.auth.AuthBase, timeout_s: float) -> Reply:
    with session.request(
        request.method,
        request.url,
        json=None if request.form else request.body,
        data=request.body if request.form else None,
        headers=request.headers,
        auth=auth,
        timeout=timeout_s,
        allow_redirects=False,
        stream=True,
    ) as reply:
        content = bytearray()
        for chunk in reply.iter_content(CHUNK):
            content += chunk
            if len(content) > MOST_BYTES:
                raise TooLongError
        return Reply(reply.status_code, reply.headers, bytes(content))
