"""A request ends in time and in memory, whatever the server sends."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import requests

from pipelines.config.delivery import HubSpot
from pipelines.delivery.crm import Answer, Bearer, HubSpotObjects, Message, RequestStatus, send

TIMEOUT_S = 0.4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def sending(content: bytes, pause_s: float = 0.0) -> Iterator[str]:
    """A server that sends this content to each client: all at once, or a byte at a time."""

    def answer(client: socket.socket) -> None:
        with closing(client):
            try:
                client.recv(65536)
                for part in [content] if not pause_s else [content[at : at + 1] for at in range(len(content))]:
                    client.sendall(part)
                    time.sleep(pause_s)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):  # a socket that is closed with unread bytes resets the connection
                    pass
            except OSError:
                return

    def accept() -> None:
        try:
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
        except OSError:
            return

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def sent(url: str, timeout_s: float = 20.0) -> Answer:
    system = HubSpotObjects(HubSpot(base_url=url))
    with requests.Session() as session:
        return send(system, [Message("L1", "key", {"score": 5})], session, Bearer("token"), timeout_s)


@pytest.mark.parametrize("content", [HEAD + b"X: " + b"a" * 60, HEAD + b"Content-Length: 60\r\n\r\n" + b" " * 60])
def test_the_deadline_is_of_the_whole_answer_not_of_each_byte(content: bytes) -> None:
    with sending(content, pause_s=0.03) as url:
        began = time.monotonic()
        answer = sent(url, TIMEOUT_S)
    assert (answer.status, answer.reason) == (RequestStatus.silent, "no answer in time")
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_not_read(packed: bool) -> None:
    content = b'{"results": [' + b" " * 20_000_000
    content = gzip.compress(content, 1) if packed else content
    head = HEAD + (b"Content-Encoding: gzip\r\n" if packed else b"") + b"Content-Length: %d\r\n\r\n" % len(content)
    with sending(head + content) as url:
        answer = sent(url)
    assert answer.status is RequestStatus.failed and "more than 10,000,000 bytes" in answer.reason


def test_a_server_without_tls_that_can_be_trusted_is_said_and_gets_no_lead() -> None:
    with sending(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        answer = sent(url.replace("http://", "https://"))
    assert answer.status is RequestStatus.silent and answer.reason.startswith("no TLS connection that can be trusted")


def test_an_answer_of_deep_brackets_cannot_be_read() -> None:
    content = b"[" * 200_000
    with sending(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content) as url:
        assert sent(url).status is RequestStatus.failed
