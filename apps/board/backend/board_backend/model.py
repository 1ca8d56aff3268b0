"""What is known, kept in step with the table and with Git by one thread, which makes the snapshots."""

from __future__ import annotations

import gc
import hashlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from slipway.dora.attempts import Attempt, Histories, attempts
from slipway.dora.events import Fact
from slipway.dora.history import DeployHistory, SourceHistory
from slipway.git.commits import DatedCommit

from board_backend import database
from board_backend.figures import Decided, LeadTimes
from board_backend.schema import Source
from board_backend.snapshot import Key, Row, Snapshot, Standing
from board_backend.sources import Sources
from board_backend.store import Kept, Store
from board_backend.tip import DeployTip

log = logging.getLogger(__name__)

FOLLOW = 1.0
"""Seconds between two looks at the table, which other replicas write too."""

OVERLAP = 30.0
"""Seconds for which a row may still show up behind a number that was seen: longer than any transaction lives."""


_POSITION = attrgetter("position")
_LAST = attrgetter("at", "started", "event", "health", "sync", "message")


@dataclass(frozen=True)
class Moved:
    """A branch that went on: all its commits, newest first, and those it got since, None when it was rewritten."""

    commits: Sequence[DatedCommit]
    newer: Sequence[DatedCommit] | None
    tip: DeployTip | None = None


