"""Pull requests as the write path needs them, and the choice of the forge that a repository's address means."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlsplit

from slipway.errors import InvalidInput
from slipway.git.access import check_url

Kind = Literal["gitea", "github"]
KINDS: tuple[Kind, ...] = ("gitea", "github")
TOKEN = "SLIPWAY_FORGE_TOKEN"


@dataclass(frozen=True)
class PullRequest:
    """A pull request; `branch` is the one it brings."""

    number: int
    url: str
    state: Literal["open", "merged", "closed"]
    branch: str
    title: str

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Proposed:
    """What a pull request brings: the commit at its head, the branch it goes to, who opened it and its labels."""

    number: int
    url: str
    state: Literal["open", "merged", "closed"]
    title: str
    author: str
    head: str
    base: str
    labels: tuple[str, ...]

    @classmethod
    def read(cls, data: dict, state: Literal["open", "merged", "closed"]) -> Proposed:
        """From what both forges answer."""
        labels = tuple(sorted(label["name"] for label in data.get("labels") or []))
        who, head, base = data["user"]["login"], data["head"]["sha"], data["base"]["ref"]
        return cls(data["number"], data["html_url"], state, data["title"], who, head, base, labels)


class AlreadyOpen(Exception):
    """Somebody opened the same pull request a moment ago."""


class Forge(Protocol):
    """The pull requests of one repository, from branches of its own."""

    def find(self, branch: str, base: str) -> PullRequest | None:
        """The open one that would bring `branch` into `base`; forges allow no second."""

    def create(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """A new one; raises `AlreadyOpen` when there is one."""

    def update(self, number: int, title: str, body: str) -> PullRequest:
        """The same with another title and body (Markdown)."""

    def proposed(self, number: int) -> Proposed:
        """What a pull request brings now."""

    def comment(self, number: int, marker: str, body: str) -> tuple[str, bool]:
        """Have one comment of this user that begins with `marker`; its address, and whether it is new."""

    def set_status(self, sha: str, context: str, state: str, description: str, url: str | None) -> None:
        """Say of a commit that `context` is pending, success, failure or error."""


@dataclass(frozen=True)
class Address:
    """Where a repository's forge is: the web address it is below, and the repository's owner and name."""

    root: str
    owner: str
    name: str

    @property
    def host(self) -> str:
        """Name or address of the machine, without the port."""
        return (urlsplit(self.root).hostname or "").lower()


def address_of(url: str) -> Address:
    """The forge's address by the repository's; over SSH the forge is taken to be at `https://HOST`."""
    check_url(url)
    scp = re.fullmatch(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)", url)
    parts = urlsplit(f"ssh://{scp[1]}/{scp[2]}" if scp else url)
    *prefix, owner, name = ["", "", *(part for part in parts.path.split("/") if part)]
    name = name.removesuffix(".git")
    if not owner or not name:
        raise InvalidInput(f"{url} names no owner and repository", fix="write …/OWNER/REPOSITORY.git")
    below = "".join(f"/{part}" for part in prefix if part)
    if parts.scheme in ("http", "https"):
        return Address(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{below}", owner, name)
    return Address(f"https://{parts.hostname}" if parts.hostname else "", owner, name)


def open_forge(repo_url: str, *, kind: Kind | None = None, api: str | None = None) -> Forge:
    """The forge of a repository: as given, else GitHub by its name, else Gitea if it answers as such.

    `api` is the API's address where it is not the usual one. Credentials come from SLIPWAY_FORGE_TOKEN; Gitea also
    takes those of Git. Raises `InvalidInput` when no forge can be told, or no credentials are set.
    """
    address = address_of(repo_url)
    if not (address.root or api):
        fix = "give --forge and --forge-api, or the repository's https or ssh address"
        raise InvalidInput(f"{repo_url} tells no forge, and a pull request needs one", fix=fix)
    if kind == "github" or kind is None and address.host == "github.com":
        from slipway.forge.github import GitHub, default_api

        return GitHub(api or default_api(address), address.owner, address.name, os.environ.get(TOKEN))
    from slipway.forge.gitea import Gitea, version

    api = api or f"{address.root}/api/v1"
    if kind is None and not version(api):
        fix = "give --forge gitea or --forge github, and --forge-api where its address is another"
        raise InvalidInput(f"{api} does not answer as Gitea, and {address.host} is not github.com", fix=fix)
    return Gitea(api, address.owner, address.name, os.environ.get(TOKEN))
