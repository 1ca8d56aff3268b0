"""What the API answers; times are UTC, and what is not known or not defined is null, never 0."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(
        extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )


class Problem(Answer):
    """Why there is no answer, in one sentence."""

    detail: str


class EventResult(Answer):
    """`stored` is false for an event that was known already."""

    stored: bool


class VersionOut(Answer):
    """Which build answers."""

    name: str
    version: str
    commit: str | None
    image: str | None
    digest: str | None
    environment: str | None


class Health(Answer):
    """The process answers."""

    status: str


class Ready(Answer):
    """Whether requests can be answered, and why not."""

    status: str
    reason: str | None = None


class Image(Answer):
    """One container image."""

    name: str
    tag: str | None
    digest: str | None


class Links(Answer):
    """Where a person looks further; null where no address is configured."""

    commit: str | None
    deploy: str | None
    argocd: str | None


class Source(Answer):
    """One of the things that the board reads; `since` is when it became stale."""

    name: Literal["deploy", "source", "events", "argocd", "database"]
    state: Literal["ok", "stale", "off"]
    since: datetime | None
    message: str


class FreezeOut(Answer):
    """A freeze that holds now; `until` is when the environment opens, null when that is not within a year."""

    name: str
    reason: str
    until: datetime | None
    text: str


class EnvironmentOut(Answer):
    """An environment; without its policy only the name is known."""

    name: str
    order: int | None
    from_: str | None = Field(alias="from")
    delivery: Literal["direct", "pull-request"] | None
    freeze: FreezeOut | None


class OpenFailure(Answer):
    """The newest attempt failed, and nothing has repaired it."""

    reason: str
    at: datetime


class Wanted(Answer):
    """What Git names."""

    version: str | None
    commit: str | None


class HoldOut(Answer):
    """Automation leaves the application alone."""

    by: str
    since: datetime
    reason: str


class Compared(Answer):
    """Beside the environment that is promoted from; `commits` is how far behind."""

    to: str
    state: Literal["same", "behind", "different", "unknown"]
    commits: int | None


class Place(Answer):
    """One application in one environment; nothing runs there while `deployed_at` is null."""

    application: str
    environment: str
    images: list[Image]
    version: str | None
    commit: str | None
    """Of the source repository; in full where the source is known."""
    subject: str | None
    revision: str
    """Commit of the deploy repository."""
    health: str
    sync: str
    deployed_at: datetime | None
    running_since: datetime | None
    """Since when the same images run."""
    started_at: datetime | None
    rolling: bool
    failure: OpenFailure | None
    wanted: Wanted | None
    hold: HoldOut | None
    compared: Compared | None
    links: Links


class Now(Answer):
    """What runs where."""

    environments: list[EnvironmentOut]
    places: list[Place]
    sources: list[Source]


Kind = Literal["images", "rollback", "config"]


class FailureOut(Answer):
    """Why a deployment counts as failed; `recovered_at` and `by` (a deploy commit) are null while it is open."""

    reason: str
    at: datetime
    recovered_at: datetime | None
    by: str | None


class Deployment(Answer):
    """A revision that Argo CD brought, or tried to bring, to a place.

    `state` is `superseded` when a newer one began before anything was told of its end.
    """

    id: str
    application: str
    environment: str
    revision: str
    kind: Kind
    version: str | None
    commit: str | None
    subject: str | None
    images: list[Image]
    started_at: datetime
    live_at: datetime | None
    at: datetime
    """When it went live, or else failed, or else began."""
    state: Literal["live", "failed", "running", "superseded"]
    health: str
    sync: str
    failure: FailureOut | None
    commits: int
    """How many source commits went live with it for the first time."""
    lead_seconds: float | None
    """The longest of their lead times."""
    links: Links


class Deployments(Answer):
    """Newest first; `next` is the cursor of what follows, null at the end."""

    items: list[Deployment]
    next: str | None


class Vulnerabilities(Answer):
    """How many of each severity the scan of the build found."""

    critical: int
    high: int
    medium: int
    low: int
    unknown: int


class ImageFacts(Answer):
    """What the registry tells of an image; `size` is in bytes, compressed."""

    tag: str | None
    digest: str | None
    size: int | None
    created: datetime | None
    revision: str | None
    vulnerabilities: Vulnerabilities | None


class ImagePair(Answer):
    """An image where the promotion comes from, and where it would go to."""

    name: str
    from_: ImageFacts | None = Field(alias="from")
    to: ImageFacts | None


class WaitingCommit(Answer):
    """A commit that would be shipped; `waiting_seconds` counts from its commit, to the minute."""

    commit: str
    subject: str
    author: str
    committed_at: datetime
    waiting_seconds: float
    link: str | None


class Promotion(Answer):
    """What a promotion would ship; `blocked` says what stands against it, and when that ends."""

    application: str
    from_: str = Field(alias="from")
    to: str
    state: Literal["ready", "nothing", "unknown"]
    images: list[ImagePair]
    commits: list[WaitingCommit]
    blocked: list[str]
    notes: list[str]


class Commit(Answer):
    """A commit of the source repository."""

    commit: str
    subject: str
    author: str
    committed_at: datetime
    link: str | None


class Changes(Answer):
    """Newest first."""

    items: list[Commit]


class StepOut(Answer):
    """One station on the way to an environment; `seconds` is the time since the one before."""

    name: Literal["committed", "built", "written", "merged", "synced", "live"]
    at: datetime | None
    seconds: float | None


class Way(Answer):
    """A change's way to one place; `state` is the verdict's, or what the events tell."""

    environment: str
    application: str
    state: str
    steps: list[StepOut]


class Change(Answer):
    """Where a commit or an image is; `verdicts` are those of `slipway live`, with Pods only if `live_known`."""

    text: str
    commit: Commit | None
    verdicts: list[dict[str, Any]]
    live_known: bool
    steps: list[Way]


class Status(Answer):
    """How the board itself is."""

    sources: list[Source]
    facts: int
    deployments: int
    changed_at: datetime
