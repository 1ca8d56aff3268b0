"""Stage test: the application's own tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from slipway.errors import CommandFailed, PipelineFailed
from slipway.pipeline.config import Config
from slipway.proc import stream


def run(config: Config, folder: Path, on_line: Callable[[str], None]) -> None:
    """Run the configured tests with this Python in `folder`; a failure, or no test at all, fails the stage."""
    command = [sys.executable, *config.test.arguments]
    try:
        stream(command, on_line, cwd=folder)
    except CommandFailed as exc:
        raise PipelineFailed(
            f"the application's tests ended with code {exc.returncode}",
            fix=f"run `python {' '.join(config.test.arguments)}`",
        ) from exc
