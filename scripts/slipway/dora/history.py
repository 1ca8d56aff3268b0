"""What Git tells of a deployment: the commits it brought, what they meant, and the source commits behind them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any

from slipway.git.commits import DatedCommit
from slipway.writing.lineage import Build, changed_everywhere, parse_trailers, trailer_pairs
from slipway.writing.past import GOAL, Step, line

FIXES = "Fixes-Deploy"
"""The trailer that names the deploy commit whose deployment a change repairs."""

_REVERT = re.compile(r"This reverts commit ([0-9a-f]{7,40})\b")


@dataclass(frozen=True)
class Brought:
    """A commit that changed the images of one place. `arrived` is when the branch got it, UTC.

    `undoes` are the commits whose effect it took back; `is_back` when it returned to earlier images. `sources` are
    the source commits of the images that it names.
    """

    commit: DatedCommit
    arrived: datetime
    is_back: bool
    undoes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What came to one place between two states of the branch, oldest first; `touched` when its files changed."""

    images: tuple[Brought, ...]
    fixes: tuple[str, ...]
    touched: bool


class DeployHistory:
    """The deploy branch; `commits` begin with the newest."""

    def __init__(self, commits: Sequence[DatedCommit]):
        self._commits: dict[str, DatedCommit] = {}
        self._names: list[str] = []
        self._steps: list[Step] = []
        self._at: dict[str, int] = {}
        self._brought: dict[str, list[tuple[int, Brought]]] = defaultdict(list)
        self._touched: dict[str, list[int]] = defaultdict(list)
        self._fixes: list[tuple[int, str]] = []
        self._effects: dict[str, dict[str, Brought]] = {}
        self._builds: list[tuple[datetime, tuple[str, ...]]] = []
        self.extend(commits)

    def extend(self, commits: Sequence[DatedCommit]) -> bool:
        """Take in what the branch got since, newest first; false, and nothing is done, when it does not follow."""
        steps = line(commits)[::-1]
        if self._steps and steps and steps[0].parent != self._steps[-1].sha:
            return False
        first = len(self._steps)
        self._commits |= {commit.sha: commit for commit in commits}
        self._steps += steps
        self._at |= {commit.sha: n for n, step in enumerate(steps, first) for commit in step.commits}
        self._names = sorted([*self._names, *(commit.sha for step in steps for commit in step.commits)])
        for n, step in enumerate(steps, first):
            self._index(n, step)
        return True

    def _index(self, n: int, step: Step) -> None:
        head = self._commits[step.sha]
        for place in {_place(path) for path in head.paths}:
            self._touched[place].append(n)
        for commit in reversed(step.commits):
            self._fixes += [(n, value) for key, value in trailer_pairs(commit.message) if key == FIXES]
            built = tuple(build.revision for build in parse_trailers(commit.message) if build.revision)
            if built:
                self._builds.append((self._commits[commit.sha].authored, built))
            effects = self._effects_of(self._commits[commit.sha], head.committed)
            if effects:
                self._effects[commit.sha] = effects
                for where, brought in effects.items():
                    self._brought[where].append((n, brought))

    def _effects_of(self, commit: DatedCommit, arrived: datetime) -> dict[str, Brought]:
        """What a commit did to the images of each place; what it reverts is older, and known already."""
        if places := changed_everywhere(commit.message):
            goal = any(key == GOAL for key, _ in trailer_pairs(commit.message))
            builds = [build for build in parse_trailers(commit.message) if build.revision]
            return {
                where: Brought(commit, arrived, goal, sources=_sources(builds, names))
                for where, names in places.items()
            }
        found = _REVERT.search(commit.message)
        undone = self.find(found[1]) if found else None
        if not undone:
            return {}
        # A reverted merge takes back all that it brought.
        step = self._steps[self._at[undone]]
        taken = [one.sha for one in step.commits] if step.sha == undone else [undone]
        was: dict[str, list[Brought]] = defaultdict(list)
        for sha in taken:
            for where, brought in self._effects.get(sha, {}).items():
                was[where].append(brought)
        return {
            where: Brought(commit, arrived, not effects[0].is_back, tuple(one.commit.sha for one in effects))
            for where, effects in was.items()
        }

    def __contains__(self, sha: str) -> bool:
        return sha in self._at

    def find(self, text: str) -> str | None:
        """The commit that a text names, which may be abbreviated; None unless there is exactly one."""
        return _find(self._at, self._names, text)

    def get(self, sha: str) -> DatedCommit | None:
        """The commit of that name."""
        return self._commits.get(sha)

    def had(self, sha: str, revision: str) -> bool:
        """Whether the branch had a commit when it was at `revision`."""
        return sha in self._at and revision in self._at and self._at[sha] <= self._at[revision]

    def brought(self, where: str) -> list[Brought]:
        """All that ever came to a place such as `dev/board`, oldest first."""
        return [one for _, one in self._brought.get(where, [])]

    def builds(self) -> Iterator[tuple[datetime, tuple[str, ...]]]:
        """When each bump was written, and the source commits of its images, in the order in which they came."""
        yield from self._builds

    def arrived(self, sha: str) -> datetime | None:
        """When the branch came to have a commit."""
        return self._commits[self._steps[self._at[sha]].sha].committed if sha in self._at else None

    def between(self, before: str | None, after: str, where: str) -> Evidence | None:
        """What a place such as `dev/board` got after `before`, up to `after`; None when that cannot be told."""
        if after not in self._at or (before is not None and before not in self._at):
            return None
        first = self._at[before] + 1 if before is not None else 0
        last = self._at[after]
        brought = _within(self._brought.get(where, []), first, last, key=lambda item: item[0])
        fixes = _within(self._fixes, first, last, key=lambda item: item[0])
        touched = any(_within(self._touched.get(place, []), first, last) for place in (where, _BASE))
        return Evidence(tuple(one for _, one in brought), tuple(value for _, value in fixes), touched)


