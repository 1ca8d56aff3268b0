"""The part of the API's answers that the page uses; unknown fields are ignored so that the API can grow first."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel


class Image(BaseModel):
    """One container image of a deployment."""

    name: str
    tag: str | None = None
    digest: str | None = None


class Deployment(BaseModel):
    """What runs as one application in one environment."""

    application: str
    environment: str
    images: list[Image] = []
    revision: str
    commit: str | None = None
    version: str | None = None
    health: str = ""
    sync: str = ""
    deployed_at: AwareDatetime
    running_since: AwareDatetime | None = None


class Deployments(BaseModel):
    """Newest first."""

    items: list[Deployment]
