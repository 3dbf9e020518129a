"""The routes of `leadscore serve`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException

from features.schema.errors import DataError
from pipelines.serving.bodies import (
    EventBatch,
    Fault,
    Kept,
    LeadBatch,
    MomentScore,
    ScoreRequest,
    in_time,
    is_day,
    one_line,
)
from pipelines.serving.champion import Champion
from pipelines.serving.facts import cells_of, lead_of
from pipelines.serving.guard import Guard, Limits, Metrics
from pipelines.serving.store import ConflictError, FactStore

if TYPE_CHECKING:
    from pipelines.serving.herald import Herald

BY_DAY = "{n} of {total} events are given by the day alone and count from its midnight (UTC) on, as in a list"


@dataclass(frozen=True)
class Service:
    """What the routes work with.

    Attributes
    ----------
    now
        The moment, in UTC without a zone; the only clock.
    token
        That callers must bring; None: none.
    herald
        Tells others of what has arrived; None: nobody is told.
    """

    champion: Champion
    store: FactStore
    now: Callable[[], pd.Timestamp]
    token: str | None = None
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    herald: Herald | None = None


def build_app(service: Service) -> FastAPI:
    """Return the application."""
    faults: dict[int | str, dict[str, Any]] = {code: {"model": Fault} for code in (401, 404, 409, 413, 422, 429, 503)}
    app = FastAPI(title="leadscore", description="Leads scored at the moment they act.", responses=faults)
    app.add_middleware(Guard, token=service.token, limits=service.limits, metrics=service.metrics)
    service.champion.swapped = lambda outcome: service.metrics.models.labels(outcome).inc()
    _add_faults(app)
    _add_scores(app, service)
    _add_facts(app, service)
    _add_operations(app, service)
    return app


def _add_faults(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def bad_body(_: Request, error: RequestValidationError) -> Response:
        return _fault(422, one_line(list(error.errors())))

    @app.exception_handler(StarletteHTTPException)
    async def no_such_thing(_: Request, error: StarletteHTTPException) -> Response:
        return _fault(error.status_code, str(error.detail))

    @app.exception_handler(DataError)
    async def bad_facts(_: Request, error: DataError) -> Response:
        return _fault(409 if isinstance(error, ConflictError) else 422, str(error))


def _fault(status: int, error: str) -> JSONResponse:
    return JSONResponse(Fault(error=error).model_dump(), status)


def _add_scores(app: FastAPI, service: Service) -> None:
    @app.post("/score", response_model=MomentScore)
    def score(request: ScoreRequest) -> Response:
        """Score a lead with all that is known of it; nothing is kept."""
        model = service.champion.current
        at = service.now() if request.as_of is None else in_time(request.as_of)
        by_day = sum(is_day(event.event_at) for event in request.events)
        scored = model.score(lead_of(request, model.attributes, service.store.defaults), at)
        caution = [BY_DAY.format(n=by_day, total=len(request.events))] if by_day else []
        return _as_it_is(scored.model_copy(update={"cautions": scored.cautions + caution}))

    @app.get("/leads/{lead_id}/score", response_model=MomentScore)
    def score_of(lead_id: str) -> Response:
        """Score a lead by all that was posted of it until now."""
        model = service.champion.current
        lead = service.store.lead(lead_id, model.attributes)
        if lead is None:
            raise HTTPException(404, "lead_id: found no lead of this id")
        return _as_it_is(model.score(lead, service.now()))


def _as_it_is(scored: MomentScore) -> Response:
    """Write an answer out: FastAPI would check it again, and go to other threads and back for it."""
    return Response(scored.model_dump_json(), media_type="application/json")


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.post("/leads")
    def keep_leads(batch: LeadBatch) -> Kept:
        """Keep leads, all or none; a lead sent again with other attributes is edited from then on."""
        for lead in batch.leads:
            cells_of(lead.attributes, service.champion.current.attributes)
        return _counted(service.store.keep_leads(batch.leads, service.now()), "leads", service)

    @app.post("/events")
    def keep_events(batch: EventBatch) -> Kept:
        """Keep events, all or none, known from now on; the same id with the same values counts once."""
        return _counted(service.store.keep_events(batch.events, service.now()), "events", service)


def _counted(kept: Kept, table: str, service: Service) -> Kept:
    service.metrics.kept.labels(table).inc(kept.new)
    return kept


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz(response: Response) -> dict[str, object]:
        """Whether leads can be scored and kept, by which model, and whether a newer one was refused."""
        champion, answers = service.champion, service.store.answers()
        response.status_code = 200 if answers else 503
        model = champion.current
        ready = {"ready": answers, "store": answers, "model_id": model.model_id, "tier_by": model.tier_by}
        return ready | {"refused": champion.refused}

    @app.get("/metrics")
    def metrics() -> Response:
        """Figures for Prometheus."""
        service.metrics.unscored.set(service.herald.unscored if service.herald else 0)
        for one in service.herald.couriers if service.herald else ():
            service.metrics.notices.labels(one.channel.name, "waiting").set(one.waiting)
            service.metrics.notices.labels(one.channel.name, "set aside").set(one.dead)
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
