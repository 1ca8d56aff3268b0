"""The table of facts: written, read from the start, and followed."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from slipway.dora.events import Fact
from slipway.registry.references import Reference, parse
from sqlalchemy import Engine, Row, Select, func, select
from sqlalchemy.dialects import postgresql, sqlite

from board_backend import migrate
from board_backend.models import FactRow

_INSERT = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_TEXTS = ("event", "application", "environment", "revision", "sync", "health", "message")
_COLUMNS = ("id", "hash", *_TEXTS, "at", "started", "images")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A fact with the number of its row; a number says nothing of when its row was committed."""

    id: int
    identity: str
    fact: Fact


class Store:
    """All that is asked of the database; it raises `database.UNAVAILABLE` when that is away."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def not_ready(self) -> str | None:
        """Why requests cannot be answered, or `None`."""
        with self._engine.connect() as connection:
            return migrate.behind(connection)

    def add(self, facts: Mapping[str, Fact]) -> set[str]:
        """Keep these, by identity, in one transaction; the identities of those that were new.

        The order is the same in every process, so that two with the same facts wait for, and not against, each other.
        """
        now = datetime.now(UTC)
        rows = [_row(identity, facts[identity], now) for identity in sorted(facts)]
        insert = _INSERT[self._engine.dialect.name](FactRow)
        new = insert.on_conflict_do_nothing(index_elements=["hash"]).returning(FactRow.hash)
        with self._engine.begin() as connection:
            return set(connection.execute(new, rows).scalars()) if rows else set()

    def facts(self) -> Iterator[Kept]:
        """Everything, in the order of the numbers."""
        with self._engine.connect() as connection:
            query = _SELECT.order_by(FactRow.id).execution_options(yield_per=_PAGE)
            yield from map(_kept, connection.execute(query))

    def settled(self, before: datetime) -> int:
        """The highest number among the rows that were stored before a time; 0 when there are none."""
        with self._engine.connect() as connection:
            query = select(func.coalesce(func.max(FactRow.id), 0)).where(FactRow.stored_at < before)
            return connection.scalar(query)

    def ids_after(self, number: int) -> list[int]:
        """The numbers of the rows there are beyond this one."""
        with self._engine.connect() as connection:
            return list(connection.scalars(select(FactRow.id).where(FactRow.id > number)))

    def some(self, ids: Collection[int]) -> list[Kept]:
        """The rows of these numbers."""
        wanted, found = sorted(ids), []
        with self._engine.connect() as connection:
            for start in range(0, len(wanted), _PAGE):
                query = _SELECT.where(FactRow.id.in_(wanted[start : start + _PAGE]))
                found += map(_kept, connection.execute(query))
        return found

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()


_SELECT: Select = select(*(getattr(FactRow, name) for name in _COLUMNS))


def _row(identity: str, fact: Fact, now: datetime) -> dict[str, object]:
    texts = {name: getattr(fact, name) for name in _TEXTS}
    times = {"at": fact.at, "started": fact.started, "stored_at": now}
    return texts | times | {"hash": identity, "images": [str(image) for image in fact.images]}


def _kept(row: Row) -> Kept:
    # Most texts are there many times: one object for all of them.
    texts = {name: sys.intern(getattr(row, name)) for name in _TEXTS}
    images = _references(tuple(row.images))
    return Kept(row.id, row.hash, Fact(**texts, at=row.at, started=row.started, images=images))


@lru_cache(maxsize=1 << 14)
def _references(texts: tuple[str, ...]) -> tuple[Reference, ...]:
    return tuple(map(parse, texts))
