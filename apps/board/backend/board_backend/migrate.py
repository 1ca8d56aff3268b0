"""Schema changes: applied once however many Pods start at the same time, and never taken back."""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from board_backend import database

log = logging.getLogger(__name__)

LOCK = 0x626F617264
"""Key of the PostgreSQL advisory lock that one migration holds."""

LOCK_TIMEOUT = 120
"""Seconds that one Pod waits for another's migration, or for a table that is in use."""


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, with no file; migrations run on `connection` when one is given."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    made.attributes["connection"] = connection
    return made


@cache
def revisions() -> tuple[str, frozenset[str]]:
    """The newest revision this version knows, and all of them."""
    scripts = ScriptDirectory.from_config(config())
    return str(scripts.get_current_head()), frozenset(s.revision for s in scripts.walk_revisions())


def current(connection: Connection) -> str | None:
    """The revision the database is at."""
    return MigrationContext.configure(connection).get_current_revision()


def behind(connection: Connection) -> str | None:
    """Why this version cannot work on the database's schema, or `None`.

    A revision that this version does not know is a newer one: while a rollout adds it, the old Pods go on
    serving, and after a rollback they start. Migrations therefore only ever add what old code can ignore.
    """
    head, known = revisions()
    at = current(connection)
    if at == head or (at is not None and at not in known):
        return None
    return f"schema is at {at or 'nothing'}, not at {head}: run `python -m board_backend migrate`"


def upgrade(engine: Engine) -> bool:
    """Bring the schema to this version's head in one transaction; false when there was nothing to do."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        if behind(connection) is None:
            return False
        command.upgrade(config(connection), "head")
        return True


def main(url: str, *, wait: float) -> int:
    """Upgrade, waiting up to `wait` seconds for the database to answer; 1 when it did not."""
    engine = database.connect(url, statement_timeout=0)
    deadline = time.monotonic() + wait
    while True:
        try:
            changed = upgrade(engine)
        except database.UNAVAILABLE as exc:
            if time.monotonic() >= deadline:
                log.error("database unavailable: %s", database.reason(exc))
                return 1
            log.info("waiting for the database: %s", database.reason(exc))
            time.sleep(1)
        else:
            log.info(
                "schema upgraded" if changed else "schema needs nothing",
                extra={"fields": {"head": revisions()[0]}},
            )
            return 0
        finally:
            engine.dispose()
