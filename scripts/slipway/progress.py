"""Shows long work: one line a step with what, how far and how long; a closing table of times."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

QUIET_EVERY = 30.0
"""Seconds between signs of life when the output is not a terminal."""


class Step:
    """One piece of work that is being done."""

    def __init__(self, console: Console, title: str):
        self.console = console
        self.title = title
        self.started = time.monotonic()
        self.text = ""
        self._shown = self.started
        self._status = None

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started

    def advance(self, what: str, done: int = 0, total: int = 0) -> None:
        """Tell what is being done now and, if known, how far it is."""
        share = f"{100 * done // total:3d} % " if total > 1 else ""
        line = f"{self.title}: {share}{what.rpartition('/')[2]} ({self.seconds:.0f} s)"
        if self._status:
            self._status.update(line)
        elif time.monotonic() - self._shown > QUIET_EVERY:
            self._shown = time.monotonic()
            self.console.print(f"  … {line}", highlight=False)

    def note(self, text: str) -> None:
        """Leave a remark in the step's closing line."""
        self.text = text


class Steps:
    """The steps of one command; on a terminal the current one is live, elsewhere lines are printed."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.done: list[tuple[str, float, str]] = []
        self.started = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run the body as one step; its time is kept, whether it ends well or not."""
        step = Step(self.console, title)
        live = sys.stderr.isatty() and threading.current_thread() is threading.main_thread()
        if live:
            step._status = self.console.status(title)
            step._status.start()
        try:
            yield step
        except BaseException:
            self._close(step, "[red]failed[/red]")
            raise
        self._close(step, "[green]done[/green]")

    def _close(self, step: Step, word: str) -> None:
        if step._status:
            step._status.stop()
        with self._lock:
            self.done.append((step.title, step.seconds, step.text))
            remark = f" ({step.text})" if step.text else ""
            self.console.print(f"{word} {step.title}{remark} [dim]{step.seconds:.1f} s[/dim]")

    def table(self) -> None:
        """Print every step with its time, and the whole."""
        table = Table("step", "seconds", "remark", box=None)
        for title, seconds, remark in self.done:
            table.add_row(title, f"{seconds:.1f}", remark)
        table.add_row("in all", f"{time.monotonic() - self.started:.1f}", "")
        self.console.print(table)
