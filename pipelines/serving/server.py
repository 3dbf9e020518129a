"""The process of `leadscore serve`: what it is started with, and how it ends."""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import uvicorn

from features.schema.errors import ModelError, ParamsError
from pipelines.config.params import Params
from pipelines.scoring.override_store import stores
from pipelines.serving.app import Service, build_app
from pipelines.serving.champion import Champion, Origin
from pipelines.serving.facts import Defaults
from pipelines.serving.store import STATE, FactStore
from pipelines.storage.bundle import read_lightgbm
from pipelines.storage.run_context import RunContext

if TYPE_CHECKING:
    from pipelines.serving.herald import Herald

log = logging.getLogger("leadscore")
TOKEN = "LEADSCORE_TOKEN"  # noqa: S105  # the variable's name
LOOPBACK = ("127.0.0.1", "::1", "localhost")
GRACE_S = 10  # for requests that have begun, once the process is told to stop
AT_ONCE = 64  # requests; others are told to come later
BACKLOG = 2048  # connections that wait to be taken


@dataclass(frozen=True)
class ServeRequest:
    """The request for a server.

    Attributes
    ----------
    state
        A file of SQLite, or an SQLAlchemy URL; None: `serve.sqlite` beside the artifacts.
    lists
        The folder of published lists, whose current one gives cut-offs and intercept; None: the run's own list.
    """

    host: str
    port: int
    state: str | None
    lists: Path | None


def token_for(host: str) -> str | None:
    """Return the token that callers must bring; raises ParamsError where others could come without one."""
    token = os.environ.get(TOKEN) or None
    if token is None and host not in LOOPBACK:
        raise ParamsError(f"--host {host} can be reached from elsewhere; set {TOKEN}, which callers then bring")
    return token


def service_of(run: RunContext, request: ServeRequest) -> Service:
    """Load the model and open the store."""
    source = run.params.source
    token = token_for(request.host)
    summary = run.layout.score_summary.path if request.lists is None else request.lists / "current"
    overrides = stores(run.layout, request.lists or run.layout.reports)
    origin = Origin(run.layout.bundle, summary, run.params.tiers, run.params.score.reasons, overrides)
    champion = Champion.take(origin)
    if champion.current.scorer.metadata.snapshots is None:
        raise ModelError("the model was trained on tables without dates, so that there is no moment to score at")
    state = request.state or str(run.layout.artifacts / STATE)
    url = state if "://" in state else FactStore.url_of(Path(state))
    defaults = Defaults(source.event_defaults.direction, source.event_defaults.channel, source.timezone)
    delivery = run.params.delivery
    told = [name for name, to in {"webhook": delivery.webhook.url, "apprise": delivery.apprise.urls}.items() if to]
    store = FactStore.open(url, defaults, watched=bool(told))
    herald = _herald(store, champion, run.params, told) if told else None
    return Service(champion, store, now, token, herald=herald)


def _herald(store: FactStore, champion: Champion, params: Params, told: Sequence[str]) -> Herald:
    """Return what tells every receiver that `delivery` names; who names none need not wait for it to be read."""
    from pipelines.delivery.hand_over import Courier
    from pipelines.delivery.notices import told_tiers
    from pipelines.delivery.webhook import channels
    from pipelines.serving.herald import Herald

    named = [one for name in told for one in channels(params.delivery, name, time.time)]
    couriers = [Courier(one, params, time.monotonic) for one in named]
    return Herald(store, champion, couriers, told_tiers(params), now)


def now() -> pd.Timestamp:
    """Return the moment, in UTC."""
    return pd.Timestamp.now("UTC").tz_localize(None).as_unit("us")


def serve(run: RunContext, request: ServeRequest) -> None:
    """Answer requests until the process is told to stop; then end what has begun.

    Raises
    ------
    ParamsError
        Where the address is taken, or the store cannot be opened.
    ModelError
        Where there is no model.
    """
    read_lightgbm()
    service = service_of(run, request)
    gc.freeze()  # what is there now stays: no request waits while the collector looks through it
    family = socket.AF_INET6 if ":" in request.host else socket.AF_INET
    with socket.socket(family) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((request.host, request.port))
            door.listen(BACKLOG)  # who calls while the routes are made, waits
        except OSError as error:
            raise ParamsError(f"--host {request.host} --port {request.port}: {error.strerror}; give another") from None
        service.champion.watch()
        if service.herald is not None:
            service.herald.watch()
        host, port = door.getsockname()[:2]
        log.info("serve: model %s on http://%s:%s, documented at /docs", service.champion.current.model_id, host, port)
        config = uvicorn.Config(
            build_app(service),
            access_log=False,
            log_config=None,
            limit_concurrency=AT_ONCE,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[door])
    service.champion.stop()
    if service.herald is not None:
        service.herald.stop()
    service.store.close()
