"""Events in, deployments out."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, Select, and_, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from board_backend import images, migrate
from board_backend.models import Event
from board_backend.schema import Deployment, EventIn, ImageOut

DEPLOYED = "on-deployed"
_NEWEST = (Event.happened_at.desc(), Event.seen_at.desc(), Event.id.desc())
_INSERT = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_FACT = ("event", "application", "environment", "revision", "happened_at")


class Store:
    """All that is asked of the database; every method is one transaction."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def not_ready(self) -> str | None:
        """Why requests cannot be answered, or `None`; raises `database.UNAVAILABLE` when it is away."""
        with self._engine.connect() as connection:
            return migrate.behind(connection)

    def add(self, event: EventIn) -> bool:
        """Keep `event`; false when the same fact was there already, which then counts as seen again."""
        now = datetime.now(UTC)
        with Session(self._engine) as session, session.begin():
            settled = images.settle(event.parsed_images(), _images(_before(session, event)))
            values = event.model_dump(exclude={"images"}) | {
                "happened_at": event.happened_at,
                "seen_at": now,
                "images": [image.as_dict() for image in settled],
                "fingerprint": images.fingerprint(settled),
            }
            insert = _INSERT[self._engine.dialect.name](Event).values(values)
            new = session.scalar(insert.on_conflict_do_nothing(index_elements=_FACT).returning(Event.id))
            if new is None:
                same = and_(*(getattr(Event, name) == values[name] for name in _FACT))
                session.execute(update(Event).where(same).values(seen_at=now))
            return new is not None

    def deployments(self, environment: str | None, limit: int) -> list[Deployment]:
        """The last `limit` deployments, newest first."""
        query = _of(select(Event).where(Event.event == DEPLOYED), environment).order_by(*_NEWEST).limit(limit)
        with Session(self._engine) as session:
            return [_deployment(row) for row in session.scalars(query)]

    def current(self, environment: str | None) -> list[Deployment]:
        """What runs now, one per application and environment, newest first, with the state last reported."""
        with Session(self._engine) as session:
            states = {_place(row): row for row in session.scalars(_latest(select(Event), environment))}
            running = session.execute(_latest(_with_since(), environment)).all()
            return [_deployment(row, state=states[_place(row)], since=since) for row, since in running]


def _place(row: Event) -> tuple[str, str]:
    return row.application, row.environment


def _of(query: Select, environment: str | None) -> Select:
    return query if environment is None else query.where(Event.environment == environment)


def _latest(query: Select, environment: str | None) -> Select:
    """The newest row of `query` for each application and environment."""
    rank = func.row_number().over(partition_by=(Event.application, Event.environment), order_by=_NEWEST)
    inner = select(Event.id, rank.label("rank"))
    if query.whereclause is not None:
        inner = inner.where(query.whereclause)
    ranked = inner.subquery()
    chosen = query.join(ranked, and_(ranked.c.id == Event.id, ranked.c.rank == 1))
    return _of(chosen, environment).order_by(*_NEWEST)


def _with_since() -> Select:
    """Deployments, each with the start of the unbroken run of its images."""
    other, same = aliased(Event), aliased(Event)

    def here(row) -> tuple:
        return (
            row.event == DEPLOYED,
            row.application == Event.application,
            row.environment == Event.environment,
        )

    changed = (
        select(func.max(other.happened_at))
        .where(*here(other), other.fingerprint != Event.fingerprint, other.happened_at <= Event.happened_at)
        .correlate(Event)
        .scalar_subquery()
    )
    since = (
        select(func.min(same.happened_at))
        .where(*here(same), same.fingerprint == Event.fingerprint)
        .where((same.happened_at > changed) | changed.is_(None))
        .correlate(Event)
        .scalar_subquery()
    )
    return select(Event, since).where(Event.event == DEPLOYED)


def _before(session: Session, event: EventIn) -> Event | None:
    """The deployment of another revision that `event` replaces."""
    return session.scalar(
        select(Event)
        .where(Event.event == DEPLOYED, Event.revision != event.revision)
        .where(Event.application == event.application, Event.environment == event.environment)
        .where(Event.happened_at <= event.happened_at)
        .order_by(*_NEWEST)
        .limit(1)
    )


def _images(row: Event | None) -> list[images.Image]:
    return [images.Image(**image) for image in row.images] if row else []


def _deployment(row: Event, *, state: Event | None = None, since: datetime | None = None) -> Deployment:
    parsed = _images(row)
    state = state or row
    return Deployment(
        application=row.application,
        environment=row.environment,
        images=[ImageOut.model_validate(image) for image in parsed],
        revision=row.revision,
        commit=images.one_commit(parsed),
        version=images.one_version(parsed),
        health=state.health,
        sync=state.sync,
        deployed_at=row.happened_at,
        running_since=since,
    )
