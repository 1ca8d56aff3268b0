"""What comes in and goes out over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from board_backend import images

Kind = Literal["on-deployed", "on-sync-failed", "on-health-degraded", "on-sync-running"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
State = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]*$", max_length=32)]

MESSAGE_LIMIT = 4000
"""Characters of a message that are kept."""


def _blank(value: Any) -> Any:
    """Go templates print an absent value in these ways."""
    return None if value in ("", "null", "<nil>", "<no value>") else value


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _storable(value: str) -> str:
    """PostgreSQL has no text with NUL in it."""
    return value.replace("\x00", "")[:MESSAGE_LIMIT]


Time = Annotated[datetime, AfterValidator(_utc)]
OptionalTime = Annotated[Time | None, BeforeValidator(_blank)]


class EventIn(BaseModel):
    """An Argo CD notification; unknown fields are ignored so that the sender can be extended first."""

    event: Kind
    application: Name
    environment: Name
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._/+-]+$", max_length=128)]
    images: Annotated[list[str], Field(max_length=100)] = []
    sync: Annotated[State, BeforeValidator(lambda v: _blank(v) or "")] = ""
    health: Annotated[State, BeforeValidator(lambda v: _blank(v) or "")] = ""
    message: Annotated[str, BeforeValidator(lambda v: _blank(v) or ""), AfterValidator(_storable)] = ""
    started_at: OptionalTime = None
    finished_at: OptionalTime = None

    @model_validator(mode="after")
    def _checked(self) -> EventIn:
        if self.happened_at is None:
            raise ValueError("started_at or finished_at is needed")
        self.parsed_images()
        return self

    @property
    def happened_at(self) -> datetime | None:
        """When the operation ended, or began if it still runs."""
        return self.finished_at or self.started_at

    def parsed_images(self) -> list[images.Image]:
        return [images.parse(reference) for reference in self.images]


class EventResult(BaseModel):
    """`stored` is false for an event that was known already."""

    stored: bool


class ImageOut(BaseModel):
    """One container image of a deployment."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    tag: str | None
    digest: str | None


class Deployment(BaseModel):
    """One application having reached one revision in one environment."""

    application: str
    environment: str
    images: list[ImageOut]
    revision: str
    """Commit of the deploy repository."""
    commit: str | None
    """Commit of the source repository, as far as the image tags agree on one."""
    version: str | None
    health: str
    sync: str
    deployed_at: datetime
    running_since: datetime | None = None
    """Since when the same images run without a break; only for what is current."""


class Deployments(BaseModel):
    """Newest first."""

    items: list[Deployment]


class VersionOut(BaseModel):
    """Which build answers."""

    name: str
    version: str
    commit: str | None
    image: str | None
    digest: str | None
    environment: str | None
