"""The application: its parts put together, its probes, and how errors are answered."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from slipway.argocd_api import ArgoCD
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import State

from board_backend import api, database, events
from board_backend.access import Access
from board_backend.argocd import EVERY, Applications
from board_backend.ingest import Writer
from board_backend.links import Addresses
from board_backend.model import Model
from board_backend.observe import Metrics, Observed
from board_backend.readers import Reader
from board_backend.registry import Images
from board_backend.repositories import Repositories
from board_backend.schema import Health, Ready, VersionOut
from board_backend.settings import Settings
from board_backend.store import Store

log = logging.getLogger(__name__)

STOP = 5.0
"""Seconds that all threads together get to end after the last request was answered."""

_LOOK = 5.0
"""Seconds that a request may spend on asking Argo CD again."""


def create_app(settings: Settings) -> FastAPI:
    """The application over its own database engine, metrics and settings."""
    app = FastAPI(
        title="Release board", version=settings.version, docs_url=None, redoc_url=None, lifespan=_running
    )
    state = app.state
    state.settings, state.access, state.addresses = settings, Access(settings), Addresses(settings)
    state.metrics = Metrics(settings.version, settings.commit)
    state.store = Store(database.connect(settings.database_url.get_secret_value()))
    state.model = Model(state.store, _off(settings))
    state.images = Images()
    state.git, state.argocd = _git_reader(settings, state), _argocd_reader(settings, state)
    state.observe = _argocd(settings, patience=_LOOK).observe if settings.reads_argocd else None
    state.writer = Writer(state.store.add, lambda: _stored(app))
    app.add_middleware(Observed, metrics=state.metrics)
    app.add_exception_handler(RequestValidationError, _not_allowed)
    _probes(app)
    app.include_router(events.router)
    app.include_router(api.router)
    return app


def _off(settings: Settings) -> dict[str, str]:
    """What is not read, and why."""
    off = {name: f"BOARD_{name.upper()}_REPO is not set" for name in ("deploy", "source", "events")}
    off = {name: why for name, why in off.items() if not getattr(settings, f"{name}_repo")}
    if not settings.reads_argocd:
        off["argocd"] = "BOARD_ARGOCD_SERVER and BOARD_ARGOCD_TOKEN are not both set"
    return off


def _git_reader(settings: Settings, state: State) -> Reader | None:
    if not (settings.deploy_repo or settings.source_repo or settings.events_repo):
        return None
    repositories = Repositories(settings, state.model, state.store)
    return Reader("git", repositories.read, log.error, settings.poll_seconds, repositories.close)


def _argocd_reader(settings: Settings, state: State) -> Reader | None:
    if not settings.reads_argocd:
        return None
    applications = Applications(_argocd(settings), state.model, state.store)
    return Reader("argocd", applications.read, partial(state.model.sources.stale, "argocd"), EVERY)


def _argocd(settings: Settings, **patience: float) -> ArgoCD:
    return ArgoCD(settings.argocd_server, settings.argocd_token.get_secret_value(), **patience)


def _stored(app: FastAPI) -> None:
    """Something was written: it is to be seen at once, and Git probably moved before it."""
    app.state.model.poke()
    if app.state.git:
        app.state.git.poke()


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    readers = [reader for reader in (state.git, state.argocd) if reader]
    for one in (state.model, state.writer, *readers):
        one.start()
    yield
    end = time.monotonic() + STOP
    threads = [state.writer, state.model, *readers]
    for one in threads:
        one.stop()
    for one in threads:
        await run_in_threadpool(one.join, max(0.0, end - time.monotonic()))
    state.images.close()
    state.store.close()


async def _not_allowed(request: Request, error: RequestValidationError) -> Response:
    """Which parameter is wrong, in one sentence, without repeating it."""
    found = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()[:10])
    return JSONResponse({"detail": found}, 422)


def _probes(app: FastAPI) -> None:
    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Health:
        """Says nothing of the database, whose absence a restart would not mend."""
        return Health(status="ok")

    @app.get(
        "/readyz", response_model=Ready, responses={503: {"model": Ready}}, summary="Whether it can be used"
    )
    def readyz(request: Request) -> Response:
        """200 when requests can be answered, else 503 with the reason."""
        try:
            why = request.app.state.store.not_ready()
        except database.UNAVAILABLE as exc:
            why = f"database unavailable: {database.reason(exc)}"
        if not why and request.app.state.model.snapshot is None:
            why = "what is stored has not been read yet"
        if why:
            return JSONResponse({"status": "unavailable", "reason": why}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", response_class=Response, summary="Figures for Prometheus")
    def metrics(request: Request) -> Response:
        """Prometheus text; the load balancer does not let it out."""
        return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/version", summary="Which build answers")
    async def version(request: Request) -> VersionOut:
        """The build that answers, for whoever waits for it."""
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