_BASE = "base"


def _place(path: str) -> str:
    """The place a path belongs to, such as `dev/board`; what every place may use is `base`."""
    parts = path.split("/")
    if parts[0] == _BASE:
        return _BASE
    return "/".join(parts[1:3]) if parts[0] == "overlays" and len(parts) > 3 else ""


def _within(items: Sequence[Any], first: int, last: int, key: Any = None) -> Sequence[Any]:
    """Those of the ordered items whose position is from `first` to `last`."""
    return items[bisect_left(items, first, key=key) : bisect_right(items, last, key=key)]


def _find(known: Collection[str], names: Sequence[str], text: str) -> str | None:
    if text in known:
        return text
    first = bisect_left(names, text)
    hits = [name for name in names[first : first + 2] if name.startswith(text)] if len(text) >= 7 else []
    return hits[0] if len(hits) == 1 else None


class SourceHistory:
    """The commits that images are built from; `commits` begin with the newest."""

    def __init__(self, commits: Sequence[DatedCommit]):
        self._commits: dict[str, DatedCommit] = {}
        self._ranks: dict[str, int] = {}
        self._names: list[str] = []
        self.extend(commits)

    def extend(self, commits: Sequence[DatedCommit]) -> None:
        """Take in more of them, none of which comes before those that are there."""
        for commit in reversed(commits):
            self._ranks.setdefault(commit.sha, len(self._ranks))
        self._commits |= {commit.sha: commit for commit in commits}
        self._names = sorted(self._commits)

    def find(self, prefix: str) -> str | None:
        """The commit that an abbreviation means; None unless there is exactly one."""
        return _find(self._commits, self._names, prefix)

    def get(self, sha: str) -> DatedCommit | None:
        """The commit of that name."""
        return self._commits.get(sha)

    def reach(self, sha: str, known: Collection[str]) -> list[DatedCommit]:
        """A commit and those before it, without what `known` has or leads to; merges are among them."""
        found, waiting, seen = [], [sha], set()
        while waiting:
            one = waiting.pop()
            if one in known or one in seen or one not in self._commits:
                continue
            seen.add(one)
            found.append(self._commits[one])
            waiting += self._commits[one].parents
        return found

    def apart(self, one: str, other: str) -> tuple[list[DatedCommit], list[DatedCommit]]:
        """What only `one` and what only `other` of two known commits has in it, newest first; merges are among them."""
        sides = {one: 1}
        sides[other] = sides.get(other, 0) | 2
        heap = [(-self._ranks[sha], sha) for sha in sides]
        heapify(heap)
        undecided = sum(side != 3 for side in sides.values())
        only: dict[int, list[DatedCommit]] = {1: [], 2: []}
        while undecided:
            sha = heappop(heap)[1]
            side, commit = sides[sha], self._commits[sha]
            if side != 3:
                undecided -= 1
                only[side].append(commit)
            for parent in commit.parents:
                if parent in self._ranks:
                    before = sides.get(parent, 0)
                    sides[parent] = before | side
                    undecided += (before | side) != 3 and not before
                    undecided -= (before | side) == 3 and before in (1, 2)
                    if not before:
                        heappush(heap, (-self._ranks[parent], parent))
        return only[1], only[2]


def _sources(builds: Sequence[Build], names: Collection[str]) -> tuple[str, ...]:
    """The source commits of the images of these names."""
    return tuple(dict.fromkeys(b.revision for b in builds if b.reference.name in names and b.revision))


def first_bumps(deploy: DeployHistory, source: SourceHistory) -> dict[str, datetime]:
    """For each source commit when the first bump that contains it was written, whatever the environment; UTC."""
    first: dict[str, datetime] = {}
    for written, revisions in deploy.builds():
        for revision in revisions:
            for found in source.reach(revision, first):
                first[found.sha] = written
    return first
