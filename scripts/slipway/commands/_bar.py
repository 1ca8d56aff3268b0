"""How far the rendering is, while it goes on."""

from __future__ import annotations

import sys
import time

import click


class Bar:
    """How far the rendering is, on a terminal in one line, elsewhere a line every 30 seconds."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.started = self.shown = time.monotonic()
        self.live = sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        """Tell, five times a second at most."""
        now = time.monotonic()
        if now - self.shown < (0.2 if self.live else 30):
            return
        self.shown = now
        line = f"rendered {done} of {total} {self.what} ({now - self.started:.0f} s)"
        click.echo(f"\r\x1b[K{line}" if self.live else f"  … {line}", err=True, nl=not self.live)

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self.live and self.shown > self.started:
            click.echo("\r\x1b[K", err=True, nl=False)
