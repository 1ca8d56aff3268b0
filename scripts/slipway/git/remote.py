"""The border to a remote Git branch: reads it, and writes to it, without checking anything out.

A write is fetch, apply, push. When the push is turned down the remote's tip decides what that meant: it moved,
then everything is applied again on the new tip; it did not, then the remote said no. Nothing is rebased or forced.
"""

from __future__ import annotations

import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slipway.errors import (
    CommandFailed,
    InvalidInput,
    PolicyRefused,
    RaceLost,
    RemoteRefused,
    SlipwayError,
    Unreachable,
)
from slipway.git.access import (
    brackets,
    command_env,
    denied,
    environment_credentials,
    is_denied,
    is_passing,
    remote_text,
)
from slipway.git.fetch import Again, Dropped, Reader, Tip
from slipway.git.store import Author, Store
from slipway.proc import redact, run

_READ_TRIES, _PUSH_TRIES = 5, 15
"""How often in a row a remote may not answer; one that still shows its branch may yet take a push."""

_LOCK_TRIES = 10
_SHORTEST, _LONGEST = 0.25, 30
"""Seconds that a pause lasts at most after a first loss on an idle remote, and ever."""

_OURS = "slipway/"
_MARK = "Proposed-On"
"""The trailer by which a commit on a proposal's branch is known to be of ours, and may be replaced."""


