"""Events on their way into the table: whatever waits is written together, and answered when it is committed."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from slipway.dora.events import Fact

from board_backend import database

log = logging.getLogger(__name__)

BATCH = 500
"""Events in one transaction."""

WAITING = 5000
"""Events that may wait at once; more are turned away."""

PATIENCE = 10.0
"""Seconds after which a sender is told to come again, whatever became of the event: telling it twice is fine."""


class Away(Exception):
    """The event was not stored, or nobody can say so yet; the text says why."""


@dataclass(eq=False)
class _Waiting:
    fact: Fact
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[bool] = field(init=False)

    def __post_init__(self) -> None:
        self.answer = self.loop.create_future()


class Writer:
    """One thread that writes; `add` keeps facts by identity and tells which were new, `stored` is called after it."""

    def __init__(self, add: Callable[[Mapping[str, Fact]], set[str]], stored: Callable[[], None]):
        self._add, self._stored = add, stored
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self.waiting = 0
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Begin to end: what waits is written first."""
        self._queue.put(None)

    def join(self, patience: float) -> None:
        """Wait for the end."""
        self._thread.join(patience)

    async def keep(self, fact: Fact) -> bool:
        """Whether the fact was news, once it is committed; raises `Away` when that cannot be said in time."""
        if self.waiting >= WAITING:
            raise Away("too many events wait")
        one = _Waiting(fact, asyncio.get_running_loop())
        self.waiting += 1
        try:
            self._queue.put(one)
            async with asyncio.timeout(PATIENCE):
                return await one.answer
        except TimeoutError as exc:
            raise Away("the database does not answer in time") from exc
        finally:
            self.waiting -= 1

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            with suppress(queue.Empty):
                while len(batch) < BATCH:
                    batch.append(self._queue.get_nowait())
            going = None not in batch
            self._write([one for one in batch if one is not None])

    def _write(self, batch: list[_Waiting]) -> None:
        facts = {one: one.fact.identity for one in batch}
        try:
            new = self._add({identity: one.fact for one, identity in facts.items()}) if batch else set()
        except Exception as exc:
            if isinstance(exc, database.UNAVAILABLE):
                log.warning("database unavailable: %s", database.reason(exc))
            else:
                log.exception("%d events could not be stored", len(batch))
            self._answer([(one, Away("database unavailable")) for one in batch])
            return
        answers: list[tuple[_Waiting, bool | Away]] = []
        for one, identity in facts.items():
            answers.append((one, identity in new))
            new.discard(identity)
        self._answer(answers)
        if batch:
            self._stored()

    @staticmethod
    def _answer(answers: list[tuple[_Waiting, bool | Away]]) -> None:
        for loop in {one.loop for one, _ in answers}:
            mine = [(one.answer, told) for one, told in answers if one.loop is loop]
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_tell, mine)


def _tell(answers: list[tuple[asyncio.Future[bool], bool | Away]]) -> None:
    for future, told in answers:
        if future.done():
            continue
        if isinstance(told, Away):
            future.set_exception(told)
        else:
            future.set_result(told)
