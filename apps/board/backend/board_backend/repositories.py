"""Copies of the deploy, source and event repositories, and what is taken from them each time they moved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice

from slipway.dora.event_log import parse_log
from slipway.errors import InvalidInput
from slipway.git.commits import DatedCommit
from slipway.git.mirror import Mirror

from board_backend.model import Model, Moved
from board_backend.readers import attempt
from board_backend.settings import Settings
from board_backend.store import Store
from board_backend.tip import read_tip

_BATCH = 500
"""Files of the log that are read and stored at a time."""


class Branch:
    """One branch that is followed; `folder` keeps the copy."""

    def __init__(self, url: str, settings: Settings, *, paths: bool):
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._open: Callable[[], Mirror] = lambda: Mirror(
            url, settings.data_dir / name, branch=settings.git_branch, credentials=settings.git_credentials, paths=paths
        )  # fmt: skip
        self._mirror: Mirror | None = None
        self.sha: str | None = None

    @property
    def mirror(self) -> Mirror:
        """The copy, opened when it is first asked for."""
        self._mirror = self._mirror or self._open()
        return self._mirror

    def close(self) -> None:
        """Let go of the copy."""
        if self._mirror:
            self._mirror.close()

    def fetched(self) -> str | None:
        """Where the branch is now; None when it is not there."""
        return self.mirror.fetch()


class Repositories:
    """All that is read from Git; what one of them lacks is told as its state, and the others are read all the same."""

    def __init__(self, settings: Settings, model: Model, store: Store):
        self._model, self._store = model, store
        self._deploy = settings.deploy_repo and Branch(settings.deploy_repo, settings, paths=True)
        self._source = settings.source_repo and Branch(settings.source_repo, settings, paths=False)
        self._log = settings.events_repo and Branch(settings.events_repo, settings, paths=False)
        self._commits: dict[str, list[DatedCommit]] = {}
        self._notes: dict[str, str] = {}

    def read(self) -> None:
        """Fetch, and hand on what is new."""
        for name, branch, take in (
            ("deploy", self._deploy, self._take_deploy),
            ("source", self._source, self._take_source),
            ("events", self._log, self._take_log),
        ):
            if branch:
                attempt(lambda n=name, b=branch, t=take: self._one(n, b, t), self._failed(name))

    def close(self) -> None:
        """Let go of all copies."""
        for branch in filter(None, (self._deploy, self._source, self._log)):
            branch.close()

    def _failed(self, name: str) -> Callable[[str], None]:
        return lambda why: self._model.sources.stale(name, why)

    def _one(self, name: str, branch: Branch, take: Callable[[Branch, str], None]) -> None:
        sha = branch.fetched()
        if sha is None and name != "events":
            mirror = branch.mirror
            raise InvalidInput(f"{mirror.shown} has no branch {mirror.branch}")
        if sha and sha != branch.sha:
            take(branch, sha)
            branch.sha = sha
        self._model.sources.ok(name, self._notes.get(name, ""))

    def _take_deploy(self, branch: Branch, sha: str) -> None:
        commits, newer = self._walked("deploy", branch, sha)
        tip = read_tip(branch.mirror.tip(sha), commits)
        self._model.moved("deploy", Moved(commits, newer, tip))
        self._commits["deploy"] = commits
        self._notes["deploy"] = "; ".join(tip.problems)

    def _take_source(self, branch: Branch, sha: str) -> None:
        commits, newer = self._walked("source", branch, sha)
        self._model.moved("source", Moved(commits, newer))
        self._commits["source"] = commits

    def _walked(
        self, name: str, branch: Branch, sha: str
    ) -> tuple[list[DatedCommit], list[DatedCommit] | None]:
        """All commits, newest first, and those since the last time, None when these do not follow."""
        newer = branch.mirror.newer(sha, branch.sha) if branch.sha else None
        return branch.mirror.commits(sha) if newer is None else [*newer, *self._commits[name]], newer

    def _take_log(self, branch: Branch, sha: str) -> None:
        """Store the facts of the files that are new since the last time; those known already need no writing."""
        files = branch.mirror.files(sha, branch.sha)
        unreadable: list[str] = []
        for batch in _batches(files):
            facts, bad = parse_log(batch)
            unreadable += bad
            found = {fact.identity: fact for fact in facts}
            self._store.add({key: fact for key, fact in found.items() if not self._model.knows(key)})
        if unreadable:
            self._notes["events"] = f"left out, since they are no events: {', '.join(unreadable)}"
        self._model.poke()


def _batches(files: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    while batch := list(islice(files, _BATCH)):
        yield batch
