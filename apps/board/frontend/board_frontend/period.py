"""Which time a page looks at, as the address has it and as the backend is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from board_frontend import view

DAYS = "Between two days"

PERIODS = {
    "24 hours": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
    "90 days": timedelta(days=90),
    "1 year": timedelta(days=365),
}


@dataclass(frozen=True)
class Period:
    """From `since` up to `until`, UTC; what is open at its end goes on."""

    since: datetime
    until: datetime | None = None

    @property
    def query(self) -> dict[str, str | None]:
        """The same for the API."""
        return {
            "since": view.iso(self.since),
            "until": view.iso(self.until) if self.until else None,
        }


def last(name: str, now: datetime) -> Period:
    """One of `PERIODS` before `now`, its beginning rounded down so that the same is asked for a while."""
    length = PERIODS[name]
    step = 300 if length <= timedelta(days=1) else 3600
    begin = (now - length).timestamp()
    return Period(datetime.fromtimestamp(begin - begin % step, UTC))


def between(first: date, end: date) -> Period:
    """From the beginning of a day to the end of another, in UTC."""
    day = datetime.combine(end, time(), UTC) + timedelta(days=1)
    return Period(datetime.combine(first, time(), UTC), day)