class Model:
    """The newest snapshot, None until the table was read once."""

    def __init__(self, store: Store, off: dict[str, str]):
        self.snapshot: Snapshot | None = None
        self.loaded = threading.Event()
        self.sources = Sources(off, self.poke)
        self._store = store
        self._wake, self._stopping, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._moved: dict[str, Moved] = {}
        self._facts: dict[Key, set[Fact]] = defaultdict(set)
        self._identities: set[str] = set()
        self._seen: set[int] = set()
        self._marks: list[tuple[float, int]] = []
        self._horizon = 0
        self._standings: dict[Key, Standing] = {}
        self._rows: dict[Key, list[Row]] = {}
        self._decided: dict[Key, Decided] = {}
        self._lead_times = LeadTimes()
        self._incomplete: set[Key] = set()
        self._changed: set[Key] = set()
        self._deploy, self._source = DeployHistory([]), None
        self._histories, self._tip = Histories(self._deploy), None
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()
        self._wake.set()

    def join(self, patience: float) -> None:
        """Wait for the end."""
        self._thread.join(patience)

    def poke(self) -> None:
        """There is something new in the table, or of a source."""
        self._wake.set()

    def moved(self, name: str, branch: Moved) -> None:
        """A branch, `deploy` or `source`, went on."""
        with self._lock:
            waiting = self._moved.get(name)
            if waiting and branch.newer is not None:
                newer = None if waiting.newer is None else [*branch.newer, *waiting.newer]
                branch = replace(branch, newer=newer)
            self._moved[name] = branch
        self._wake.set()

    def knows(self, identity: str) -> bool:
        """Whether a fact was seen in the table."""
        return identity in self._identities

    def facts_of(self, environment: str, application: str) -> Sequence[Fact]:
        """The facts of one place."""
        standing = self.snapshot and self.snapshot.standings.get((environment, application))
        return standing.facts if standing else ()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            self._wake.clear()
            try:
                self._turn()
            except Exception:
                log.exception("the model could not be brought up to date")
            # At most half of the time is taken from those who answer.
            self._stopping.wait(min(time.monotonic() - began, FOLLOW))
            self._wake.wait(FOLLOW)

    def _turn(self) -> None:
        """Take in what is new, and make a snapshot if that changed anything."""
        # In this order: what is told to be read is in what is shown.
        states = self.sources.all()
        moved = self._taken_moves()
        everything = self.snapshot is None or any(branch.newer is None for branch in moved.values())
        with _kept_for_good() if everything else nullcontext():
            self._take_in(states, moved)

    def _take_in(self, states: Sequence[Source], moved: Mapping[str, Moved]) -> None:
        went_on = self._read_git(moved)
        for kept in self._read_table():
            fact = kept.fact
            key = (fact.environment, fact.application)
            self._identities.add(kept.identity)
            self._facts[key].add(fact)
            self._changed.add(key)
        changed = self._changed
        for key in changed:
            try:
                self._recompute(key)
            except Exception:
                # One place must not keep all others as they were.
                log.exception("the deployments of %s/%s cannot be told", *key)
        self._publish(bool(changed) or went_on, states)
        self._changed = set()

    def _read_table(self) -> list[Kept]:
        """The rows that were not seen yet; none while the database is away, which is told."""
        try:
            why = self._store.not_ready() if self.snapshot is None else None
            new = [] if why else self._unseen()
        except database.UNAVAILABLE as exc:
            why, new = f"database unavailable: {database.reason(exc)}", []
        if why:
            self.sources.stale("database", why)
        else:
            self.sources.ok("database")
        return new

    def _unseen(self) -> list[Kept]:
        """Numbers are given before they are committed, so that some rows come late."""
        if self.snapshot is None and not self._identities:
            self._horizon = self._store.settled(datetime.now(UTC) - timedelta(seconds=2 * OVERLAP))
            new = list(self._store.facts())
        else:
            late = [number for number in self._store.ids_after(self._horizon) if number not in self._seen]
            new = self._store.some(late) if late else []
        now = time.monotonic()
        self._seen |= {kept.id for kept in new if kept.id > self._horizon}
        newest = max((kept.id for kept in new), default=None)
        if newest is not None:
            self._marks.append((now, max(newest, self._marks[-1][1] if self._marks else 0)))
        passed = [mark for mark in self._marks if mark[0] < now - OVERLAP]
        if passed:
            self._horizon = passed[-1][1]
            self._marks = self._marks[len(passed) :]
            self._seen = {number for number in self._seen if number > self._horizon}
        return new

    def _taken_moves(self) -> Mapping[str, Moved]:
        with self._lock:
            moved, self._moved = self._moved, {}
        return moved

    def _read_git(self, moved: Mapping[str, Moved]) -> bool:
        """Take in the branches that went on, if any did; the deployments of some places may look different then."""
        if not moved:
            return False
        rewritten = False
        if branch := moved.get("deploy"):
            self._tip = branch.tip
            if branch.newer is None or not self._deploy.extend(branch.newer):
                self._deploy, rewritten = DeployHistory(branch.commits), True
        if branch := moved.get("source"):
            if branch.newer is None or self._source is None:
                self._source, rewritten = SourceHistory(branch.commits), True
            else:
                self._source.extend(branch.newer)
        self._histories = Histories.of(self._deploy, self._source)
        self._changed |= set(self._facts) if rewritten else self._incomplete
        return True

    def _recompute(self, key: Key) -> None:
        facts = self._facts[key]
        rows = self._made_anew(key, attempts(facts, self._histories))
        made = [row.attempt for row in rows]
        last = max(facts, key=_LAST)
        begin = min(fact.at for fact in facts)
        self._standings[key] = Standing(made, tuple(facts), begin, last.health, last.sync)
        known = self._source is not None and all(fact.revision in self._deploy for fact in facts)
        if known and not any(attempt.unknown for attempt in made):
            self._incomplete.discard(key)
        else:
            self._incomplete.add(key)
        self._rows[key] = sorted(rows, key=_POSITION)
        self._decided[key] = Decided(made)

    def _made_anew(self, key: Key, made: Sequence[Attempt]) -> list[Row]:
        """Their rows; those that are as before are the same objects, with all that was computed of them."""
        before = {row.id: row for row in self._rows.get(key, ())}
        rows = (_row(attempt, number) for number, attempt in enumerate(made))
        return [known if (known := before.get(row.id)) == row else row for row in rows]

    def _publish(self, changed: bool, states: Sequence[Source]) -> None:
        now = datetime.now(UTC)
        policies = self._tip.policies if self._tip else ()
        frozen = {p.name: freeze.name for p in policies if (freeze := p.frozen(now))}
        # The table was read in this turn, the others before it.
        sources = tuple(self.sources.get(one.name) if one.name == "database" else one for one in states)
        before = self.snapshot
        if before and not changed and (before.frozen, before.sources) == (frozen, sources):
            return
        if before is None and self.sources.get("database").state == "stale":
            return
        self.snapshot = Snapshot(
            standings=dict(self._standings),
            rows=dict(self._rows),
            decided=dict(self._decided),
            lead_times=self._lead_times,
            histories=self._histories,
            tip=self._tip,
            sources=sources,
            facts=len(self._identities),
            changed_at=now,
            frozen=frozen,
        )
        self.loaded.set()


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """What is made meanwhile stays out of the garbage collector's sight, which stops everything for as long as it looks."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _row(attempt: Attempt, number: int) -> Row:
    place = (attempt.environment, attempt.application, attempt.revision, attempt.started.isoformat())
    identity = hashlib.sha256("/".join(place).encode()).hexdigest()[:16]
    return Row((attempt.decided or attempt.started, identity), number, attempt)