Answer = TypeVar("Answer")


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
    """One branch of a remote repository; a context manager that owns a temporary folder.

    With `whole` every commit and every folder of the branch is fetched, not only what the newest commits need.
    """

    def __init__(
        self,
        url: str,
        *,
        branch: str = "main",
        credentials: tuple[str, str] | None = None,
        author: Author | None = None,
        deadline: float = 120,
        whole: bool = False,
    ):
        self.url, self.branch, self.deadline, self.whole = url, branch, deadline, whole
        self.credentials = credentials or environment_credentials()
        self.author = author or Author()
        self.shown = redact(url)
        self._uncertain: set[str] = set()
        self._pushed: dict[str, str] = {}
        self._ahead: threading.Thread | None = None
        self._early: Tip | Exception | None = None

    def __enter__(self) -> RemoteRepo:
        with ExitStack() as stack:
            env = stack.enter_context(command_env(self.credentials, self.url))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-"))
            self.store = stack.enter_context(Store(Path(folder) / "git", self.url, env))
            given = self.credentials is not None
            self.reader = Reader(self.store, self.branch, self.shown, given=given, whole=self.whole)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._arrived()
        self._cleanup.close()

    def start(self, paths: Collection[str]) -> None:
        """Begin to fetch the branch and these files, without waiting: the first attempt takes what has come."""
        self._ahead = threading.Thread(target=self._read_ahead, args=(paths,), daemon=True)
        self._ahead.start()

    def _read_ahead(self, paths: Collection[str]) -> None:
        try:
            self._early = tip = self.reader.fetch()
        except Exception as exc:  # raised again where it is waited for
            self._early = exc
            return
        with suppress(SlipwayError, Again):
            tip.read(paths, siblings=True)
            tip.history()

    def _arrived(self) -> Tip | Exception | None:
        """What `start` brought, once."""
        if self._ahead:
            self._ahead.join()
        early, self._ahead, self._early = self._early, None, None
        return early

    def tip(self) -> Tip:
        """The branch as it stands on the remote now.

        Raises `RemoteRefused` without access, `InvalidInput` without the branch, `Unreachable` without an answer.
        """
        return self.retrying(self._fetch)

    def ask(self, question: Callable[[Tip], Answer]) -> Answer:
        """What `question` answers on the tip as it stands now; it is asked again when the connection fails meanwhile."""
        return self.retrying(lambda: question(self._fetch()))

    def update(self, propose: Callable[[Tip], Proposal | None]) -> Landed:
        """Write what `propose` makes of the tip; it is asked again on the new tip whenever another was faster.

        None from it means that nothing is to be written. Raises `RemoteRefused` when the remote says no for good,
        `RaceLost` or `Unreachable` when the deadline (seconds) is over; whatever `propose` raises goes through.
        """
        counts = {"attempts": 0, "declined": 0, "locked": 0}
        return self.retrying(lambda: self._attempt(propose, counts))

    def propose_on(
        self, branch: str, propose: Callable[[Tip], Proposal | None], *, keep: bool = False
    ) -> Landed:
        """Write what `propose` makes of the tip to another branch, as one commit on top of the tip.

        That branch lies under `slipway/` and is replaced whole; raises `PolicyRefused` when a person has committed
        to it. With `keep`, a commit there that makes the same change stays. Otherwise as `update`.
        """
        if not re.fullmatch(rf"{_OURS}[a-z0-9_-]+(/[a-z0-9_-]+)*", branch):
            raise InvalidInput(f"{branch!r} is no branch to propose on", fix=f"name it {_OURS}…")
        counts = {"attempts": 0, "declined": 0, "locked": 0}
        return self.retrying(lambda: self._attempt_on(branch, propose, keep, counts))

    def retrying(self, work: Callable[[], Answer]) -> Answer:
        """Repeat `work` while it says so, with jitter, until the deadline or too many failed connections."""
        begun = time.monotonic()
        self._drops = self._silent = losses = 0
        while True:
            attempt = time.monotonic()
            try:
                return work()
            except Again as exc:
                now = time.monotonic()
                dropped = isinstance(exc, Dropped)
                losses += 1
                self._drops = self._drops + 1 if dropped else 0
                self._silent = self._silent + 1 if dropped else 0
                if self._silent >= _READ_TRIES or self._drops >= _PUSH_TRIES:
                    raise self._unreachable(exc) from exc
                left = begun + self.deadline - now
                if left <= 0 and dropped:
                    raise self._unreachable(exc) from exc
                if left <= 0:
                    message = f"other writers were faster for {self.deadline:.0f} s: {exc}"
                    raise RaceLost(message, fix="try again, or give a longer --timeout") from exc
                # An attempt is slow where many write at once, so its time tells how long to stand back.
                longest = 2 * losses * max(now - attempt, _SHORTEST / 2)
                time.sleep(min(random.uniform(0, min(longest, _LONGEST)), left))

    def _fetch(self) -> Tip:
        tip = self._arrived() or self.reader.fetch()
        if isinstance(tip, Exception):
            raise tip
        self._silent = 0
        return tip

    def _unreachable(self, cause: Exception) -> Unreachable:
        doubt = ", ".join(sha[:12] for sha in self._uncertain)
        doubt = f"; whether {doubt} arrived is not known" if doubt else ""
        fix = "check the address and the network, then repeat the command: it writes nothing twice"
        return Unreachable(f"{self.shown} does not answer: {cause}{doubt}", fix=fix)

    def _attempt(self, propose: Callable[[Tip], Proposal | None], counts: dict[str, int]) -> Landed:
        tip = self._fetch()
        if landed := self._landed(tip):
            return Landed(landed, self._pushed[landed], counts["attempts"])
        proposal = propose(tip)
        if proposal is None:
            return Landed(None, tip.sha, counts["attempts"])
        counts["attempts"] += 1
        self.reader.walk(tip.tree, proposal.files)
        tree = self.store.write_tree(tip.tree, proposal.files)
        commit = self.store.write_commit(tree, tip.sha, proposal.message, self.author)
        self._pushed[commit] = tip.sha
        self._push(commit, self.branch, lambda: self.reader.fetch().sha != tip.sha, counts)
        return Landed(commit, tip.sha, counts["attempts"])

    def _attempt_on(
        self, branch: str, propose: Callable[[Tip], Proposal | None], keep: bool, counts: dict[str, int]
    ) -> Landed:
        tip = self._fetch()
        proposal = propose(tip)
        if proposal is None:
            return Landed(None, tip.sha, counts["attempts"])
        there = self.reader.other(branch)
        self.reader.walk(tip.tree, proposal.files)
        tree = self.store.write_tree(tip.tree, proposal.files)
        commit = self.store.write_commit(tree, tip.sha, _marked(proposal.message, branch), self.author)
        seen = there.sha if there else ""
        if there:
            base = self._base(there, branch)
            if (keep or seen in self._uncertain) and self._same(there, base, tip, commit, proposal):
                return Landed(seen, tip.sha, counts["attempts"])
        counts["attempts"] += 1
        lease = f"--force-with-lease=refs/heads/{branch}:{seen}"

        def moved() -> bool:
            now = self.reader.other(branch)
            return (now.sha if now else "") != seen

        self._push(commit, branch, moved, counts, lease)
        return Landed(commit, tip.sha, counts["attempts"])

    def _base(self, there: Tip, branch: str) -> str | None:
        """The commit that ours on the branch stands on, None below a merge; raises when a person's is there."""
        shown = self.store.git("log", "--first-parent", "--format=%H %P%n%an%n%B%x00", there.sha).stdout
        merged = False
        for text in shown.split("\0"):
            head, _, rest = text.strip("\n").partition("\n")
            sha, *parents = head.split() or [""]
            if f"\n{_MARK}: {branch}\n" in f"{rest}\n":
                return None if merged or not parents else parents[0]
            if len(parents) < 2:
                break
            merged = True
        who = rest.partition("\n")[0]
        raise PolicyRefused(
            f"{branch} on {self.shown} has a commit that would be lost: {sha[:12]} by {who}",
            fix="merge or close its pull request, and delete the branch",
        )

    def _same(self, there: Tip, base: str | None, tip: Tip, commit: str, proposal: Proposal) -> bool:
        """Whether the branch makes the very change of `commit`, on a base that has the same before it."""
        bodies = [self.store.body(sha).partition(b"\n\n")[2] for sha in (there.sha, commit)]
        if base is None or bodies[0] != bodies[1]:
            return False
        before = there.at(base).tree
        if self.reader.walk(before, proposal.files) != self.reader.walk(tip.tree, proposal.files):
            return False
        return self.store.write_tree(before, proposal.files) == there.tree

    def _push(
        self, commit: str, branch: str, moved: Callable[[], bool], counts: dict[str, int], *options: str
    ) -> None:
        """Push a commit; raises `Again` when that may be repeated, which `moved` tells, else why it may not."""
        command = ["push", "--porcelain", "--no-verify", *options, "origin", f"{commit}:refs/heads/{branch}"]
        try:
            pushed = self.store.git(*command)
        except CommandFailed as exc:
            self._uncertain.add(commit)
            raise Dropped(str(exc)) from exc
        if pushed.returncode == 0:
            return
        refused = re.search(r"^!\t\S+\t(.*)$", pushed.stdout, re.MULTILINE)
        reason = refused[1] if refused and "report status" not in refused[1] else None
        if reason is None:
            self._uncertain.add(commit)
        raise self._turned_down(reason, pushed.stderr, branch, moved, counts)

    def _turned_down(
        self,
        reason: str | None,
        stderr: str,
        branch: str,
        moved: Callable[[], bool],
        counts: dict[str, int],
    ) -> Exception:
        """What a failed push meant, by the remote's tip; text decides only when the tip stands where it stood.

        `reason` is what the remote answered for the branch, None when its answer is not known.
        """
        if reason is None and is_denied(stderr):
            return denied(self.shown, stderr, given=self.reader.given)
        if reason is None:
            return Dropped(redact(remote_text(stderr) or stderr.strip()))
        if reason.startswith("[rejected]"):
            return Again(reason)  # Git itself saw another tip, and sent nothing
        counts["declined"] += "declined" in reason
        if moved() and counts["declined"] < 2:
            return Again(reason)
        counts["locked"] += is_passing(reason)
        if is_passing(reason) and counts["locked"] < _LOCK_TRIES:
            return Again(reason)
        said = f"{remote_text(stderr)} {brackets(reason)}".strip()
        return RemoteRefused(
            f"{self.shown} refused the push to {branch}: {redact(said)}",
            fix="the remote's own rule must allow it: branch protection, a hook, or the rights of the bot user",
        )

    def _landed(self, tip: Tip) -> str | None:
        """The commit of an earlier attempt that the branch has after all, whatever its push was answered."""
        if not self._pushed:
            return None
        return next((commit.sha for commit in tip.history() if commit.sha in self._pushed), None)


