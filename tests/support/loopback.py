"""HTTP servers of tests, on a free port of this machine."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Quiet(ThreadingHTTPServer):
    """Connections that break are part of the play."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class SilentHandler(BaseHTTPRequestHandler):
    """A handler of requests that logs nothing, and can break a connection."""

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def reset(self) -> None:
        """Break the connection off, so that the caller sees it reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextmanager
def on_loopback(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve until the end of the block; yields the URL of the server."""
    with Quiet(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()
