"""Migrations, readiness, and a database that goes away."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from board_backend import database, migrate
from board_backend.models import Base
from board_backend.store import Store
from board_testing import BOARD, PASSWORD, an_event, free_port, migrated, until
from slipway.proc import Result, run
from sqlalchemy import inspect, text


def migrate_process(url: str, *args: str) -> Result:
    """`python -m board_backend migrate`, as an init container runs it."""
    command = [sys.executable, "-m", "board_backend", "migrate", *args]
    return run(command, cwd=BOARD / "backend", env={"BOARD_DATABASE_URL": url}, timeout=30, check=False)


def test_a_migrated_database_is_what_the_models_say(empty_url):
    """From nothing to head in one go; a second go changes nothing."""
    engine = database.connect(empty_url)
    assert migrate.upgrade(engine) is True
    assert migrate.upgrade(engine) is False
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert migrate.current(connection) == migrate.revisions()[0]
    engine.dispose()


def test_migrations_at_once_are_one(postgres):
    """Init containers that start together wait for each other; all succeed, one does the work."""
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    with postgres.connect(name) as other, ThreadPoolExecutor(2) as pool:
        other.execute("SELECT pg_advisory_lock(%s)", [migrate.LOCK])
        started = [pool.submit(migrate_process, url) for _ in range(2)]
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(
            lambda: other.execute(waiting).fetchone()[0] == 2,
            seconds=20,
            what="two migrations wait for the lock",
        )
        other.execute("SELECT pg_advisory_unlock(%s)", [migrate.LOCK])
        results = [future.result() for future in started]
    assert [r.returncode for r in results] == [0, 0], [r.stdout + r.stderr for r in results]
    assert sum("schema upgraded" in r.stdout for r in results) == 1


def test_migrations_at_once_are_one_in_sqlite_too(tmp_path):
    """The embedded database locks as well."""
    path = tmp_path / "board.sqlite3"
    with ThreadPoolExecutor(2) as pool:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        started = [pool.submit(migrate_process, f"sqlite:///{path}", "--wait", "0") for _ in range(2)]
        time.sleep(1.5)
        holder.execute("ROLLBACK")
        holder.close()
        results = [future.result() for future in started]
    assert [r.returncode for r in results] == [0, 0], [r.stdout + r.stderr for r in results]
    assert sum("schema upgraded" in r.stdout for r in results) == 1


def test_a_migration_that_fails_leaves_nothing_behind(postgres):
    """Schema changes are one transaction: a table that is in the way stops all of them."""
    url = postgres.create_database()
    engine = database.connect(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE events (mine int)"))
    with pytest.raises(Exception, match="already exists"):
        migrate.upgrade(engine)
    assert inspect(engine).get_table_names() == ["events"]
    engine.dispose()


def test_migrate_says_that_the_database_is_away_and_keeps_its_password(caplog):
    """Exit code 1, one line with the cause."""
    result = migrate_process(
        f"postgresql+psycopg://board:{PASSWORD}@127.0.0.1:{free_port()}/board", "--wait", "0"
    )
    assert result.returncode == 1
    assert "database unavailable" in result.stdout and "refused" in result.stdout
    assert PASSWORD not in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_backend_is_ready_only_when_its_schema_is_there(empty_url, start):
    """Not before the migration, with the command to run; from then on yes, without a restart."""
    backend = start(empty_url)
    answer = backend.http.get("/readyz")
    assert answer.status_code == 503
    assert "board_backend migrate" in answer.json()["reason"]
    engine = database.connect(empty_url)
    migrate.upgrade(engine)
    engine.dispose()
    assert backend.http.get("/readyz").json() == {"status": "ready"}


def test_an_old_version_keeps_serving_when_a_newer_one_has_migrated(url, start):
    """A rollout migrates while old Pods serve; a rollback starts old Pods on the newer schema."""
    engine = database.connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of-a-newer-version'"))
    backend = start(url)
    assert backend.http.get("/readyz").status_code == 200
    assert migrate.upgrade(engine) is False
    engine.dispose()


def test_an_outage_gives_503_and_passes_without_a_restart(postgres, start, caplog):
    """No traceback, no 500, no password in the log; the process stays alive and picks up where it was."""
    backend = start(migrated(postgres.create_database()))
    assert backend.stored()
    postgres.stop()
    try:
        with caplog.at_level(logging.INFO):
            asked = [backend.http.get("/api/deployments"), backend.http.get("/api/deployments?current=true")]
            asked += [backend.send(an_event(minute=1))]
            ready = backend.http.get("/readyz")
            alive = [backend.http.get(path).status_code for path in ("/healthz", "/version", "/metrics")]
    finally:
        postgres.start()
    assert [a.status_code for a in asked] == [503, 503, 503]
    assert {a.headers["retry-after"] for a in asked} == {"1"}
    assert {a.text for a in asked} == {'{"detail":"database unavailable"}'}
    assert (ready.status_code, "database unavailable" in ready.json()["reason"]) == (503, True)
    assert alive == [200, 200, 200]
    assert not [record for record in caplog.records if record.exc_info]
    assert PASSWORD not in caplog.text + ready.text
    assert backend.http.get("/readyz").status_code == 200
    assert not backend.stored()
    assert len(backend.deployments()) == 1


def test_a_database_that_was_restarted_meanwhile_costs_no_request(postgres, start):
    """Kept connections are tested before use."""
    backend = start(migrated(postgres.create_database()))
    assert backend.stored()
    postgres.stop()
    postgres.start()
    assert not backend.stored()


def test_a_database_that_never_answers_costs_seconds_not_minutes(postgres):
    """A statement that hangs is ended by its timeout, with an error that counts as an outage."""
    url = postgres.create_database()
    engine = database.connect(url, statement_timeout=0.3)
    migrate.upgrade(engine)
    with postgres.connect(url.rpartition("/")[2]) as other, other.transaction():
        other.execute("LOCK TABLE events")
        with pytest.raises(database.UNAVAILABLE, match="statement timeout"):
            Store(engine).deployments(None, 1)
    engine.dispose()
    with database.connect(url).connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == f"{database.STATEMENT_TIMEOUT}s"
