"""Whether Argo CD's sync windows agree with the policy they came from: both are asked at the same moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from slipway.policy.windows import Window, generate

if TYPE_CHECKING:
    from slipway.policy.environment import Environment

AHEAD = timedelta(days=365)
"""How far the two are compared: both changes of the clock, and less than a cron line needs to come round."""
SOON = timedelta(days=30)
"""How long before a window of an earlier year closes the environment again it counts as wrong."""
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_NEAR = range(-1, 2)
_AROUND_CLOCK_CHANGE = range(-150, 151)

Kind = Literal["open", "foreign", "again", "longer"]


@dataclass(frozen=True)
class Disagreement:
    """A time, in UTC, at which policy and Argo CD differ.

    `open`: Argo CD would deploy in a freeze. `foreign`: it is closed by a window that no freeze asks for.
    `again`: a window comes back a year later, because cron knows no year. `longer`: a window needs room around a
    change of the clock, or up to a minute. `wrong` tells which of them are to be mended.
    """

    kind: Kind
    begin: datetime
    end: datetime
    name: str
    wrong: bool

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        times = {"begin": self.begin.isoformat(), "end": self.end.isoformat()}
        return {"kind": self.kind, "name": self.name, "wrong": self.wrong} | times

    def __str__(self) -> str:
        when = f"from {self.begin:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"
        return {
            "open": f"Argo CD deploys {when}, in the freeze {self.name}",
            "foreign": f"Argo CD is closed {when} by a window that no freeze asks for: {self.name}",
            "again": f"Argo CD closes again {when}, because a window knows no year: {self.name}",
            "longer": f"Argo CD is closed longer, {when}, which cron cannot say better: {self.name}",
        }[self.kind]


def check(
    policy: Environment, windows: list[Window], now: datetime, ahead: timedelta = AHEAD
) -> list[Disagreement]:
    """Where the two differ from `now` on, in order; minute by minute around every boundary and change of the clock."""
    known = set(generate(policy, now, finished=True))
    found: list[Disagreement] = []
    last = None
    for moment, following in pairwise(_moments(policy, windows, now, now + ahead)):
        freeze = policy.frozen(moment + _SECOND)
        active = [window for window in windows if window.active(moment + _SECOND)]
        if bool(freeze) == bool(active):
            last = None
            continue
        kind = "open" if freeze else _kind(active, known, policy, moment)
        name = freeze.name if freeze else active[0].description
        if last and (last.kind, last.name) == (kind, name):
            found.pop()
            moment = last.begin
        last = Disagreement(kind, moment, following, name, _is_wrong(kind, moment - now))
        found.append(last)
    return found


def _kind(active: list[Window], known: set[Window], policy: Environment, moment: datetime) -> Kind:
    if not known.issuperset(active):
        return "foreign"
    # The window of a freeze that begins between two minutes begins at the first of them.
    begins = policy.frozen(moment + _MINUTE)
    return "again" if any(window.once for window in active) and not begins else "longer"


def _is_wrong(kind: Kind, wait: timedelta) -> bool:
    return kind in ("open", "foreign") or (kind == "again" and wait < SOON)


def _moments(
    policy: Environment, windows: Iterable[Window], since: datetime, until: datetime
) -> list[datetime]:
    """Where either may change, the minutes around it, and the middle of every time between."""
    spans = [span for freeze in policy.freezes for span in freeze.spans(since, until)]
    marks = {moment for span in spans for moment in span}
    marks |= {moment for window in windows for moment in window.changes(since, until)}
    moments = {mark + n * _MINUTE for mark in marks for n in _NEAR}
    zones = {freeze.timezone for freeze in policy.freezes} | {window.zone for window in windows}
    for change in {change for zone in zones for change in clock_changes(zone, since, until)}:
        moments |= {change + n * _MINUTE for n in _AROUND_CLOCK_CHANGE}
    inside = sorted({since, until, *(moment for moment in moments if since < moment < until)})
    middles = {a + (b - a) // 2 for a, b in pairwise(inside) if b - a > _MINUTE}
    return sorted({*inside, *(middle.replace(microsecond=0) for middle in middles)})


def clock_changes(zone: str, since: datetime, until: datetime) -> list[datetime]:
    """The times, in UTC, at which the clock of a zone is put forward or back."""
    place, day, found = ZoneInfo(zone), timedelta(days=1), []
    moment = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while moment < until:
        low, high = moment, moment + day
        before = low.astimezone(place).utcoffset()
        if before != high.astimezone(place).utcoffset():
            while high - low > _SECOND:
                middle = (low + (high - low) // 2).replace(microsecond=0)
                low, high = (
                    (middle, high) if middle.astimezone(place).utcoffset() == before else (low, middle)
                )
            found.append(high)
        moment += day
    return found
