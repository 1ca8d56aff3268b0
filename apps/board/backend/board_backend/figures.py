"""DORA's figures of one environment, or of one place; what takes long is remembered."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from slipway.dora.attempts import Attempt
from slipway.dora.metrics import Figures, LeadTime, lead_time, measure

_LIMIT = 64
"""Spans of time whose lead times are remembered."""


class Decided:
    """The attempts that count, in the order in which they were decided. They never change, so that spans are told apart
    by where they begin and end among them."""

    def __init__(self, attempts: Iterable[Attempt]):
        decided = (one for one in attempts if one.decided)
        self._attempts = sorted(decided, key=attrgetter("decided"))
        self._lock, self._leads = threading.Lock(), dict[tuple[int, int], LeadTime]()

    def figures(self, environment: str, application: str | None, since: datetime, until: datetime) -> Figures:
        """What `slipway dora` tells of these attempts."""
        bounds = [bisect_left(self._attempts, moment, key=attrgetter("decided")) for moment in (since, until)]
        span = (bounds[0], bounds[1])

        def leads(live: Sequence[Attempt]) -> LeadTime:
            with self._lock:
                if span not in self._leads:
                    if len(self._leads) >= _LIMIT:
                        self._leads.clear()
                    self._leads[span] = lead_time(live)
                return self._leads[span]

        asked = {"environment": environment, "application": application, "since": since, "until": until}
        return measure(self._attempts[slice(*span)], **asked, leads=leads)
