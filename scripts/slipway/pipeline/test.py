"""Stage test: the application's own tests, unless they passed before on exactly these files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel

from slipway import paths
from slipway.errors import CommandFailed, PipelineFailed
from slipway.git.checkout import Checkout
from slipway.pipeline import records
from slipway.pipeline.commit import Commit, touches
from slipway.pipeline.config import Config, Reuse
from slipway.proc import stream


class Passed(BaseModel):
    """A commit whose tests passed, and when."""

    commit: str
    at: AwareDatetime


def run(
    config: Config, folder: Path, head: Commit, on_line: Callable[[str], None], again: bool = False
) -> str | None:
    """Run the configured tests with this Python in `folder`; a failure, or no test at all, fails the stage.

    Returns the commit whose tests stand for these, or None when they were run.
    """
    arguments, reuse = config.test.arguments, config.test.reuse
    record = _record(folder, head, arguments, reuse) if reuse and not head.dirty else None
    passed = _passed(record, reuse.days) if record and reuse and not again else None
    if passed:
        on_line(f"the tests passed on the same files in {passed.commit[:12]}, {passed.at}: not run again")
        return passed.commit
    try:
        stream([sys.executable, *arguments], on_line, cwd=folder)
    except CommandFailed as exc:
        raise PipelineFailed(
            f"the application's tests ended with code {exc.returncode}",
            fix=f"run `python {' '.join(arguments)}`",
        ) from exc
    if record:
        records.write(record, Passed(commit=head.sha, at=datetime.now(UTC)).model_dump(mode="json"))
    return None


def _record(folder: Path, head: Commit, arguments: list[str], reuse: Reuse) -> Path:
    """Where it is kept that tests passed on these files: the commit's, but for those that no test reads.

    This package counts by its own files, since it runs from a checkout and its version does not change with them.
    """
    files = Checkout(folder).files(head.sha)
    tested = {path: oid for path, oid in files.items() if not touches([path], reuse.unread)}
    installed = sorted(f"{d.name}=={d.version}" for d in importlib.metadata.distributions())
    own = [file.read_text() for file in sorted((paths.CHECKOUT / "scripts" / "slipway").rglob("*.py"))]
    what = json.dumps([sys.version, installed, own, arguments, tested], sort_keys=True)
    return paths.cache() / "tested" / f"{hashlib.sha256(what.encode()).hexdigest()}.json"


def _passed(record: Path, days: int) -> Passed | None:
    """What was kept, unless it is too old or cannot be read: then the tests are run."""
    try:
        kept = Passed.model_validate_json(record.read_text())
    except (OSError, ValueError):
        return None
    return kept if timedelta() <= datetime.now(UTC) - kept.at <= timedelta(days=days) else None
