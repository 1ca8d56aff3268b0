"""DORA's figures of one environment, or of one place; what takes long is remembered."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from slipway.dora.attempts import Attempt
from slipway.dora.metrics import Figures, LeadTime, lead_time, measure

_LIMIT = 64
"""Spans of time whose lead times are remembered."""

_DECIDED = attrgetter("decided")


class Decided:
    """The attempts of one place that count, in the order in which they were decided; they never change."""

    def __init__(self, attempts: Iterable[Attempt]):
        self._attempts = sorted((one for one in attempts if one.decided), key=_DECIDED)

    def span(self, since: datetime, until: datetime) -> tuple[int, int]:
        """Where the attempts of a time begin and end."""
        begin, end = (bisect_left(self._attempts, moment, key=_DECIDED) for moment in (since, until))
        return begin, end

    def within(self, begin: int, end: int) -> Sequence[Attempt]:
        """Those of a span."""
        return self._attempts[begin:end]


class LeadTimes:
    """The lead times of the spans that were asked for last: the same attempts are asked for again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = OrderedDict[tuple[tuple[Decided, int, int], ...], LeadTime]()

    def figures(
        self,
        places: Iterable[Decided],
        environment: str,
        application: str | None,
        since: datetime,
        until: datetime,
    ) -> Figures:
        """What `slipway dora` tells of these places."""
        spans = tuple((one, *one.span(since, until)) for one in places)
        attempts = [attempt for one, begin, end in spans for attempt in one.within(begin, end)]

        def leads(live: Sequence[Attempt]) -> LeadTime:
            # One at a time, so that those who ask the same at once make it once.
            with self._lock:
                if spans not in self._known:
                    self._known[spans] = lead_time(live)
                    if len(self._known) > _LIMIT:
                        self._known.popitem(last=False)
                self._known.move_to_end(spans)
                return self._known[spans]

        asked = {"environment": environment, "application": application, "since": since, "until": until}
        return measure(attempts, **asked, leads=leads)
