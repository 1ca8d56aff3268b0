"""What Argo CD reported: the notification as it comes, and the fact that is kept of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from slipway.errors import InvalidInput
from slipway.registry.references import Reference, parse

DEPLOYED, SYNC_FAILED, DEGRADED, RUNNING = (
    "on-deployed",
    "on-sync-failed",
    "on-health-degraded",
    "on-sync-running",
)
Kind = Literal["on-deployed", "on-sync-failed", "on-health-degraded", "on-sync-running"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._/+-]+$", max_length=128)]
State = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]*$", max_length=32)]

MESSAGE_LIMIT = 4000
"""Characters of a message that are kept."""

IMAGE_LIMIT = 512
"""Characters of one image reference."""

_YEARS = 1970, 3000
"""Beyond these a clock is wrong, and the time from one event to another cannot be told."""


def _blank(value: Any) -> Any:
    """Go templates print an absent value in these ways."""
    return None if value in ("", "null", "<nil>", "<no value>") else value


def _utc(value: datetime) -> datetime:
    if not _YEARS[0] < value.year < _YEARS[1]:
        raise ValueError(f"a year after {_YEARS[0]} and before {_YEARS[1]} is needed")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _storable(value: str) -> str:
    """PostgreSQL has no text with NUL in it."""
    return value.replace("\x00", "")[:MESSAGE_LIMIT]


Time = Annotated[datetime, AfterValidator(_utc)]
OptionalTime = Annotated[Time | None, BeforeValidator(_blank)]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened to one application in one environment; times are UTC.

    `at` is when it happened: healthy again, degraded, sync failed, or sync begun. `started` is the sync's begin.
    """

    event: str
    application: str
    environment: str
    revision: str
    at: datetime
    started: datetime
    images: tuple[Reference, ...] = ()
    sync: str = ""
    health: str = ""
    message: str = ""

    @property
    def identity(self) -> str:
        """Equal exactly for equal facts, whichever way they were told."""
        what = (self.event, self.application, self.environment, self.revision, self.sync, self.health)
        times = (self.at.isoformat(), self.started.isoformat())
        told = [*what, *times, [str(image) for image in self.images], self.message]
        return hashlib.sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


class Event(BaseModel):
    """An Argo CD notification; unknown fields are ignored so that the sender can be extended first."""

    event: Kind
    application: Name
    environment: Name
    revision: Revision
    images: Annotated[list[Annotated[str, Field(max_length=IMAGE_LIMIT)]], Field(max_length=100)] = []
    sync: Annotated[State, BeforeValidator(lambda v: _blank(v) or "")] = ""
    health: Annotated[State, BeforeValidator(lambda v: _blank(v) or "")] = ""
    message: Annotated[str, BeforeValidator(lambda v: _blank(v) or ""), AfterValidator(_storable)] = ""
    started_at: OptionalTime = None
    finished_at: OptionalTime = None
    health_changed_at: OptionalTime = None

    @model_validator(mode="after")
    def _checked(self) -> Event:
        if not (self.finished_at or self.started_at):
            raise ValueError("started_at or finished_at is needed")
        self.references()
        return self

    def references(self) -> list[Reference]:
        """The images, parsed; raises `ValueError` for what is none."""
        try:
            return [parse(text) for text in self.images]
        except InvalidInput as exc:
            raise ValueError(exc.message) from exc

    @property
    def at(self) -> datetime:
        """When the fact happened.

        The sync's end and the change of health both made it true, so the later one counts; a health that is older
        than the sync says nothing of it.
        """
        done = self.finished_at or self.started_at
        if self.event == RUNNING:
            return self.started_at or done
        if self.event == SYNC_FAILED or not self.health_changed_at:
            return done
        if self.event == DEGRADED:
            return self.health_changed_at
        started = self.started_at or done
        return max(done, self.health_changed_at) if self.health_changed_at >= started else done

    def fact(self) -> Fact:
        """What is kept."""
        started = self.started_at or self.finished_at
        same = (self.event, self.application, self.environment, self.revision)
        images = tuple(sorted(set(self.references()), key=str))
        return Fact(*same, self.at, started, images, self.sync, self.health, self.message)
