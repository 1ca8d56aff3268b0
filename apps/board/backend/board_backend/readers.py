"""The threads that read what is outside, each at its own pace, and go on whatever happens to them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from slipway.errors import SlipwayError

from board_backend import database

log = logging.getLogger(__name__)

_SPACE = 1.0
"""Seconds between two readings, however often one is asked for."""

_AGAIN = 10.0
"""Seconds after which what failed is tried again, at the latest."""


class Reader:
    """Calls `read` every `seconds`, or sooner when poked; `failed` is told why it could not, `close` comes last."""

    def __init__(
        self,
        name: str,
        read: Callable[[], None],
        failed: Callable[[str], None],
        seconds: float,
        close: Callable[[], None] = lambda: None,
    ):
        self._read, self._failed, self._seconds, self._close = read, failed, seconds, close
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def poke(self) -> None:
        """There may be something new."""
        self._wake.set()

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()
        self._wake.set()

    def join(self, patience: float) -> None:
        """Wait for the end; a reading that hangs is left to the end of the process."""
        self._thread.join(patience)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            began = time.monotonic()
            done = attempt(self._read, self._failed)
            self._stopping.wait(max(0, began + _SPACE - time.monotonic()))
            self._wake.wait(self._seconds if done else min(self._seconds, _AGAIN))
        self._close()


def attempt(read: Callable[[], None], failed: Callable[[str], None]) -> bool:
    """Whether it could be read; whatever goes wrong is told, and nothing else depends on it."""
    try:
        read()
        return True
    except SlipwayError as exc:
        failed(exc.message)
    except database.UNAVAILABLE as exc:
        failed(f"database unavailable: {database.reason(exc)}")
    except Exception as exc:
        log.exception("a source could not be read")
        failed(f"unexpected {type(exc).__name__}")
    return False
