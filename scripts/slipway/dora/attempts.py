"""The deployments of one application in one environment, told from what Argo CD reported and from Git.

An attempt is a revision that Argo CD began to bring to the cluster. It counts as a deployment when it changed the
images (`images`, or `rollback` when it returned to earlier ones) or, by Git's evidence, only the configuration
(`config`). A sync that changed neither is none, and what was reported of it is of the attempt before.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from slipway.dora.events import DEGRADED, DEPLOYED, SYNC_FAILED, Fact
from slipway.dora.history import DeployHistory, Evidence, SourceHistory, first_bumps
from slipway.dora.images import commit_of, fingerprint, settle
from slipway.registry.references import NOTHING, Reference

WINDOW = timedelta(hours=24)
"""How long after it went live a deployment is held responsible for a failure."""

STAGES = ("build", "queue", "review", "argocd", "rollout")
"""From the commit to the bump that has it, to the change for this environment, to its merge, to the sync, to healthy."""


@dataclass(frozen=True, slots=True)
class Change:
    """A source commit's way to an environment. There may be millions: they share what is of their deployment.

    `built` is when the first bump that has it was written; `rest` when the change for this environment was written,
    and merged, and when its sync began, and it was live. What is not known is None.
    """

    commit: str
    committed: datetime
    built: datetime | None
    rest: tuple[datetime | None, datetime | None, datetime, datetime]

    @property
    def live(self) -> datetime:
        """When the environment had it."""
        return self.rest[-1]

    @property
    def lead(self) -> float:
        """Seconds from commit to live."""
        return max(0.0, (self.live - self.committed).total_seconds())

    @property
    def seconds(self) -> tuple[float, ...]:
        """Those of each of `STAGES`."""
        return self.stages()[0]

    @property
    def skewed(self) -> bool:
        """Whether the clocks disagreed."""
        return self.stages()[1]

    def stages(self) -> tuple[tuple[float, ...], bool]:
        """Seconds of each of `STAGES`, and whether one would have ended before it began, which counts as 0 s.

        A border that is not known ends a stage of no length.
        """
        begin, end = self.committed, self.live
        seconds, at, skewed = [], min(begin, end), begin > end
        for border in (self.built, *self.rest):
            moment = border or at
            skewed |= moment < at or moment > end
            moment = min(max(moment, at), end)
            seconds.append((moment - at).total_seconds())
            at = moment
        return tuple(seconds), skewed


@dataclass(frozen=True, slots=True)
class Times:
    """Of each change its lead time and then its stages, in seconds, one change after the other; `skewed` counts clocks."""

    seconds: array[float]
    skewed: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a deployment counts as failed, and since when. `recovered` and `by` (a revision) are None while it is open."""

    reason: str
    at: datetime
    recovered: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A revision on its way to, or in, one place; times are UTC. `live` is None until it was healthy once.

    `unknown` is how many of its images come from a source commit that the source history does not have.
    """

    application: str
    environment: str
    revision: str
    kind: str
    images: tuple[Reference, ...]
    started: datetime
    live: datetime | None
    failure: Failure | None = None
    changes: tuple[Change, ...] = ()
    unknown: int = 0
    fixes: tuple[str, ...] = ()
    health: str = ""
    sync: str = ""
    _times: Times | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def times(self) -> Times:
        """How long its changes took; computed once, since the figures of every span ask again."""
        if self._times is None:
            seconds, skewed = array("d"), 0
            for change in self.changes:
                stages, wrong = change.stages()
                seconds.append(change.lead)
                seconds.extend(stages)
                skewed += wrong
            object.__setattr__(self, "_times", Times(seconds, skewed))
        return self._times

    @property
    def decided(self) -> datetime | None:
        """When it is counted: when it went live, or else failed; None while it runs."""
        return self.live or (self.failure.at if self.failure else None)


@dataclass
class _Group:
    """The facts of one attempt while it is put together."""

    revision: str
    facts: list[Fact]
    images: tuple[Reference, ...] = ()
    kind: str = ""
    evidence: Evidence | None = None
    first: bool = False
    started: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.started = min(fact.started for fact in self.facts)

    @property
    def applied(self) -> bool:
        """Whether its images are known to have reached the cluster: those of a failed sync need not have."""
        return any(fact.event in (DEPLOYED, DEGRADED) for fact in self.facts)

    @property
    def live(self) -> datetime | None:
        return min((fact.at for fact in self.facts if fact.event == DEPLOYED), default=None)


@dataclass(frozen=True)
class Histories:
    """What Git knows; `first` is `first_bumps` of the two. Without a source there are no lead times."""

    deploy: DeployHistory
    source: SourceHistory | None = None
    first: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, deploy: DeployHistory, source: SourceHistory | None) -> Histories:
        return cls(deploy, source, first_bumps(deploy, source) if source else {})


def every(facts: Iterable[Fact], histories: Histories, window: timedelta = WINDOW) -> list[Attempt]:
    """The deployments of all places that the facts are of."""
    places: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        places.setdefault((fact.environment, fact.application), []).append(fact)
    return [one for place in sorted(places) for one in attempts(places[place], histories, window)]


def attempts(facts: Iterable[Fact], histories: Histories, window: timedelta = WINDOW) -> list[Attempt]:
    """The deployments of the place that all `facts` are of, oldest first; their order and repetition do not matter."""
    groups = _grouped(_delivered(facts), histories.deploy)
    made = [_attempt(group, window) for group in groups]
    made = _undone(made, groups, histories.deploy, window)
    made = _recovered(made, groups)
    return _with_changes(made, groups, histories)


def _delivered(facts: Iterable[Fact]) -> list[Fact]:
    """Without those of revisions at which the place waited for its first image: nothing ran then."""
    known = list(facts)
    waiting = {f.revision for f in known if f.images and all(image.digest == NOTHING for image in f.images)}
    return [fact for fact in known if fact.revision not in waiting]


def _grouped(facts: Iterable[Fact], deploy: DeployHistory) -> list[_Group]:
    ordered = sorted(set(facts), key=_order)
    groups: list[_Group] = []
    earlier: set[str] = set()
    for revision, found in groupby(ordered, key=lambda fact: fact.revision):
        group = _Group(revision, list(found))
        before = groups[-1] if groups else None
        told = [f for f in group.facts if f.event in (DEPLOYED, DEGRADED)] or group.facts
        group.images = settle(max(told, key=lambda f: f.at).images, before.images if before else ())
        where = f"{group.facts[0].environment}/{group.facts[0].application}"
        group.evidence = deploy.between(before.revision if before else None, revision, where)
        group.first = before is None
        group.kind = _kind(group, before, earlier)
        if not group.kind and before:
            before.facts += group.facts
            before.revision = _later(before.revision, revision, group.evidence)
        else:
            groups.append(group)
        if before:
            earlier.add(fingerprint(before.images))
    return groups


def _order(fact: Fact) -> tuple[object, ...]:
    """A place for every fact, so that facts of the same moment, too, stand in the same order each time."""
    told = (fact.message, fact.sync, fact.health, [str(image) for image in fact.images])
    return fact.started, fact.at, fact.revision, fact.event, *told


def _later(old: str, new: str, evidence: Evidence | None) -> str:
    """The revision that stands for both: what came in between is looked at once."""
    return old if evidence is None else new


def _kind(group: _Group, before: _Group | None, earlier: set[str]) -> str:
    """images, rollback, config, or nothing when nothing changed."""
    if before is None:
        return "images"
    evidence = group.evidence
    same = fingerprint(group.images) == fingerprint(before.images)
    if evidence is not None and not (group.applied and before.applied):
        same = not evidence.images
    if same:
        return "config" if evidence is not None and evidence.touched else ""
    if evidence is not None and evidence.images:
        return "rollback" if evidence.images[-1].is_back else "images"
    return "rollback" if fingerprint(group.images) in earlier else "images"


def _attempt(group: _Group, window: timedelta) -> Attempt:
    live, last = group.live, max(group.facts, key=lambda fact: fact.at)
    until = live + window if live else None
    # A health that was bad before the sync began is of the revision before.
    bad = sorted(
        (fact.at, fact.event, fact.message)
        for fact in group.facts
        if (fact.event == SYNC_FAILED or (fact.event == DEGRADED and fact.at >= fact.started))
        and (until is None or fact.at <= until)
    )
    failure = None
    if bad:
        at, event, _ = bad[0]
        failure = Failure("sync failed" if event == SYNC_FAILED else "degraded", at)
    first = group.facts[0]
    fixes = group.evidence.fixes if group.evidence else ()
    return Attempt(
        first.application, first.environment, first.revision, group.kind, group.images, group.started, live,
        failure, fixes=fixes, health=last.health, sync=last.sync,
    )  # fmt: skip


def _undone(
    made: list[Attempt], groups: Sequence[_Group], deploy: DeployHistory, window: timedelta
) -> list[Attempt]:
    """With failures for those that a later commit took back, or says to repair, soon enough."""
    found = list(made)

    def fail(index: int, later: int, arrived: datetime | None, reason: str) -> None:
        attempt = found[index]
        if attempt.failure or arrived is None or attempt.kind == "rollback":
            return
        # One that was given up before it went live failed when it was.
        began = attempt.live or arrived
        if arrived <= began + window:
            found[index] = replace(attempt, failure=Failure(reason, began, by=made[later].revision))

    brought = {b.commit.sha: n for n, g in enumerate(groups) if g.evidence for b in g.evidence.images}
    for n, group in enumerate(groups):
        if group.evidence is None or group.first:
            continue
        for change in group.evidence.images:
            if not change.is_back:
                continue
            if change.undoes:
                for sha in change.undoes:
                    if (index := brought.get(sha, n)) < n:
                        fail(index, n, change.arrived, f"reverted by {change.commit.sha[:12]}")
            else:
                ran = next((m for m in range(n - 1, -1, -1) if made[m].kind != "config"), None)
                if ran is not None:
                    fail(ran, n, change.arrived, f"rolled back by {change.commit.sha[:12]}")
        for text in group.evidence.fixes:
            sha = deploy.find(text)
            index = next((m for m in range(n) if sha and _holds(made, m, sha, deploy)), None)
            if index is not None:
                fail(index, n, deploy.arrived(made[n].revision), f"repaired by {made[n].revision[:12]}")
    return found


def _holds(made: Sequence[Attempt], index: int, sha: str, deploy: DeployHistory) -> bool:
    """Whether a commit came to the place with this attempt."""
    if made[index].revision == sha:
        return True
    attempt = made[index]
    before = made[index - 1].revision if index else None
    evidence = deploy.between(before, attempt.revision, f"{attempt.environment}/{attempt.application}")
    return evidence is not None and any(b.commit.sha == sha for b in evidence.images)


def _recovered(made: list[Attempt], groups: Sequence[_Group]) -> list[Attempt]:
    found = []
    for n, attempt in enumerate(made):
        failure = attempt.failure
        if failure is not None:
            later = made[n + 1 :]
            if failure.by:
                # What the deployment itself reported healthy did not end a failure that people saw.
                start = next(m for m, one in enumerate(later) if one.revision == failure.by)
                again, later = [], later[start:]
            else:
                again = [f.at for f in groups[n].facts if f.event == DEPLOYED and f.at > failure.at]
            ends = [(moment, attempt.revision) for moment in again]
            ends += [(one.live, one.revision) for one in later if one.live and one.live > failure.at]
            end = min(ends, default=(None, None))
            attempt = replace(attempt, failure=replace(failure, recovered=end[0], by=end[1]))
        found.append(attempt)
    return found


def _with_changes(made: list[Attempt], groups: Sequence[_Group], histories: Histories) -> list[Attempt]:
    """With the way of each source commit that an attempt was the first to bring live."""
    source = histories.source
    if source is None:
        return made
    running: set[str] = set()
    found = []
    for attempt, group in zip(made, groups, strict=True):
        origins, unknown = _origins(attempt, group, source)
        if attempt.live is None:
            found.append(replace(attempt, unknown=unknown))
            continue
        changes = []
        for sha, written, arrived in origins:
            rest = (written, arrived, attempt.started, attempt.live)
            for commit in source.reach(sha, running):
                running.add(commit.sha)
                if not commit.is_merge and not group.first:
                    built = histories.first.get(commit.sha)
                    changes.append(Change(commit.sha, commit.committed, built, rest))
        # Walking begins at the newest; a reader begins with what waited longest.
        changes.sort(key=lambda one: (one.committed, one.commit))
        found.append(replace(attempt, changes=tuple(changes), unknown=unknown))
    return found


def _origins(
    attempt: Attempt, group: _Group, source: SourceHistory
) -> tuple[list[tuple[str, datetime | None, datetime | None]], int]:
    """(source commit, change written, change merged) of what an attempt brought, oldest first, and how many are unknown."""
    told: list[tuple[str, datetime | None, datetime | None]] = []
    for change in group.evidence.images if group.evidence else ():
        told += [(sha, change.commit.authored, change.arrived) for sha in change.sources]
    if not told and attempt.kind in ("images", "rollback"):
        told = [(commit, None, None) for commit in dict.fromkeys(map(commit_of, attempt.images)) if commit]
    known = [(full, *rest) for sha, *rest in told if (full := source.find(sha))]
    return known, len({sha for sha, *_ in told}) - len({sha for sha, *_ in known})
