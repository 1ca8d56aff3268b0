"""Both halves as the processes that their images start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.parse

import httpx
import pytest
import streamlit as st
from board_backend import server as backend_server
from board_frontend import server as frontend_server
from board_testing import BOARD, PASSWORD, TOKEN, an_event, free_port, healthy, migrated, until
from click.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ALB_IDLE_TIMEOUT = 60
CONFIG = BOARD / "frontend" / "board_frontend" / ".streamlit" / "config.toml"


@pytest.fixture
def process(tmp_path):
    """Starts a half of the board as a process; kills it if it is still there at the end."""
    started: list[subprocess.Popen] = []

    def start(half: str, *args: str, health: str, **env: str) -> tuple[subprocess.Popen, str]:
        port = free_port()
        env = {name: value.format(port=port) for name, value in env.items()}
        argv = [sys.executable, "-m", f"board_{half}", *(arg.format(port=port) for arg in args)]
        with (tmp_path / f"{half}.log").open("wb") as log:
            running = subprocess.Popen(
                argv, cwd=BOARD / half, env={**os.environ, **env}, stdout=log, stderr=subprocess.STDOUT
            )
        started.append(running)
        url = f"http://127.0.0.1:{port}"
        until(lambda: healthy(url + health), seconds=20, what=f"the {half} answers")
        return running, url

    yield start
    for running in started:
        if running.poll() is None:
            running.kill()
        running.wait()


def test_the_backend_finishes_what_it_began_and_keeps_its_secrets(process, postgres, tmp_path):
    """SIGTERM in the middle of a request: it is answered, the process ends with 0, and every line it wrote is JSON."""
    env = {"BOARD_DATABASE_URL": migrated(postgres.create_database()), "BOARD_EVENTS_TOKEN": TOKEN}
    args = ("serve", "--host", "127.0.0.1", "--port", "{port}")
    running, url = process("backend", *args, health="/readyz", **env)
    address = urllib.parse.urlsplit(url)
    body = json.dumps(an_event()).encode()
    head = f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nX-Request-Id: mine\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=10) as half_sent:
        half_sent.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:50])
        httpx.get(url + "/api/deployments?environment=lab")
        running.send_signal(signal.SIGTERM)
        until(lambda: not healthy(url + "/healthz"), what="no new connection is taken")
        half_sent.sendall(body[50:])
        answer = half_sent.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200") and b'{"stored":true}' in answer
    assert running.wait(timeout=10) == 0
    output = (tmp_path / "backend.log").read_text()
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    assert [line["logger"] for line in lines if line.get("request_id") == "mine"] == [
        "board_backend.events",
        "board_backend.access",
    ]
    assert TOKEN not in output and PASSWORD not in output


def test_the_frontend_serves_its_own_origin_only_and_ends_on_sigterm(process):
    """With the port from the environment, a WebSocket open at the end, and wrong origins refused."""
    env = {"STREAMLIT_SERVER_PORT": "{port}", "STREAMLIT_SERVER_ADDRESS": "127.0.0.1"}
    running, url = process("frontend", health="/_stcore/health", **env)
    assert "<title>" in httpx.get(url).text
    stream = url.replace("http", "ws") + "/_stcore/stream"
    for origin in ("https://evil.example", "http://127.0.0.1", "http://localhost", "null"):
        with pytest.raises(InvalidStatus, match="403"):
            connect(stream, origin=origin)
    with connect(stream, origin=url, subprotocols=["streamlit"]):
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0


def test_the_frontend_refuses_a_wrong_setting_in_one_line():
    """Before it listens, with the variable's name."""
    done = CliRunner().invoke(frontend_server.main, env={"BOARD_REFRESH_SECONDS": "soon"})
    assert done.exit_code == 1
    assert done.output == "Error: BOARD_REFRESH_SECONDS is not a number of seconds: 'soon'\n"


def test_connections_outlive_the_load_balancers_idle_timeout():
    """A balancer that reuses a connection the server is closing answers 502; pings keep WebSockets from idling."""
    backend = backend_server.config(None, host="127.0.0.1", port=0)
    frontend = frontend_server.config(None)
    for config in (backend, frontend):
        assert config.timeout_keep_alive > ALB_IDLE_TIMEOUT + 15
        assert 0 < config.timeout_graceful_shutdown < 30
        assert config.proxy_headers is False
    assert frontend.ws_ping_interval < ALB_IDLE_TIMEOUT


def test_streamlits_options_exist_and_keep_the_page_safe():
    """Every option in config.toml is one of the installed version, which warns of unknown ones only in its log."""
    options = tomllib.loads(CONFIG.read_text())
    for section, values in options.items():
        for name in values:
            st.get_option(f"{section}.{name}")
    assert options["server"]["enableCORS"] and options["server"]["enableXsrfProtection"]
    assert options["server"]["port"] == 8501 and options["server"]["headless"]
    assert options["browser"]["gatherUsageStats"] is False
    assert options["client"]["showErrorDetails"] == "none"
    assert "theme" not in options
