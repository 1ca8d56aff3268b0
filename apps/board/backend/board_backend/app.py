"""The routes."""

from __future__ import annotations

import logging
import secrets
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from board_backend import database
from board_backend.observe import Metrics, Observed
from board_backend.schema import Deployments, EventIn, EventResult, Name, VersionOut
from board_backend.settings import Settings
from board_backend.store import Store

log = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024
"""Bytes of an event that are read."""


def create_app(settings: Settings) -> FastAPI:
    """The application over its own database engine, metrics and settings."""
    app = FastAPI(title="Release board", version=settings.version, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.store = Store(database.connect(settings.database_url.get_secret_value()))
    app.state.metrics = Metrics(settings.version, settings.commit)
    app.add_middleware(Observed, metrics=app.state.metrics)
    for error in database.UNAVAILABLE:
        app.add_exception_handler(error, _database_away)
    _probes(app)
    _api(app)
    return app


def _database_away(request: Request, error: Exception) -> Response:
    """503, so that callers try again, and one line instead of a traceback."""
    log.warning("database unavailable: %s", database.reason(error))
    return JSONResponse({"detail": "database unavailable"}, 503, headers={"Retry-After": "1"})


def _probes(app: FastAPI) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers; says nothing of the database, whose absence a restart would not mend."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz(request: Request) -> Response:
        """200 when requests can be answered, else 503 with the reason."""
        try:
            why = request.app.state.store.not_ready()
        except database.UNAVAILABLE as exc:
            why = f"database unavailable: {database.reason(exc)}"
        if why:
            return JSONResponse({"status": "unavailable", "reason": why}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        """Prometheus text; the load balancer does not let it out."""
        return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/version")
    async def version(request: Request) -> VersionOut:
        """Which build answers."""
        settings: Settings = request.app.state.settings
        _, _, digest = (settings.image or "").partition("@")
        return VersionOut(
            name="board-backend",
            version=settings.version,
            commit=settings.commit,
            image=settings.image,
            digest=digest or None,
            environment=settings.environment,
        )


def _api(app: FastAPI) -> None:
    @app.get("/api/deployments")
    def deployments(
        request: Request,
        environment: Annotated[Name | None, Query()] = None,
        current: bool = False,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Deployments:
        """Deployments, newest first; with `current` one per application and environment, and no limit."""
        store: Store = request.app.state.store
        items = store.current(environment) if current else store.deployments(environment, limit)
        return Deployments(items=items)

    @app.post("/api/events", dependencies=[Depends(authenticate)])
    def events(request: Request, body: Annotated[bytes, Depends(bounded_body)]) -> EventResult:
        """Keep an Argo CD notification; telling it twice is fine."""
        counter = request.app.state.metrics.events
        try:
            event = EventIn.model_validate_json(body)
        except ValidationError as exc:
            counter.labels("unknown", "rejected").inc()
            raise HTTPException(422, _problems(exc)) from exc
        stored = request.app.state.store.add(event)
        counter.labels(event.event, "stored" if stored else "duplicate").inc()
        fields = event.model_dump(include={"event", "application", "environment", "revision"})
        log.info("event", extra={"fields": {**fields, "stored": stored}})
        return EventResult(stored=stored)


async def authenticate(request: Request) -> None:
    """Let the holder of the events token through; 401 for anyone else, 503 when there is no token to compare."""
    token = request.app.state.settings.events_token
    if token is None:
        raise HTTPException(503, "events are switched off: BOARD_EVENTS_TOKEN is not set")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    expected = token.get_secret_value().encode()
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), expected):
        raise HTTPException(401, "a valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"})


async def bounded_body(request: Request) -> bytes:
    """The body, or 413 as soon as it is known to be longer than `BODY_LIMIT`."""
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not declared.isdecimal() or int(declared) > BODY_LIMIT:
        raise HTTPException(413, f"an event has at most {BODY_LIMIT} bytes")
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise HTTPException(413, f"an event has at most {BODY_LIMIT} bytes")
    return bytes(body)


def _problems(error: ValidationError) -> list[dict[str, Any]]:
    """Where and what is wrong, without repeating what was sent."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [{"where": ".".join(map(str, item["loc"])), "what": item["msg"]} for item in found]
