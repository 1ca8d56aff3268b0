"""DORA's figures of a time, with what each is made of. What cannot be known without a deployment is None, never 0."""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel

from slipway.dora.attempts import STAGES, WINDOW, Attempt

PERIOD = timedelta(days=90)
"""How far back is looked when nobody says."""

_WEEK = timedelta(days=7)


class Spread(BaseModel):
    """Seconds: the middle one, and the smallest that at least nine in ten do not exceed (nearest rank)."""

    median: float | None
    p90: float | None


class Stage(Spread):
    """One part of the lead time."""

    name: str


class Frequency(BaseModel):
    """`per_week` is the median over the whole weeks that end with the period, those without a deployment included."""

    count: int
    per_day: float | None
    per_week: float | None


class LeadTime(Spread):
    """Of each source commit that went live for the first time; `unknown` images come from commits nobody knows."""

    commits: int
    skewed: int
    unknown: int
    stages: list[Stage]


class Share(BaseModel):
    """`part` of `of`; `rate` is None when there is nothing to divide by."""

    part: int
    of: int
    rate: float | None


class FailedDeployment(BaseModel):
    """A deployment that needed repair; `seconds` and what follows `at` are None while it is open."""

    application: str
    environment: str
    revision: str
    kind: str
    reason: str
    at: datetime
    recovered_at: datetime | None
    recovered_by: str | None
    seconds: float | None


class Recovery(Spread):
    """From failed to healthy again, of the failures that are over; `open` are not."""

    count: int
    open: int


class Figures(BaseModel):
    """Everything about one environment, of one application or all, from `since` up to `until` (UTC)."""

    environment: str
    application: str | None
    since: datetime
    until: datetime
    window_hours: float
    frequency: Frequency
    rollbacks: int
    config_deployments: int
    lead_time: LeadTime
    change_failure: Share
    rework: Share
    recovery: Recovery
    failures: list[FailedDeployment]


def nearest_rank(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that at least `percent` of them do not exceed."""
    return _ranked(sorted(values), percent)


def _ranked(ordered: Sequence[float], percent: int) -> float | None:
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def measure(
    attempts: Iterable[Attempt],
    *,
    environment: str,
    application: str | None = None,
    since: datetime,
    until: datetime,
    window: timedelta = WINDOW,
    leads: Callable[[Sequence[Attempt]], LeadTime] | None = None,
) -> Figures:
    """The figures of the deployments that were decided in the time; those of other places are left out.

    `leads` may stand in for `lead_time`, which takes longest, to remember what it told of the same deployments.
    """
    here = [
        one
        for one in attempts
        if one.environment == environment
        and application in (None, one.application)
        and one.decided
        and since <= one.decided < until
    ]
    here.sort(key=lambda one: (one.decided, one.application))
    counted = [one for one in here if one.kind != "config"]
    live = [one for one in counted if one.live]
    failed = [one for one in counted if one.failure]
    # What ends after the time is open as far as the time is concerned.
    failures = [_failed(one, until) for one in failed]
    healed = [one.seconds for one in failures if one.seconds is not None]
    reworked = [one for one in counted if one.kind == "rollback" or one.fixes]
    return Figures(
        environment=environment,
        application=application,
        since=since,
        until=until,
        window_hours=window / timedelta(hours=1),
        frequency=_frequency([one.live for one in live], since, until),
        rollbacks=sum(one.kind == "rollback" for one in live),
        config_deployments=sum(one.kind == "config" and one.live is not None for one in here),
        lead_time=(leads or lead_time)(live),
        change_failure=_share(len(failed), len(counted)),
        rework=_share(len(reworked), len(counted)),
        recovery=Recovery(**_spread(healed), count=len(healed), open=len(failures) - len(healed)),
        failures=failures,
    )


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    return {"median": statistics.median(ordered) if ordered else None, "p90": _ranked(ordered, 90)}


def _share(part: int, of: int) -> Share:
    return Share(part=part, of=of, rate=part / of if of else None)


def _frequency(moments: Sequence[datetime], since: datetime, until: datetime) -> Frequency:
    if not moments:
        return Frequency(count=0, per_day=None, per_week=None)
    weeks = [0] * ((until - since) // _WEEK)
    for moment in moments:
        back = (until - moment - timedelta(microseconds=1)) // _WEEK
        if 0 <= back < len(weeks):
            weeks[back] += 1
    return Frequency(
        count=len(moments),
        per_day=len(moments) / ((until - since) / timedelta(days=1)),
        per_week=statistics.median(weeks) if weeks else None,
    )


def lead_time(live: Sequence[Attempt]) -> LeadTime:
    """Of all that these deployments were the first to bring live."""
    seconds, width = array("d"), 1 + len(STAGES)
    for one in live:
        seconds.extend(one.times.seconds)
    stages = [Stage(name=name, **_spread(seconds[n::width])) for n, name in enumerate(STAGES, 1)]
    return LeadTime(
        **_spread(seconds[::width]),
        commits=len(seconds) // width,
        skewed=sum(one.times.skewed for one in live),
        unknown=sum(one.unknown for one in live),
        stages=stages,
    )


def _failed(attempt: Attempt, until: datetime) -> FailedDeployment:
    failure = attempt.failure
    over = failure.recovered is not None and failure.recovered < until
    return FailedDeployment(
        application=attempt.application,
        environment=attempt.environment,
        revision=attempt.revision,
        kind=attempt.kind,
        reason=failure.reason,
        at=failure.at,
        recovered_at=failure.recovered if over else None,
        recovered_by=failure.by if over else None,
        seconds=(failure.recovered - failure.at).total_seconds() if over else None,
    )
