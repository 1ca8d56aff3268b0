"""Real databases and real servers on loopback for the tests of the release board."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def migrated_postgres(postgres) -> str:
    """The name of a migrated PostgreSQL database, to be copied."""
    return migrated(postgres.create_database()).rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres, migrated_postgres) -> str:
    """The URL of a migrated PostgreSQL database."""
    return postgres.create_database(migrated_postgres)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory) -> Path:
    """A migrated SQLite database, to be copied."""
    file = tmp_path_factory.mktemp("board") / "board.sqlite3"
    migrated(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(tmp_path, migrated_sqlite) -> str:
    """The URL of a migrated SQLite database."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'board.sqlite3')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request) -> str:
    """The URL of a migrated database, once of each kind."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


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

    def begin(url: str, **settings: object) -> Backend:
        running.append(Backend(url, **settings))
        return running[-1]

    yield begin
    for backend in running:
        backend.stop()
    ending += running


@pytest.fixture
def api(url, start) -> Backend:
    """A running backend over an empty migrated database, once of each kind."""
    return start(url)


@pytest.fixture
def board(sqlite_url, start) -> Backend:
    """A running backend over empty SQLite, for tests that are not about the database."""
    return start(sqlite_url)


@pytest.fixture(scope="session")
def refusing(tmp_path_factory, migrated_sqlite, ending):
    """A backend with one deployment, for tests that it lets store nothing; it counts on that."""
    file = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("refusing") / "board.sqlite3")
    backend = Backend(f"sqlite:///{file}")
    assert backend.stored()
    backend.caught_up()
    yield backend
    assert backend.count() == 1
    backend.stop()
    ending.append(backend)


@pytest.fixture
def stub():
    """A server that answers what a test tells it to."""
    server = Stub()
    yield server
    server.stop()
