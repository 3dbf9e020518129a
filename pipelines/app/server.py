"""The process of `leadscore app`: marimo's page behind uvicorn, on loopback alone."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

from features.schema.errors import ParamsError
from pipelines.app.views import VARIABLE, AppRequest

log = logging.getLogger("leadscore")
HOST = "127.0.0.1"
NAMES = [HOST, "localhost"]  # a page of another site that resolves to this machine has another name


def built(request: AppRequest) -> Any:
    """Return the app; raises ParamsError where marimo is not installed."""
    try:
        import marimo
    except ModuleNotFoundError:
        raise ParamsError("the app needs marimo; install it with: pip install 'leadscore[app]'") from None
    os.environ[VARIABLE] = request.to_text()
    page = Path(__file__).with_name("page.py")
    return TrustedHostMiddleware(marimo.create_asgi_app(quiet=True).with_app(path="/", root=str(page)).build(), NAMES)


def serve(request: AppRequest, port: int) -> None:
    """Listen until the process is ended."""
    server = uvicorn.Server(uvicorn.Config(built(request), log_level="warning"))
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise ParamsError(f"--port {port}: {error.strerror}; choose another, or 0 for any that is free") from None
    with listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        log.info("app: %s shows personal data to whoever can log in to this machine", address)
        server.run(sockets=[listening])
