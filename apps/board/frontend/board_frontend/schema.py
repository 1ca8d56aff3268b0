"""The part of the API's answers that the page uses; unknown fields are ignored so that the API can grow first."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """What is shared by all open pages of a process, and so is never changed."""

    model_config = ConfigDict(frozen=True)


class Image(Answer):
    """One container image of a deployment."""

    name: str
    tag: str | None = None
    digest: str | None = None


class Links(Answer):
    """Where a reader finds the thing itself; None where no address is configured."""

    commit: str | None = None
    deploy: str | None = None
    argocd: str | None = None


class Source(Answer):
    """One of the places the backend reads; `since` is when it was last well."""

    name: str
    state: str
    since: AwareDatetime | None = None
    message: str = ""


class Freeze(Answer):
    """Why nothing may be delivered; `until` is None when no end is set."""

    name: str
    reason: str = ""
    until: AwareDatetime | None = None
    text: str = ""


class Environment(Answer):
    """A stage of the chain; `from_` is the one it is promoted from."""

    name: str
    order: int | None = None
    from_: str | None = Field(default=None, alias="from")
    delivery: str | None = None
    freeze: Freeze | None = None


class Wanted(Answer):
    """What Git names."""

    version: str | None = None
    commit: str | None = None


class Hold(Answer):
    """Why automation leaves an application alone."""

    by: str
    since: AwareDatetime | None = None
    reason: str = ""


class Compared(Answer):
    """How an application differs from the same one in `to`; `commits` is None when nobody can count them."""

    to: str
    state: str
    commits: int | None = None


class OpenFailure(Answer):
    """Why the newest attempt counts as failed."""

    reason: str
    at: AwareDatetime


class Place(Answer):
    """One application in one environment."""

    application: str
    environment: str
    images: list[Image] = []
    version: str | None = None
    commit: str | None = None
    subject: str | None = None
    revision: str
    health: str = ""
    sync: str = ""
    deployed_at: AwareDatetime | None = None
    running_since: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    rolling: bool = False
    failure: OpenFailure | None = None
    wanted: Wanted | None = None
    hold: Hold | None = None
    compared: Compared | None = None
    links: Links = Links()


class Overview(Answer):
    """What runs where."""

    environments: list[Environment]
    places: list[Place]
    sources: list[Source] = []


class Failure(OpenFailure):
    """A failed deployment; what follows is None while it is open."""

    recovered_at: AwareDatetime | None = None
    by: str | None = None


class Deployment(Answer):
    """One attempt to bring a revision to an environment."""

    id: str
    application: str
    environment: str
    revision: str
    kind: str
    version: str | None = None
    commit: str | None = None
    subject: str | None = None
    images: list[Image] = []
    started_at: AwareDatetime
    live_at: AwareDatetime | None = None
    at: AwareDatetime
    state: str
    failure: Failure | None = None
    commits: int = 0
    lead_seconds: float | None = None
    links: Links = Links()


class Deployments(Answer):
    """Newest first; `next` is None on the last page."""

    items: list[Deployment]
    next: str | None = None


class Vulnerabilities(Answer):
    """How many of each severity a scan found."""

    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    unknown: int = 0


class ImageFacts(Answer):
    """What the registry says of an image; None is not known."""

    tag: str | None = None
    digest: str | None = None
    size: int | None = None
    created: AwareDatetime | None = None
    revision: str | None = None
    vulnerabilities: Vulnerabilities | None = None


class ImagePair(Answer):
    """An image in the environment a promotion would come from, and in the one it would go to."""

    name: str
    from_: ImageFacts | None = Field(default=None, alias="from")
    to: ImageFacts | None = None


class WaitingCommit(Answer):
    """A source commit that a promotion would bring."""

    commit: str
    subject: str = ""
    author: str = ""
    committed_at: AwareDatetime
    waiting_seconds: float | None = None
    link: str | None = None


class Promotion(Answer):
    """What a promotion would ship, and what is in its way."""

    application: str
    from_: str | None = Field(default=None, alias="from")
    to: str
    state: str
    images: list[ImagePair] = []
    commits: list[WaitingCommit] = []
    blocked: list[str] = []
    notes: list[str] = []


class Spread(Answer):
    """Seconds; None when there is nothing to take them of."""

    median: float | None
    p90: float | None


class Stage(Spread):
    """One part of the lead time."""

    name: str


class Frequency(Answer):
    """`per_week` is the median over whole weeks."""

    count: int
    per_day: float | None
    per_week: float | None


class LeadTime(Spread):
    """Of each source commit that went live for the first time."""

    commits: int
    skewed: int
    unknown: int
    stages: list[Stage]


class Share(Answer):
    """`part` of `of`; `rate` is None when there is nothing to divide by."""

    part: int
    of: int
    rate: float | None


class FailedDeployment(Answer):
    """A deployment that needed repair."""

    application: str
    environment: str
    revision: str
    kind: str
    reason: str
    at: AwareDatetime
    recovered_at: AwareDatetime | None
    recovered_by: str | None
    seconds: float | None


class Recovery(Spread):
    """Of the failures that are over; `open` are not."""

    count: int
    open: int


class Figures(Answer):
    """DORA's figures of one environment, from `since` up to `until`."""

    environment: str
    application: str | None
    since: AwareDatetime
    until: AwareDatetime
    window_hours: float
    frequency: Frequency
    rollbacks: int
    config_deployments: int
    lead_time: LeadTime
    change_failure: Share
    rework: Share
    recovery: Recovery
    failures: list[FailedDeployment]


class Commit(Answer):
    """A commit of the source repository."""

    commit: str
    subject: str = ""
    author: str = ""
    committed_at: AwareDatetime | None = None
    link: str | None = None


class Changes(Answer):
    """Newest first."""

    items: list[Commit]


class Verdict(Answer):
    """What `slipway live` says of one application in one environment."""

    environment: str
    app: str
    state: str
    text: str
    fix: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    ready: int | None = None
    wanted: int | None = None


class Step(Answer):
    """One part of the way; `seconds` after the step before."""

    name: str
    at: AwareDatetime | None = None
    seconds: float | None = None


class Way(Answer):
    """The steps to one environment."""

    environment: str
    application: str
    state: str = ""
    steps: list[Step]


class Change(Answer):
    """One commit or image: where it is and how it came there."""

    text: str
    commit: Commit | None = None
    verdicts: list[Verdict] = []
    live_known: bool = False
    steps: list[Way] = []


class Status(Answer):
    """How well the backend knows what it says."""

    sources: list[Source]
    facts: int = 0
    deployments: int = 0
    changed_at: AwareDatetime | None = None
