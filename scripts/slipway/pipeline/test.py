"""Stage test: the application's own tests, unless they passed before on exactly these files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway import paths
from slipway.errors import CommandFailed, PipelineFailed
from slipway.git.checkout import Checkout
from slipway.pipeline import config as settings
from slipway.pipeline.commit import Commit, touches
from slipway.pipeline.config import Config
from slipway.proc import stream


def run(
    config: Config, folder: Path, head: Commit, on_line: Callable[[str], None], again: bool = False
) -> str | None:
    """Run the configured tests with this Python in `folder`; a failure, or no test at all, fails the stage.

    Returns the commit whose tests stand for these, or None when they were run.
    """
    record = None if head.dirty or config.test.reuse is None else _record(config, folder, head)
    passed = _passed(record, config) if record and not again else None
    if passed:
        on_line(
            f"the tests passed on the same files in {passed['commit'][:12]}, {passed['at']}: not run again"
        )
        return passed["commit"]
    command = [sys.executable, *config.test.arguments]
    try:
        stream(command, on_line, cwd=folder)
    except CommandFailed as exc:
        raise PipelineFailed(
            f"the application's tests ended with code {exc.returncode}",
            fix=f"run `python {' '.join(config.test.arguments)}`",
        ) from exc
    if record:
        _remember(record, head)
    return None


def _record(config: Config, folder: Path, head: Commit) -> Path:
    """Where it is kept that tests passed on these files: the commit's, but for those that no test reads."""
    reuse: settings.Reuse = config.test.reuse  # type: ignore[assignment]
    files = Checkout(folder).files(head.sha)
    tested = {path: oid for path, oid in files.items() if not touches([path], reuse.unread)}
    installed = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions())
    what = json.dumps([sys.version, installed, config.test.arguments, tested], sort_keys=True)
    return paths.cache() / "tested" / f"{hashlib.sha256(what.encode()).hexdigest()}.json"


def _passed(record: Path, config: Config) -> dict[str, str] | None:
    """What was kept, unless it is too old or cannot be read: then the tests are run."""
    try:
        kept = json.loads(record.read_text())
        age = datetime.now(UTC) - datetime.fromisoformat(kept["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if timedelta() <= age <= timedelta(days=config.test.reuse.days) else None


def _remember(record: Path, head: Commit) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(".partial")
    partial.write_text(
        json.dumps({"commit": head.sha, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    )
    partial.rename(record)
