"""A calendar as text: a row for each environment, a column for each day, blocks of hours within; then each in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.text import Text

from slipway.policy.openings import Closing, closings, next_closing, shown

if TYPE_CHECKING:
    from slipway.policy.environment import Environment
    from slipway.policy.windows_check import Disagreement

OPEN, PARTLY, CLOSED = ("·", "green"), ("▒", "yellow"), ("█", "red")
_BLOCKS = (24, 12, 8, 4)
"""How many blocks a day may be cut into; the finest that fits on a line."""


def picture(
    policies: list[Environment], moment: datetime, days: int, zone: str, *, width: int
) -> Iterator[Text]:
    """The lines, days as they are in `zone` and beginning with that of `moment`; more lines where `width` is short."""
    if not policies:
        return
    label = max(7, *(len(policy.name) for policy in policies)) + 1
    first = moment.astimezone(ZoneInfo(zone)).date()
    blocks = next((n for n in _BLOCKS if label + days * (n + 1) <= width), _BLOCKS[-1])
    fitting = max(1, (width - label) // (blocks + 1))
    for start in range(0, days, fitting):
        listed = [first + timedelta(days=n) for n in range(start, min(start + fitting, days))]
        yield from _rows(policies, listed, zone, blocks, label)
        yield Text()
    signs = (*OPEN, " open  "), (*PARTLY, " partly  "), (*CLOSED, " closed")
    hours = f"   ({24 // blocks} h each, in {zone})" if blocks < 24 else f"   (hours in {zone})"
    yield Text.assemble(*(part for sign, style, word in signs for part in ((sign, style), word)), hours)
    yield Text()


def _rows(policies, days: list[date], zone: str, blocks: int, label: int) -> Iterator[Text]:
    head = "".join(f"{day:%a}".ljust(blocks + 1) for day in days)
    numbers = "".join(f"{day:%d}".ljust(blocks + 1) for day in days)
    yield Text(f"{days[0]:%Y-%m}".ljust(label) + head.rstrip(), style="bold")
    yield Text(" " * label + numbers.rstrip(), style="bold")
    for policy in policies:
        found = closings(policy, _midnight(days[0], zone), _midnight(days[-1] + timedelta(days=1), zone))
        line = Text(policy.name.ljust(label))
        for day in days:
            begin, end = (_midnight(d, zone) for d in (day, day + timedelta(days=1)))
            length = (end - begin) / blocks
            for n in range(blocks):
                line.append(*_sign(found, begin + n * length, begin + (n + 1) * length))
            line.append(" ")
        line.rstrip()
        yield line


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _sign(found: list[Closing], begin: datetime, end: datetime) -> tuple[str, str]:
    closed = sum((max(timedelta(0), min(c.end, end) - max(c.begin, begin)) for c in found), timedelta(0))
    return OPEN if not closed else CLOSED if closed >= end - begin else PARTLY


def state(policy: Environment, moment: datetime) -> list[str]:
    """Open or closed, until when; what is held."""
    closing = next_closing(policy, moment)
    way = "open" if policy.delivery == "direct" else "open to pull requests"
    if closing is None:
        lines = [f"{way}, no freeze within a year"]
    elif closing.begin > moment:
        lines = [f"{way}, closes {_span(closing)}"]
    else:
        lines = [f"closed, {_until(closing)}"]
    for hold in policy.holds:
        reason = " ".join(hold.reason.split())
        lines.append(f"{hold.app} is held since {hold.since:%Y-%m-%d %H:%M} by {hold.by}: {reason}")
    return lines


def _span(closing: Closing) -> str:
    return f"{shown(closing.begin, closing.freezes[0].timezone)}, {_until(closing)}"


def _until(closing: Closing) -> str:
    zone = closing.freezes[0].timezone
    why = "; ".join(re.sub(r"\s+", " ", f"{freeze.name}: {freeze.reason}") for freeze in closing.freezes)
    opens = f"opens {shown(closing.end, zone)}" if closing.end else "does not open within a year"
    return f"{opens} ({why})"


def findings(found: list[Disagreement | str] | None) -> list[str]:
    """What the comparison gave, alike ones counted."""
    if found is None:
        return []
    if not found:
        return ["Argo CD's windows agree"]
    alike: dict[object, list[Disagreement | str]] = {}
    for one in found:
        alike.setdefault(one if isinstance(one, str) else (one.kind, one.name, one.wrong), []).append(one)
    lines = []
    for ones in alike.values():
        word = "wrong" if isinstance(ones[0], str) or ones[0].wrong else "note"
        more = f", and {len(ones) - 1} times more within a year" if ones[1:] else ""
        lines.append(f"{word}: {ones[0]}{more}")
    return lines
