"""Migrations, readiness, and a database that goes away."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from board_backend import database, migrate
from board_backend.model import OVERLAP
from board_backend.models import Base, Event
from board_backend.store import Store
from board_testing import BOARD, PASSWORD, an_event, free_port, until
from slipway.dora import events as told
from slipway.proc import Result, run
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session


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
    until(lambda: backend.http.get("/readyz").json() == {"status": "ready"}, what="it is ready")


def test_an_old_version_keeps_serving_when_a_newer_one_has_migrated(url, start):
    """A rollout migrates while old Pods serve; a rollback starts old Pods on the newer schema."""
    engine = database.connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of-a-newer-version'"))
    backend = start(url)
    until(lambda: backend.http.get("/readyz").status_code == 200, what="it is ready")
    assert migrate.upgrade(engine) is False
    engine.dispose()


def test_an_outage_refuses_events_and_goes_on_showing_what_was_read(postgres, postgres_url, start, caplog):
    """No traceback, no 500, no password in the log; the process stays alive and picks up where it was."""
    backend = start(postgres_url)
    assert backend.stored() and len(backend.deployments()) == 1
    postgres.stop()
    try:
        with caplog.at_level(logging.INFO):
            began = time.monotonic()
            refused = backend.send(an_event(minute=1, commit="2222222"))
            assert time.monotonic() - began < 5
            until(lambda: database_source(backend)["state"] == "stale", what="the page says so")
            shown = backend.get("/api/deployments")["items"]
            ready = backend.http.get("/readyz")
            alive = [backend.http.get(path).status_code for path in ("/healthz", "/version", "/metrics")]
    finally:
        postgres.start()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json() == {"detail": "database unavailable"}
    assert len(shown) == 1
    assert (ready.status_code, "database unavailable" in ready.json()["reason"]) == (503, True)
    assert alive == [200, 200, 200]
    assert not [record for record in caplog.records if record.exc_info]
    assert PASSWORD not in caplog.text + ready.text
    until(lambda: backend.http.get("/readyz").status_code == 200, what="it is ready again")
    until(lambda: database_source(backend)["state"] == "ok", what="the page says that it is over")
    assert not backend.stored() and backend.stored(minute=1, commit="2222222")
    assert backend.count() == len(backend.deployments()) == 2


def database_source(backend) -> dict:
    return next(one for one in backend.get("/api/status")["sources"] if one["name"] == "database")


def test_a_board_that_starts_without_its_database_says_so_and_waits(postgres, postgres_url, start):
    """Nothing was read yet, so there is nothing to show; no restart is needed when it comes."""
    postgres.stop()
    try:
        backend = start(postgres_url)
        until(lambda: "refused" in backend.http.get("/api/now").text, what="the page says so")
        assert backend.http.get("/api/now").status_code == 503
    finally:
        postgres.start()
    until(lambda: backend.http.get("/api/now").status_code == 200, what="it is read")


def test_a_database_that_was_restarted_meanwhile_costs_no_request(postgres, postgres_url, start):
    """Kept connections are tested before use."""
    backend = start(postgres_url)
    assert backend.stored()
    postgres.stop()
    postgres.start()
    assert not backend.stored()


def test_a_database_that_never_answers_costs_seconds_not_minutes(postgres, postgres_url, start, monkeypatch):
    """A statement that hangs is ended by its timeout; the sender is told to come again."""
    monkeypatch.setattr(database.connect, "__kwdefaults__", {"statement_timeout": 0.3})
    backend = start(postgres_url)
    backend.caught_up()
    with postgres.connect(postgres_url.rpartition("/")[2]) as other, other.transaction():
        other.execute("LOCK TABLE facts")
        began = time.monotonic()
        assert backend.send(an_event()).status_code == 503
        assert time.monotonic() - began < 3
        until(lambda: "timeout" in database_source(backend)["message"], what="the page says so")
    assert backend.stored()


def test_statements_are_limited_as_they_are_in_production(postgres_url):
    """What another test shortens, and that nothing is left open beyond the time for which rows are waited for."""
    with database.connect(postgres_url).connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == f"{database.STATEMENT_TIMEOUT}s"
        idle = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
    assert idle == f"{database.IDLE_TIMEOUT}s"
    assert 2 * database.STATEMENT_TIMEOUT + database.IDLE_TIMEOUT < OVERLAP


def old_event(connection, **fields: object) -> None:
    """A row as versions before the facts wrote it."""
    given = {
        "event": "on-deployed", "application": "shop", "environment": "lab", "revision": "a" * 40,
        "happened_at": T[2], "started_at": T[1], "finished_at": T[2], "seen_at": T[3], "fingerprint": "",
        "images": [{"name": "r/b", "tag": "v1", "digest": DIGEST}, {"name": "r/a", "tag": None, "digest": None}],
        "sync": "Synced", "health": "Healthy", "message": "grüß\u0001 \"gott\"",
    } | fields  # fmt: skip
    with Session(connection) as session:
        session.add(Event(**given))
        session.flush()


T = [datetime(2026, 1, 1, 10, minute, 0, 125_000, tzinfo=UTC) for minute in range(9)]
DIGEST = "sha256:" + "b" * 64


def test_events_of_the_version_before_become_the_facts_they_told_of(empty_url):
    """Each as the same event would be kept today; a degraded one when it was seen, and its recovery after it."""
    engine = database.connect(empty_url)
    with engine.begin() as connection:
        command.upgrade(migrate.config(connection), "0001")
        old_event(connection)
        old_event(
            connection,
            revision="b" * 40,
            event="on-sync-running",
            happened_at=T[4],
            started_at=T[4],
            finished_at=None,
        )
        old_event(connection, revision="c" * 40, seen_at=T[7])
        old_event(connection, revision="c" * 40, event="on-health-degraded", health="Degraded", seen_at=T[5])
        command.upgrade(migrate.config(connection), "0002")
        assert connection.scalar(text("SELECT count(*) FROM events")) == 4
    kept = list(Store(engine).facts())
    engine.dispose()
    assert [one.identity for one in kept] == [one.fact.identity for one in kept]
    found = {(f.revision[0], f.event, f.at, f.started) for f in (one.fact for one in kept)}
    assert found == {
        ("a", "on-deployed", T[2], T[1]),
        ("b", "on-sync-running", T[4], T[4]),
        ("c", "on-deployed", T[2], T[1]),
        ("c", "on-health-degraded", T[5], T[1]),
        ("c", "on-deployed", T[7], T[1]),
    }
    same = told.Event(
        event="on-deployed", application="shop", environment="lab", revision="a" * 40, sync="Synced", health="Healthy",
        message="grüß\u0001 \"gott\"", images=[f"r/b:v1@{DIGEST}", "r/a"], started_at=T[1], finished_at=T[2],
    )  # fmt: skip
    assert same.fact() in [one.fact for one in kept]
