"""All that the board knows at one moment; it never changes, so that every answer of it can be kept."""

from __future__ import annotations

from asyncio import Future
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from heapq import merge
from operator import attrgetter

from slipway.dora.attempts import Attempt, Histories
from slipway.dora.events import Fact
from slipway.dora.metrics import Figures

from board_backend.figures import Decided, LeadTimes
from board_backend.schema import Source
from board_backend.tip import DeployTip

Key = tuple[str, str]
"""Environment and application."""

_POSITION = attrgetter("position")


@dataclass(frozen=True, slots=True)
class Row:
    """An attempt where it stands among all, by time and id; `number` is its place among those of its own, oldest first."""

    position: tuple[datetime, str]
    number: int
    attempt: Attempt

    @property
    def at(self) -> datetime:
        """When it went live, or else failed, or else began."""
        return self.position[0]

    @property
    def id(self) -> str:
        """What it is called."""
        return self.position[1]


@dataclass(frozen=True)
class Standing:
    """What is known of one place; `health` and `sync` are what was told last.

    There are no attempts while the application waits for its first image.
    """

    attempts: Sequence[Attempt]
    facts: Sequence[Fact]
    first_seen: datetime
    health: str
    sync: str

    @property
    def running(self) -> Attempt | None:
        """What went live last."""
        return next((one for one in reversed(self.attempts) if one.live), None)

    @property
    def newest(self) -> Attempt | None:
        """What Argo CD began last."""
        return self.attempts[-1] if self.attempts else None

    @property
    def revision(self) -> str:
        """The deploy commit that was told of last."""
        return self.newest.revision if self.newest else max(self.facts, key=attrgetter("at")).revision


@dataclass(frozen=True)
class Snapshot:
    """All by place: `rows` are the oldest first, `decided` those that count for figures."""

    standings: Mapping[Key, Standing]
    rows: Mapping[Key, Sequence[Row]]
    decided: Mapping[Key, Decided]
    lead_times: LeadTimes
    histories: Histories
    tip: DeployTip | None
    sources: Sequence[Source]
    facts: int
    changed_at: datetime
    frozen: Mapping[str, str]
    """The freezes that hold, by environment."""
    kept: Kept = field(default_factory=lambda: Kept())

    def newest_first(
        self,
        before: tuple[datetime, str] | None,
        environment: str | None = None,
        application: str | None = None,
    ) -> Iterator[Row]:
        """The rows before a position, or all, of the places that are asked for."""
        chosen = (self.rows[key] for key in self._places(environment, application))
        return merge(*(_backwards(rows, before) for rows in chosen), key=_POSITION, reverse=True)

    def _places(self, environment: str | None, application: str | None) -> list[Key]:
        return [key for key in self.rows if environment in (None, key[0]) and application in (None, key[1])]

    def figures(self, environment: str, application: str | None, since: datetime, until: datetime) -> Figures:
        """The figures of an environment, or of one application there."""
        places = [self.decided[key] for key in self._places(environment, application)]
        return self.lead_times.figures(places, environment, application, since, until)

    @cached_property
    def environments(self) -> Sequence[str]:
        """Their names, by the policies' order, and without policies by when they were first seen."""
        known = [policy.name for policy in self.tip.policies] if self.tip else []
        seen: dict[str, datetime] = {}
        for (name, _), standing in self.standings.items():
            seen[name] = min(standing.first_seen, seen.get(name, standing.first_seen))
        return known + sorted(seen.keys() - set(known), key=lambda name: (seen[name], name))


def _backwards(rows: Sequence[Row], before: tuple[datetime, str] | None) -> Iterator[Row]:
    """From the newest before a position to the oldest."""
    end = len(rows) if before is None else bisect_left(rows, before, key=_POSITION)
    return (rows[number] for number in range(end - 1, -1, -1))


class Kept:
    """The newest answers, as bytes with their ETag, or on their way; for the thread of the event loop."""

    LIMIT = 512

    def __init__(self) -> None:
        self._answers = OrderedDict[str, Future[tuple[str, bytes]]]()

    def get(self, key: str) -> Future[tuple[str, bytes]] | None:
        """What was answered before."""
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def put(self, key: str, answer: Future[tuple[str, bytes]]) -> None:
        """Keep an answer in place of the one that was not asked for longest."""
        self._answers[key] = answer
        if len(self._answers) > self.LIMIT:
            self._answers.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget an answer that could not be made."""
        self._answers.pop(key, None)
