"""The border to a remote Git branch: reads it, and writes to it, without checking anything out.

A write is fetch, apply, push. When the push is turned down the remote's tip decides what that meant: it moved,
then everything is applied again on the new tip; it did not, then the remote said no. Nothing is rebased or forced.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CommandFailed, RaceLost, RemoteRefused, Unreachable
from slipway.git_access import (
    brackets,
    command_env,
    denied,
    environment_credentials,
    is_denied,
    is_passing,
    remote_text,
)
from slipway.git_fetch import Again, Dropped, Reader, Tip
from slipway.git_store import Author, Store
from slipway.proc import redact, run

_CONNECTION_TRIES = 5
_LOCK_TRIES = 10


@dataclass(frozen=True)
class Proposal:
    """What to write on top of a tip: whole contents by path, and the commit's message."""

    files: Mapping[str, bytes]
    message: str


@dataclass(frozen=True)
class Landed:
    """What came of a write; `commit` is None when there was nothing to write. `base` is the tip it stands on."""

    commit: str | None
    base: str
    attempts: int


class RemoteRepo:
    """One branch of a remote repository; a context manager that owns a temporary folder."""

    def __init__(
        self,
        url: str,
        *,
        branch: str = "main",
        credentials: tuple[str, str] | None = None,
        author: Author | None = None,
        deadline: float = 120,
    ):
        self.url, self.branch, self.deadline = url, branch, deadline
        self.credentials = credentials or environment_credentials()
        self.author = author or Author()
        self.shown = redact(url)
        self._uncertain: set[str] = set()

    def __enter__(self) -> RemoteRepo:
        with ExitStack() as stack:
            env = stack.enter_context(command_env(self.credentials, self.url))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-"))
            self.store = Store(Path(folder) / "git", self.url, env)
            self.reader = Reader(self.store, self.branch, self.shown, given=self.credentials is not None)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def tip(self) -> Tip:
        """The branch as it stands on the remote now.

        Raises `RemoteRefused` without access, `InvalidInput` without the branch, `Unreachable` without an answer.
        """
        return self._retrying(self.reader.fetch)

    def update(self, propose: Callable[[Tip], Proposal | None]) -> Landed:
        """Write what `propose` makes of the tip; it is asked again on the new tip whenever another was faster.

        None from it means that nothing is to be written. Raises `RemoteRefused` when the remote says no for good,
        `RaceLost` or `Unreachable` when the deadline (seconds) is over; whatever `propose` raises goes through.
        """
        counts = {"attempts": 0, "declined": 0, "locked": 0}
        return self._retrying(lambda: self._attempt(propose, counts))

    def _retrying(self, work: Callable):
        """Repeat `work` while it says so, with jitter, until the deadline or too many failed connections."""
        import tenacity

        def patience(state: tenacity.RetryCallState) -> bool:
            self._drops = self._drops + 1 if isinstance(state.outcome.exception(), Dropped) else 0
            return self._drops >= _CONNECTION_TRIES

        self._drops = 0
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Again),
            stop=tenacity.stop_any(patience, tenacity.stop_after_delay(self.deadline)),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=4),
            reraise=True,
        )
        try:
            return retrying(work)
        except Dropped as exc:
            raise self._unreachable(exc) from exc
        except Again as exc:
            message = f"other writers were faster for {self.deadline:.0f} s: {exc}"
            raise RaceLost(message, fix="try again, or give a longer --timeout") from exc

    def _unreachable(self, cause: Exception) -> Unreachable:
        doubt = ", ".join(sha[:12] for sha in self._uncertain)
        doubt = f"; whether {doubt} arrived is not known" if doubt else ""
        fix = "check the address and the network, then repeat the command: it writes nothing twice"
        return Unreachable(f"{self.shown} does not answer: {cause}{doubt}", fix=fix)

    def _attempt(self, propose: Callable[[Tip], Proposal | None], counts: dict[str, int]) -> Landed:
        tip = self.reader.fetch()
        if landed := self._landed(tip):
            return Landed(landed, tip.sha, counts["attempts"])
        proposal = propose(tip)
        if proposal is None:
            return Landed(None, tip.sha, counts["attempts"])
        counts["attempts"] += 1
        self.reader.walk(tip.tree, proposal.files)
        tree = self.store.write_tree(tip.tree, proposal.files)
        commit = self.store.write_commit(tree, tip.sha, proposal.message, self.author)
        command = ["push", "--porcelain", "--no-verify", "origin", f"{commit}:refs/heads/{self.branch}"]
        try:
            pushed = self.store.git(*command)
        except CommandFailed as exc:
            self._uncertain.add(commit)
            raise Dropped(str(exc)) from exc
        if pushed.returncode == 0:
            return Landed(commit, tip.sha, counts["attempts"])
        refused = re.search(r"^!\t\S+\t(.*)$", pushed.stdout, re.MULTILINE)
        reason = refused[1] if refused and "report status" not in refused[1] else None
        if reason is None:
            self._uncertain.add(commit)
        raise self._turned_down(reason, pushed.stderr, tip, counts)

    def _turned_down(self, reason: str | None, stderr: str, before: Tip, counts: dict[str, int]) -> Exception:
        """What a failed push meant, by the remote's tip; text decides only when the tip stands where it stood.

        `reason` is what the remote answered for the branch, None when its answer is not known.
        """
        if reason is None and is_denied(stderr):
            return denied(self.shown, stderr, given=self.reader.given)
        if reason is None:
            return Dropped(redact(remote_text(stderr) or stderr.strip()))
        now = self.reader.fetch()
        counts["declined"] += "declined" in reason
        if now.sha != before.sha and counts["declined"] < 2:
            return Again(reason)
        counts["locked"] += is_passing(reason)
        if is_passing(reason) and counts["locked"] < _LOCK_TRIES:
            return Again(reason)
        said = f"{remote_text(stderr)} {brackets(reason)}".strip()
        return RemoteRefused(
            f"{self.shown} refused the push to {self.branch}: {redact(said)}",
            fix="the remote's own rule must allow it: branch protection, a hook, or the rights of the bot user",
        )

    def _landed(self, tip: Tip) -> str | None:
        """The commit of an earlier attempt that the branch has after all, though its answer was lost."""
        for commit in self._uncertain:
            if self.store.git("merge-base", "--is-ancestor", commit, tip.sha).returncode == 0:
                return commit
        return None


def is_ancestor(folder: Path, older: str, newer: str) -> bool | None:
    """Whether one commit of the local repository comes before another; None when either is not there."""
    asked = ["git", "-C", str(folder), "merge-base", "--is-ancestor", older, newer]
    code = run(asked, env={"LC_ALL": "C"}, check=False).returncode
    return {0: True, 1: False}.get(code)
