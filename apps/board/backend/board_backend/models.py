"""The tables: what Argo CD reported, each fact once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC on every database, SQLite included."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables."""


class FactRow(Base):
    """A `slipway.dora.events.Fact`; `hash` is its identity."""

    __tablename__ = "facts"
    __table_args__ = (UniqueConstraint("hash", name="uq_facts_hash"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    event: Mapped[str] = mapped_column(String(32))
    application: Mapped[str] = mapped_column(String(63))
    environment: Mapped[str] = mapped_column(String(63))
    revision: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    started: Mapped[datetime] = mapped_column(UtcDateTime)
    images: Mapped[list[str]] = mapped_column(JSON)
    sync: Mapped[str] = mapped_column(String(32))
    health: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)
    stored_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Event(Base):
    """What versions before revision 0002 wrote; they may still run beside this one, and go on writing it."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint(
            "event", "application", "environment", "revision", "happened_at", name="uq_events_fact"
        ),
        Index("ix_events_latest", "application", "environment", "happened_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    event: Mapped[str] = mapped_column(String(32))
    application: Mapped[str] = mapped_column(String(63))
    environment: Mapped[str] = mapped_column(String(63))
    revision: Mapped[str] = mapped_column(String(128))
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    images: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    fingerprint: Mapped[str] = mapped_column(String(64))
    sync: Mapped[str] = mapped_column(String(32))
    health: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)
