"""How uvicorn runs the page behind a load balancer.

`streamlit run` leaves uvicorn's keep-alive at 5 s, shorter than a load balancer's: that costs a 502 now and then.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click
import streamlit as st
import uvicorn
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.web import bootstrap
from streamlit.web.cli import configurator_options

from board_frontend import charts, figures, frame, grid  # noqa: F401  So that the first visitor does not wait.
from board_frontend.assets import Assets
from board_frontend.settings import Settings, SettingsError
from board_frontend.shell import Shell, named

log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("app.py")

KEEP_ALIVE = 90
"""Seconds an idle connection stays open; longer than any load balancer in front keeps it (an ALB: 60 by default)."""

GRACEFUL_SHUTDOWN = 10
"""Seconds that requests under way may take after SIGTERM; WebSockets are closed at once and reconnect elsewhere."""

PING = 20
"""Seconds between WebSocket pings; shorter than the load balancer's idle timeout."""


class SameOrigin:
    """ASGI middleware that refuses WebSockets opened by pages of another origin.

    Streamlit would refuse them too, but only after asking a service on the internet for its own address.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != headers.get("host"):
                await receive()
                return await send({"type": "websocket.close", "code": 1008})
        await self.app(scope, receive, send)


def noted(error: Exception) -> None:
    """Log what the page must not show; `client.showErrorDetails` keeps it out of the browser."""
    log.error("the page failed", exc_info=error)


def make_app(options: Mapping[str, object] | None = None) -> st.App:
    """The page as an ASGI application, with Streamlit's options read from config.toml and then `options`."""
    middleware = [Middleware(SameOrigin), Middleware(Shell), Middleware(Assets, first=named())]
    app = st.App(SCRIPT, middleware=middleware, on_script_error=noted)
    bootstrap.load_config_options(dict(options or {}))
    return app


def config(app: ASGIApp) -> uvicorn.Config:
    """uvicorn's configuration, from Streamlit's where that has an option for it.

    `proxy_headers` is off: nothing here depends on the client's address or scheme.
    """
    ping = st.get_option("server.websocketPingInterval") or PING
    return uvicorn.Config(
        app,
        host=st.get_option("server.address") or "0.0.0.0",
        port=st.get_option("server.port"),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
        ws="websockets-sansio",
        ws_ping_interval=ping,
        ws_ping_timeout=ping,
        ws_max_size=st.get_option("server.maxMessageSize") * 1024 * 1024,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
    )


@click.command()
@configurator_options
def main(**options: object) -> None:
    """Serve the page until SIGTERM.

    Takes every option of `streamlit run`, and each as STREAMLIT_<SECTION>_<OPTION> from the environment, which
    Streamlit itself reads only there.
    """
    try:
        settings = Settings.from_environment()
    except SettingsError as exc:
        raise click.ClickException(str(exc)) from exc
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stdout,
        force=True,
    )
    # One line for each question of each page would be all there is to read.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    server = uvicorn.Server(config(make_app(options)))
    log.info("release board %s %s, asking %s", settings.version, settings.commit, settings.api_url)
    server.run()
    sys.exit(0 if server.started else 3)
