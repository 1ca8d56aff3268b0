"""What an overlay was earlier: the branch's states in order, and which of its commits were bumps of that overlay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from slipway.errors import InvalidInput, PolicyRefused
from slipway.git.commits import Commit
from slipway.git.remote import Tip
from slipway.kustomization.images import Entry, read_images
from slipway.registry.references import pin
from slipway.writing.lineage import changed_images, trailer_pairs

REACH = (500, 2000, 8000)
"""How many commits more are fetched, one step after the other, when the newest do not tell."""

GOAL = "Rollback-To"
"""The trailer in which a rollback names the commit whose images it brought back."""


@dataclass(frozen=True)
class Step:
    """One move of the branch: the state it came to, the one it left, and the commits that it brought."""

    sha: str
    parent: str | None
    commits: tuple[Commit, ...]

    def bumps(self, where: str) -> list[Commit]:
        """Those of its commits that record a change of images in an overlay such as `dev/board`."""
        return [commit for commit in self.commits if changed_images(commit.message, where)]


@dataclass(frozen=True)
class Goal:
    """A commit of the branch, and the entries that shall be as they were there; None means all of them."""

    sha: str
    entries: frozenset[str] | None = None


def line(commits: Sequence[Commit]) -> list[Step]:
    """The states that a branch went through, newest first; a commit belongs to the merge that brought it.

    `commits` begin with the newest, as Git's log does.
    """
    known = {commit.sha: commit for commit in commits}
    firsts, sha = [], commits[0].sha if commits else None
    while sha in known:
        firsts.append(known[sha])
        sha = next(iter(known[sha].parents), None)
    taken, steps = {commit.sha for commit in firsts}, []
    for commit in reversed(firsts):
        brought, waiting = [commit], list(commit.parents[1:])
        while waiting:
            sha = waiting.pop()
            if sha in known and sha not in taken:
                taken.add(sha)
                brought.append(known[sha])
                waiting += known[sha].parents
        steps.append(Step(commit.sha, next(iter(commit.parents), None), tuple(brought)))
    return steps[::-1]


class Past:
    """The earlier states of one overlay, fetched as they are asked for; `where` is such as `dev/board`."""

    def __init__(self, tip: Tip, where: str, path: str, reach: Sequence[int] = REACH):
        self.tip, self.where, self.path, self.reach = tip, where, path, reach

    def steps(self) -> Iterator[Step]:
        """The states of the branch, newest first, as far back as `reach` allows."""
        told = 0
        for more in (*self.reach, 0):
            # The oldest commit of a history that was cut off does not know what stands below it.
            steps = line(self.tip.history())[: -1 if self.tip.is_cut else None]
            yield from steps[told:]
            told = len(steps)
            if not self.tip.is_cut or not more:
                return
            self.tip.deepen(more)

    def entries(self, sha: str) -> dict[str, Entry]:
        """The image entries that the overlay had at a commit, by name."""
        data = self.tip.at(sha).read([self.path])[self.path]
        found = read_images(data, path=f"{self.path} at {sha[:12]}") if data is not None else []
        return {entry.name: entry for entry in found}

    def find(self, revision: str) -> str:
        """The commit that the branch was at when it had `revision`, which may be abbreviated.

        Raises `InvalidInput` when no commit or more than one of those fetched begins so.
        """
        for step in self.steps():
            hits = {commit.sha: step for commit in step.commits if commit.sha.startswith(revision)}
            if hits:
                every = {c.sha for c in self.tip.history() if c.sha.startswith(revision)}
                if len(every) > 1:
                    shown = ", ".join(sorted(sha[:12] for sha in every))
                    raise InvalidInput(f"{revision} is several commits: {shown}", fix="give more digits")
                return step.sha
        raise InvalidInput(
            f"no commit {revision} among the {self._looked_at()}", fix="give a commit of that branch"
        )

    def since(self, sha: str) -> list[Step]:
        """What happened to the branch after a commit that it was at, newest first."""
        found = []
        for step in self.steps():
            if step.sha == sha:
                return found
            found.append(step)
        raise InvalidInput(
            f"the branch was never at {sha[:12]}, or not within the {self._looked_at()}",
            fix="begin again: the branch was rewritten meanwhile",
        )

    def bumps_since(self, sha: str) -> list[Commit]:
        """The bumps after a commit that the branch was at, newest first, without those rolled back since."""
        steps = self.since(sha)
        within = {sha, *(step.sha for step in steps)}
        return [commit for _, bumps in self._standing(steps, within) for commit in bumps]

    def before_last_bump(self, now: dict[str, Entry]) -> Goal:
        """Where the images of the last bump came from; bumps that were rolled back do not count.

        `now` are the entries as they are. Raises `PolicyRefused` when somebody else changed those images since, or
        when there is no bump.
        """
        for step, bumps in self._standing(self.steps()):
            names = set().union(*(changed_images(commit.message, self.where) for commit in bumps))
            there = {n: e for n, e in self.entries(step.sha).items() if e.reference.name in names}
            for name, entry in there.items():
                self._unchanged(step, entry, now.get(name))
            before = self.entries(step.parent) if step.parent else {}
            moved = {name for name in there if _pin(before.get(name)) != _pin(there[name])}
            if moved and step.parent:
                return Goal(step.parent, frozenset(moved))
        message = (
            f"no bump of {self.where} among the {self._looked_at()}, so there is nothing to go back from"
        )
        raise PolicyRefused(message, path=self.path, fix="give --to with a commit of the branch")

    def _standing(
        self, steps: Iterable[Step], within: Collection[str] | None = None
    ) -> Iterator[tuple[Step, list[Commit]]]:
        """The steps with bumps that were not rolled back, newest first.

        A rollback leads to the commit whose images it brought back, which must be one of `within` where that is given.
        """
        goal = None
        for step in steps:
            if goal not in (None, step.sha):
                continue
            bumps = step.bumps(self.where)
            told = (value for commit in bumps for key, value in trailer_pairs(commit.message) if key == GOAL)
            goal = next((sha for sha in told if within is None or sha in within), None)
            if bumps and goal is None:
                yield step, bumps

    def _unchanged(self, step: Step, then: Entry, now: Entry | None) -> None:
        """Refuse when an entry is not any more what the last bump made it."""
        if now is None:
            message = f"the entry `{then.name}` was removed after the last bump ({step.sha[:12]})"
            raise PolicyRefused(message, path=self.path, fix="put the entry back, then roll back")
        if _pin(now) != _pin(then):
            message = (
                f"`{now.name}` was changed to {_pin(now)} after the last bump ({step.sha[:12]}), by no bump"
            )
            fix = f"say what to return to: --to {step.sha[:12]}, or --to {(step.parent or step.sha)[:12]} before it"
            raise PolicyRefused(message, path=self.path, line=now.line, fix=fix)

    def _looked_at(self) -> str:
        count = len(self.tip.history())
        return f"newest {count} commits" if self.tip.is_cut else f"{count} commits of the branch"


def _pin(entry: Entry | None) -> str:
    return pin(entry.reference if entry else None)
