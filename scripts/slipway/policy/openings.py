"""When an environment is open: its freezes laid out in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from slipway.policy.environment import Environment, Freeze

_YEAR = timedelta(days=366)


@dataclass(frozen=True)
class Closing:
    """A time, in UTC, from the first moment at which a freeze holds to the first at which none does.

    `freezes` are those that make it, in the order in which they begin.
    """

    begin: datetime
    end: datetime | None
    freezes: tuple[Freeze, ...]


def closings(policy: Environment, since: datetime, until: datetime) -> list[Closing]:
    """The closed times that touch the time between two moments, in order; adjoining ones are one."""
    spans = [(begin, end, freeze) for freeze in policy.freezes for begin, end in freeze.spans(since, until)]
    found: list[Closing] = []
    for begin, end, freeze in sorted(spans, key=lambda span: span[:2]):
        if found and begin <= found[-1].end:
            last = found.pop()
            names = last.freezes if freeze in last.freezes else (*last.freezes, freeze)
            found.append(Closing(last.begin, max(last.end, end), names))
        else:
            found.append(Closing(begin, end, (freeze,)))
    return found


def next_closing(policy: Environment, moment: datetime) -> Closing | None:
    """The closed time that holds at `moment` or comes next within a year; its end is None when none is within a year.

    Of one that holds, `begin` is `moment`.
    """
    first = next(iter(closings(policy, moment, moment + _YEAR)), None)
    if first is None:
        return None
    begin = max(first.begin, moment)
    opens = policy.opens(begin)
    return Closing(begin, opens and opens.astimezone(UTC), first.freezes)


def shown(moment: datetime, zone: str) -> str:
    """A time for people, in a zone and in UTC."""
    utc = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if zone == "UTC":
        return utc
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone} ({utc})"
