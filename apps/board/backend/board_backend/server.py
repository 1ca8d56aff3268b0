"""How uvicorn runs the application behind a load balancer."""

from __future__ import annotations

import sys

import uvicorn
from starlette.types import ASGIApp

from board_backend.app import create_app
from board_backend.settings import Settings

KEEP_ALIVE = 90
"""Seconds an idle connection stays open; longer than any load balancer in front keeps it (an ALB: 60 by default),
so that the balancer never sends a request into a connection that is being closed here."""

SWITCH = 0.0005
"""Seconds for which a thread that computes keeps those waiting that answer."""

GRACEFUL_SHUTDOWN = 15
"""Seconds that requests under way may take after SIGTERM."""


def config(app: ASGIApp, *, host: str, port: int) -> uvicorn.Config:
    """uvicorn's configuration.

    `proxy_headers` is off: nothing here depends on the client's address or scheme, and without a network policy
    any Pod could forge them. The access log keeps the peer and, as a claim, X-Forwarded-For.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        ws="none",
    )


def serve(settings: Settings, *, host: str, port: int) -> int:
    """Answer until SIGTERM, then finish what is under way; 0 after a start that worked."""
    sys.setswitchinterval(SWITCH)
    server = uvicorn.Server(config(create_app(settings), host=host, port=port))
    server.run()
    return 0 if server.started else 3
