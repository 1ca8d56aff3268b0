"""The table of facts, filled from the events; those stay, for the version before this one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)
_TEXTS = ("event", "application", "environment", "revision", "sync", "health", "message")
_BATCH = 1000


def upgrade() -> None:
    facts = op.create_table(
        "facts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("application", sa.String(63), nullable=False),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("revision", sa.String(128), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("started", _TIME, nullable=False),
        sa.Column("images", sa.JSON, nullable=False),
        sa.Column("sync", sa.String(32), nullable=False),
        sa.Column("health", sa.String(32), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("stored_at", _TIME, nullable=False),
        sa.UniqueConstraint("hash", name="uq_facts_hash"),
    )
    connection = op.get_bind()
    events = [dict(row) for row in connection.execute(_EVENTS).mappings()]
    found = {fact["hash"]: fact for fact in _facts(events, connection.dialect.name)}
    for start in range(0, len(found), _BATCH):
        connection.execute(facts.insert(), list(found.values())[start : start + _BATCH])


_EVENTS = sa.select(
    *(sa.column(name) for name in _TEXTS),
    *(sa.column(name, _TIME) for name in ("happened_at", "started_at", "finished_at", "seen_at")),
    sa.column("images", sa.JSON),
).select_from(sa.table("events"))


def _facts(events: list[dict[str, Any]], dialect: str) -> Iterator[dict[str, Any]]:
    """An event's own fact; where a deployment was told again after it had been told as degraded, its recovery too.

    The events had no time of the health: of a degraded one, that of its last report is nearest to it.
    """
    degraded = {_operation(event): event for event in events if event["event"] == "on-health-degraded"}
    for event in events:
        seen, done = event["seen_at"], event["finished_at"] or event["started_at"]
        if event["event"] == "on-health-degraded":
            yield _fact(event, seen, dialect)
            continue
        begun = event["event"] == "on-sync-running" and event["started_at"]
        yield _fact(event, begun or done, dialect)
        bad = degraded.get(_operation(event))
        if event["event"] == "on-deployed" and bad and bad["seen_at"] < seen:
            yield _fact(event, seen, dialect)


def _operation(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event[key] for key in ("environment", "application", "revision", "happened_at"))


def _fact(event: dict[str, Any], at: datetime, dialect: str) -> dict[str, Any]:
    images = sorted({_reference(image) for image in event["images"]})
    fact = {key: event[key] for key in _TEXTS} | {"images": images}
    times = {"at": at, "started": event["started_at"] or event["finished_at"], "stored_at": event["seen_at"]}
    # SQLite keeps times without their zone, and is given them so.
    utc = {key: value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) for key, value in times.items()}
    kept = {key: value.replace(tzinfo=None) for key, value in utc.items()} if dialect == "sqlite" else utc
    return fact | kept | {"hash": _hash(fact, utc)}


def _reference(image: dict[str, str | None]) -> str:
    tag, digest = image["tag"], image["digest"]
    return image["name"] + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def _hash(fact: dict[str, Any], times: dict[str, datetime]) -> str:
    what = [fact[key] for key in ("event", "application", "environment", "revision", "sync", "health")]
    told = [*what, times["at"].isoformat(), times["started"].isoformat(), fact["images"], fact["message"]]
    return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()
