"""One source commit's way to one place, station by station."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from slipway.dora.attempts import Attempt, Change, Histories
from slipway.dora.history import Brought

STATIONS = ("committed", "built", "written", "merged", "synced", "live")


@dataclass(frozen=True)
class Station:
    """`at` is UTC, None while it is not reached or where it is not known; `seconds` since the station before."""

    name: str
    at: datetime | None
    seconds: float | None


def journey(commit: str, where: str, attempts: Sequence[Attempt], histories: Histories) -> list[Station]:
    """The stations of `commit` on its way to a place such as `dev/board`, whose `attempts` are given, oldest first."""
    for attempt in attempts:
        for change in attempt.changes:
            if change.commit == commit:
                return list(_travelled(change))
    brought = _first(commit, where, histories)
    times: list[datetime | None] = [None] * len(STATIONS)
    if histories.source and (found := histories.source.get(commit)):
        times[0] = found.committed
    times[1] = histories.first.get(commit)
    if brought:
        times[2], times[3] = brought.commit.authored, brought.arrived
        times[4], times[5] = _arrival(brought, attempts, histories)
    return list(_stations(times))


def _travelled(change: Change) -> Iterator[Station]:
    """The way of a change that is live: what the lead time is made of."""
    moment = change.live - timedelta(seconds=change.lead)
    yield Station(STATIONS[0], moment, None)
    for name, seconds in zip(STATIONS[1:], change.seconds, strict=True):
        moment += timedelta(seconds=seconds)
        yield Station(name, moment, seconds)


def _stations(times: Iterable[datetime | None]) -> Iterator[Station]:
    before = None
    for name, moment in zip(STATIONS, times, strict=True):
        yield Station(name, moment, (moment - before).total_seconds() if moment and before else None)
        before = moment or before


def _first(commit: str, where: str, histories: Histories) -> Brought | None:
    """The first change of the place whose images have the commit in them."""
    if histories.source is None:
        return None
    known: set[str] = set()
    for brought in histories.deploy.brought(where):
        for revision in brought.sources:
            reached = {one.sha for one in histories.source.reach(revision, known)}
            if commit in reached:
                return brought
            known |= reached
    return None


def _arrival(
    brought: Brought, attempts: Sequence[Attempt], histories: Histories
) -> tuple[datetime | None, datetime | None]:
    """When the first sync that has a change of the place began, and when it, or a later one, was live."""
    begun = None
    for attempt in attempts:
        if histories.deploy.had(brought.commit.sha, attempt.revision):
            begun = begun or attempt.started
            if attempt.live:
                return begun, attempt.live
    return begun, None
