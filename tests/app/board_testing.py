"""What the tests of the release board start: PostgreSQL, the backend, a stub of it; and events to send."""

from __future__ import annotations

import http.server
import os
import pwd
import shutil
import socket
import tempfile
import threading
import time
import uuid
from pathlib import Path

import httpx
import psycopg
import uvicorn
from board_backend import database, migrate, server
from board_backend.app import create_app
from board_backend.models import FactRow
from board_backend.settings import Settings
from slipway.proc import run
from sqlalchemy import func, select

BOARD = Path(__file__).resolve().parents[2] / "apps" / "board"
TOKEN = "a-token-for-tests"
READ_TOKEN = "a-token-for-readers"
PASSWORD = "hunter2-never-logged"
POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(true, *, seconds: float = 10.0, what: str):
    """What `true()` returns as soon as it is truthy; fails with `what` when time is over."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return value


def healthy(url: str) -> bool:
    """Whether `url` answers well now."""
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.HTTPError:
        return False


def migrated(url: str) -> str:
    """`url`, its database brought to head."""
    engine = database.connect(url)
    migrate.upgrade(engine)
    engine.dispose()
    return url


class Postgres:
    """A throw-away cluster run by the postgres user, who may be anyone with a password or none."""

    def __init__(self):
        assert (POSTGRES_BIN / "initdb").exists(), "PostgreSQL is missing: apt-get install postgresql"
        self.home = Path(tempfile.mkdtemp(prefix="board-postgres-"))
        self.port = free_port()
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.home, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", self.home / "data", "-U", "postgres", "-A", "trust", "--no-sync")

    def _run(self, program: str, *args: object) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        run([*as_user, str(POSTGRES_BIN / program), *map(str, args)], cwd=self.home, timeout=30)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", self.home / "data", "-l", self.home / "log", "-o", options, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.home / "data", "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        if (self.home / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.home)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True
        )

    def create_database(self, template: str = "template1") -> str:
        """The URL of a new database, which is a copy."""
        name = f"board_{uuid.uuid4().hex[:8]}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://postgres:{PASSWORD}@127.0.0.1:{self.port}/{name}"


class Backend:
    """The application served by uvicorn, as in production, in a thread."""

    def __init__(self, url: str, **settings: object):
        # Where nothing else is said, a test is a reader like any other, and reads more than a person would.
        chosen = {"database_url": url, "events_token": TOKEN, "read_token": READ_TOKEN, "poll_seconds": 0.2}
        self.data = tempfile.TemporaryDirectory(prefix="board-data-")
        chosen |= {"data_dir": self.data.name, "reads_per_minute": 100_000}
        self.app = create_app(Settings(**{**chosen, **settings}))
        self._engine = database.connect(url)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.http = httpx.Client(
            base_url=self.url, timeout=15, headers={"Authorization": f"Bearer {READ_TOKEN}"}
        )
        self._server = uvicorn.Server(server.config(self.app, host="127.0.0.1", port=0))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        until(lambda: self._server.started, what="the backend serves")

    def stop(self) -> None:
        """Begin to end; `join` waits for it, which uvicorn makes 0.2 s that not every test has to wait."""
        self.http.close()
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive(), "the backend does not end"
        self._socket.close()
        self._engine.dispose()
        self.data.cleanup()

    def send(self, event: dict, token: str = TOKEN) -> httpx.Response:
        return self.http.post("/api/events", json=event, headers={"Authorization": f"Bearer {token}"})

    def stored(self, **fields: object) -> bool:
        """Send an event that is accepted; whether it was news."""
        answer = self.send(an_event(**fields))
        assert answer.status_code == 200, answer.text
        return answer.json()["stored"]

    def get(self, path: str, **query: object) -> dict:
        """What a route answers well."""
        answer = self.http.get(path, params={key: value for key, value in query.items() if value is not None})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def count(self) -> int:
        """How many facts the table has."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(FactRow))

    def caught_up(self) -> None:
        """Wait until everything in the table is in what is shown."""

        def seen() -> int | None:
            answer = self.http.get("/api/status")
            return answer.json()["facts"] if answer.is_success else None

        until(lambda: seen() == self.count(), what="the board has seen the table")

    def deployments(self, **query: object) -> list[dict]:
        """The deployments, once everything that was stored is among them."""
        self.caught_up()
        return self.get("/api/deployments", **query)["items"]

    def places(self) -> list[dict]:
        """What runs where, once everything that was stored is in it."""
        self.caught_up()
        return self.get("/api/now")["places"]


class Stub:
    """A backend that does what the test says: wait `delay` seconds, then answer, or cut the connection."""

    def __init__(self):
        self.status, self.body, self.delay, self.cut = 200, b'{"items": []}', 0.0, False
        self._stopping = threading.Event()
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                stub._stopping.wait(stub.delay)
                if stub.cut:
                    return self.connection.close()
                self.send_response(stub.status)
                self.send_header("Content-Length", str(len(stub.body)))
                self.end_headers()
                self.wfile.write(stub.body)

            def log_message(self, *_):
                """Nothing: what matters is asserted."""

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """Nothing: clients that give up, and connections cut on purpose, are what this is for."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def image(name: str = "board-backend", commit: str = "1111111", digit: str | None = None) -> str:
    """A reference as an environment's overlay renders it; `digit` makes the digest, default the commit's first."""
    return f"registry.test:5000/team/{name}:main-20260101T000000Z-{commit}@sha256:{(digit or commit[0]) * 64}"


def at(minute: int) -> str:
    """A moment of the hour in which these tests play."""
    return f"2026-01-01T10:{minute:02}:00Z"


def an_event(*, minute: int = 0, commit: str = "1111111", **fields: object) -> dict:
    """A deployment as Argo CD reports it, with `fields` set otherwise."""
    return {
        "event": "on-deployed",
        "application": "shop",
        "environment": "lab",
        "revision": f"{minute:02}" * 20,
        "images": [image(commit=commit), image("board-frontend", commit)],
        "sync": "Synced",
        "health": "Healthy",
        "message": "successfully synced",
        "started_at": at(minute),
        "finished_at": at(minute),
    } | fields
