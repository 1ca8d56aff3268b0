"""Real databases and real servers on loopback for the tests of the release board."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BOARD = Path(__file__).resolve().parents[2] / "apps" / "board"
sys.path[:0] = [str(BOARD / "backend"), str(BOARD / "frontend")]

from board_testing import Backend, Postgres, Stub, migrated  # noqa: E402


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of its own, on a free port."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path) -> str:
    """The URL of a database with nothing in it, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/board.sqlite3"
    return request.getfixturevalue("postgres").create_database()


@pytest.fixture
def url(empty_url) -> str:
    """The URL of a migrated database, once of each kind."""
    return migrated(empty_url)


@pytest.fixture
def sqlite_url(tmp_path) -> str:
    """The URL of a migrated SQLite database."""
    return migrated(f"sqlite:///{tmp_path}/board.sqlite3")


@pytest.fixture(scope="session")
def ending():
    """Backends that are told to end; the last test waits for them."""
    backends: list[Backend] = []
    yield backends
    for backend in backends:
        backend.join()


@pytest.fixture
def start(ending):
    """Starts a backend on a database URL; ends it after the test."""
    running: list[Backend] = []

    def begin(url: str, **settings: str) -> Backend:
        running.append(Backend(url, **settings))
        return running[-1]

    yield begin
    for backend in running:
        backend.stop()
    ending += running


@pytest.fixture(scope="session")
def shared(tmp_path_factory, request):
    """One backend for each kind of database, kept; calling it with the kind gives it with no event in it."""
    kept: dict[str, Backend] = {}

    def emptied(kind: str) -> Backend:
        if kind not in kept:
            folder = tmp_path_factory.mktemp("board")
            url = f"sqlite:///{folder}/board.sqlite3"
            if kind == "postgresql":
                url = request.getfixturevalue("postgres").create_database()
            kept[kind] = Backend(migrated(url))
        kept[kind].forget()
        return kept[kind]

    yield emptied
    for backend in kept.values():
        backend.stop()
    for backend in kept.values():
        backend.join()


@pytest.fixture(params=["sqlite", "postgresql"])
def api(request, shared) -> Backend:
    """A running backend over an empty migrated database, once of each kind."""
    return shared(request.param)


@pytest.fixture
def board(shared) -> Backend:
    """A running backend over empty SQLite, for tests that are not about the database."""
    return shared("sqlite")


@pytest.fixture
def stub():
    """A server that answers what a test tells it to."""
    server = Stub()
    yield server
    server.stop()
