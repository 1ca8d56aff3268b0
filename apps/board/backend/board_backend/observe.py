"""What operators see of a request: an id, a log line, a count and a duration."""

from __future__ import annotations

import logging
import re
import time
import uuid

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from board_backend.logs import request_id

log = logging.getLogger("board_backend.access")

_ID = re.compile(r"[A-Za-z0-9._=;-]{1,128}")
_QUIET = {"/healthz", "/readyz", "/metrics"}
"""Asked every few seconds by machines; a good answer is not worth a line."""


class Metrics:
    """The counters of one application object."""

    def __init__(self, version: str, commit: str | None):
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = Counter(
            "board_http_requests_total",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "board_http_request_seconds",
            "Time to answer a request",
            ("method", "route"),
            registry=self.registry,
        )
        self.events = Counter(
            "board_deployment_events_total",
            "Events received: stored, duplicate, or rejected as malformed",
            ("event", "result"),
            registry=self.registry,
        )
        build = Gauge(
            "board_build_info", "1, labelled with the build", ("version", "commit"), registry=self.registry
        )
        build.labels(version, commit or "").set(1)


class Observed:
    """ASGI middleware that gives every request an id and counts it under its route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        identity = given if _ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(identity)
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = identity
                headers.setdefault("cache-control", "no-store")
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - start)
            request_id.reset(token)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
        route = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.seconds.labels(method, route).observe(seconds)
        level = logging.DEBUG if scope["path"] in _QUIET and status < 400 else logging.INFO
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "peer": scope["client"][0] if scope.get("client") else None,
            "forwarded_for": Headers(scope=scope).get("x-forwarded-for"),
        }
        log.log(level, "request", extra={"fields": fields})
