"""The border to the database: engines that fail fast, and which errors mean that it is away."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

UNAVAILABLE = (OperationalError, InterfaceError, TimeoutError)
"""What SQLAlchemy raises while the database is away, refuses, or has no connection left."""

CONNECT_TIMEOUT = 3
STATEMENT_TIMEOUT = 5
POOL_TIMEOUT = 3
"""Seconds; together they bound what a request can wait for a database that does not answer."""

IDLE_TIMEOUT = 10
"""Seconds after which a transaction that nobody goes on with is ended: no row shows up long after its number."""


def connect(url: str, *, statement_timeout: float = STATEMENT_TIMEOUT) -> Engine:
    """An engine for `url` that tests connections before use; `statement_timeout` in seconds, 0 for none."""
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=5,
        pool_timeout=POOL_TIMEOUT,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            "tcp_user_timeout": STATEMENT_TIMEOUT * 1000,
            "application_name": "board-backend",
            "options": f"-c timezone=UTC -c statement_timeout={int(statement_timeout * 1000)}"
            f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT * 1000}",
        },
    )


def _sqlite(url: str) -> Engine:
    """SQLite with real transactions: the driver's own BEGIN leaves schema changes outside of them."""
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 5})

    @event.listens_for(engine, "connect")
    def _own_begin(connection, record) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _lock(connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reason(error: Exception) -> str:
    """One line about why the database is away; no statement, no parameter, no URL."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return lines[0][:200]
