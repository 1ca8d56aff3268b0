"""How the things that the board reads are: fine, out of date with the reason, or not configured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from slipway.proc import redact

from board_backend.schema import Source

NAMES = ("deploy", "source", "events", "argocd", "database")
_LIMIT = 300
"""Characters of a reason that are shown."""


class Sources:
    """The states, told by the threads that read; `changed` is called when one is another than before."""

    def __init__(self, off: dict[str, str], changed: Callable[[], None]):
        self._lock, self._changed = threading.Lock(), changed
        now = datetime.now(UTC)
        self._states = {name: self._first(name, off, now) for name in NAMES}

    @staticmethod
    def _first(name: str, off: dict[str, str], now: datetime) -> Source:
        if name in off:
            return Source(name=name, state="off", since=None, message=off[name])
        return Source(name=name, state="stale", since=now, message="it is being read")

    def ok(self, name: str, note: str = "") -> None:
        """It was read to its end; the note tells what was left out."""
        self._set(name, "ok", _line(note))

    def stale(self, name: str, why: str) -> None:
        """It could not be read; what was read before goes on to be shown."""
        self._set(name, "stale", _line(why) or "no reason given")

    def _set(self, name: str, state: str, message: str) -> None:
        with self._lock:
            before = self._states[name]
            if (before.state, before.message) == (state, message):
                return
            # Of what is fine every replica says the same, so that their answers have the same ETag.
            since = None if state == "ok" else before.since or datetime.now(UTC)
            self._states[name] = Source(name=name, state=state, since=since, message=message)
        self._changed()

    def get(self, name: str) -> Source:
        """The state of one."""
        with self._lock:
            return self._states[name]

    def all(self) -> tuple[Source, ...]:
        """Every state, in the order of `NAMES`."""
        with self._lock:
            return tuple(self._states.values())


def _line(text: str) -> str:
    return redact(text).strip().partition("\n")[0][:_LIMIT]