def _marked(message: str, branch: str) -> str:
    """The message with the trailer that makes the commit ours."""
    text = message.strip()
    gap = "\n" if "\n\n" in text else "\n\n"
    return f"{text}{gap}{_MARK}: {branch}\n"


@dataclass(frozen=True)
class Log:
    """Commits as (id, subject), newest first, and how many there are in all."""

    commits: tuple[tuple[str, str], ...]
    total: int


def log_between(folder: Path, older: str, newer: str, *, limit: int) -> Log | None:
    """What `newer` has and `older` has not in the local repository; None when either is not there."""
    if not _are_ids(older, newer):
        return None
    git, env = ["git", "-c", "log.showSignature=false", "-C", str(folder)], {"LC_ALL": "C"}
    counted = run([*git, "rev-list", "--count", f"{older}..{newer}"], env=env, check=False)
    if counted.returncode:
        return None
    shown = run([*git, "log", "-z", f"--max-count={limit}", "--format=%H %s", f"{older}..{newer}"], env=env)
    commits = (line.partition(" ")[::2] for line in shown.stdout.split("\0") if line)
    return Log(tuple(commits), int(counted.stdout))


def is_ancestor(folder: Path, older: str, newer: str) -> bool | None:
    """Whether one commit of the local repository comes before another; None when either is not there."""
    if not _are_ids(older, newer):
        return None
    asked = ["git", "-C", str(folder), "merge-base", "--is-ancestor", older, newer]
    code = run(asked, env={"LC_ALL": "C"}, check=False).returncode
    return {0: True, 1: False}.get(code)


def _are_ids(*names: str) -> bool:
    """Whether these are commit ids: what an image's label says must not become an option of Git."""
    return all(re.fullmatch(r"[0-9a-f]{7,64}", name) for name in names)
