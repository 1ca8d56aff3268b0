"""A change on its way: straight onto the branch, or as a pull request that is opened once and then kept current."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from slipway.errors import InvalidInput, RaceLost
from slipway.forge.pull_requests import AlreadyOpen, Forge, PullRequest
from slipway.git.fetch import Tip
from slipway.git.remote import Proposal, RemoteRepo

BODY_LIMIT = 65_536
TITLE_LIMIT = 255
"""Characters; what both forges take."""
_ROUNDS = 5

Delivery = Literal["direct", "pull-request"]


@dataclass(frozen=True)
class Change:
    """What to write: whole contents by path; `title` and `trailers` make the commit, `body` (Markdown) is for people."""

    files: Mapping[str, bytes]
    title: str
    trailers: Sequence[str]
    body: str

    @property
    def proposal(self) -> Proposal:
        """The commit to make of it."""
        return Proposal(self.files, f"{self.title}\n\n" + "\n".join(self.trailers) + "\n")


@dataclass(frozen=True)
class Submitted:
    """What came of it; `commit` is None when there was nothing to write. `opened` tells a new pull request."""

    commit: str | None
    base: str
    attempts: int
    pull_request: PullRequest | None = None
    opened: bool = False

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        pull_request = self.pull_request.as_dict() if self.pull_request else None
        return self.__dict__ | {"pull_request": pull_request}


def submit(
    repo: RemoteRepo,
    propose: Callable[[Tip], Change | None],
    *,
    delivery: Delivery,
    branch: str,
    forge: Forge | None,
) -> Submitted:
    """Deliver what `propose` makes of the tip, asked again whenever the tip moves; None from it writes nothing.

    As a pull request, `branch` (under `slipway/`) brings it, and its one open pull request gets the new title and
    body; a merged or closed one is left as it is. A repetition after a crash takes up where that one ended.
    """
    if delivery == "direct":
        landed = repo.update(lambda tip: (change := propose(tip)) and change.proposal)
        return Submitted(landed.commit, landed.base, landed.attempts)
    if forge is None:
        raise InvalidInput("a pull request needs a forge", fix="give --forge and --forge-api")
    return _as_pull_request(repo, propose, branch, forge)


def preview(repo: RemoteRepo, propose: Callable[[Tip], Change | None]) -> Change | None:
    """What `submit` would deliver now; nothing is written."""
    return repo.ask(propose)


def _as_pull_request(repo: RemoteRepo, propose, branch: str, forge: Forge) -> Submitted:
    last: list[Change] = []

    def proposal(tip: Tip) -> Proposal | None:
        if change := propose(tip):
            last[:] = [change]
        return change and change.proposal

    for _ in range(_ROUNDS):
        before = forge.find(branch, repo.branch)
        # Only under an open pull request may a commit stay: under a merged one it is part of the base already.
        landed = repo.propose_on(branch, proposal, keep=before is not None)
        result = (landed.commit, landed.base, landed.attempts)
        if landed.commit is None:
            return Submitted(*result, before)
        title, body = shortened(last[0].title), fit(last[0].body)
        now = forge.find(branch, repo.branch)
        if now:
            return Submitted(*result, forge.update(now.number, title, body))
        if before:
            continue  # It was merged or closed while the branch was written: what is left is decided anew.
        try:
            return Submitted(*result, forge.create(branch, repo.branch, title, body), opened=True)
        except AlreadyOpen:
            continue
    raise RaceLost(f"the pull request of {branch} changed {_ROUNDS} times meanwhile", fix="try again")


def fit(body: str) -> str:
    """The body, cut after a whole line where a forge would refuse or lose it."""
    if len(body) <= BODY_LIMIT:
        return body
    note = "\n\n(shortened: the rest does not fit into a pull request)\n"
    return body[: BODY_LIMIT - len(note)].rpartition("\n")[0] + note


def shortened(title: str) -> str:
    """The title, cut to what a forge takes."""
    return title if len(title) <= TITLE_LIMIT else title[: TITLE_LIMIT - 1] + "…"
