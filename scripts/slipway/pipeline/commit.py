"""The commit that is being built: its id, time, version and whether it is worth building."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from slipway.errors import CommandFailed, InvalidInput
from slipway.proc import run


@dataclass(frozen=True)
class Commit:
    """The checked-out commit; `dirty` when the working tree differs from it."""

    sha: str
    time: datetime
    dirty: bool

    @property
    def created(self) -> str:
        """Commit time as RFC 3339 in UTC."""
        return self.time.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def tag(self) -> str:
        """`<UTC time>-<7 of the id>`: sorts by time as text; `-dirty` marks what must not be pushed."""
        return f"{self.time:%Y%m%d-%H%M%S}-{self.sha[:7]}" + ("-dirty" if self.dirty else "")


def read(folder: Path = Path()) -> Commit:
    """The commit checked out in `folder`; the output folder does not count as a change."""
    try:
        shown = run(["git", "show", "-s", "--format=%H %ct", "HEAD"], cwd=folder).stdout.split()
        status = run(["git", "status", "--porcelain", "--", ".", ":(exclude)out"], cwd=folder).stdout
    except CommandFailed as exc:
        raise InvalidInput(
            f"no commit to build: {exc.message}", path=folder.resolve(), fix="run it in a Git checkout"
        ) from exc
    return Commit(shown[0], datetime.fromtimestamp(int(shown[1]), UTC), bool(status.strip()))


def last_change(folder: Path, files: list[Path], commit: Commit) -> datetime:
    """When the newest commit that changed any of the files was made; the commit's own time where history is short."""
    shown = run(
        ["git", "log", "-1", "--format=%ct", commit.sha, "--", *files], cwd=folder, check=False
    ).stdout.strip()
    return datetime.fromtimestamp(int(shown), UTC) if shown else commit.time


def touches(files: list[str], patterns: list[str]) -> bool:
    """Whether any file matches a pattern (`*` crosses folders)."""
    return any(fnmatch(file, pattern) for file in files for pattern in patterns)


def is_bump(message: str, trailer: str) -> bool:
    """Whether a commit message ends with the bump's trailer, e.g. `Source-Commit: 0123abc…`."""
    last = re.split(r"\n\s*\n", message.strip())[-1]
    return any(re.match(rf"{re.escape(trailer)}: [0-9a-f]{{7,40}}\s*$", line) for line in last.splitlines())


def only_bumps(folder: Path, since: str | None, patterns: list[str], trailer: str) -> bool:
    """Whether every commit in `since..HEAD` (without a known `since`: HEAD alone) is a bump that touches no source."""
    if since and run(["git", "cat-file", "-e", f"{since}^{{commit}}"], cwd=folder, check=False).returncode:
        since = None
    revisions = [f"{since}..HEAD"] if since else ["-1", "HEAD"]
    log = run(["git", "log", "--format=%H%x1f%B%x1e", *revisions], cwd=folder).stdout
    commits = [entry.strip().split("\x1f") for entry in log.split("\x1e") if entry.strip()]
    for sha, message in commits:
        listed = run(
            ["git", "show", "--format=", "--name-only", "-m", "--first-parent", sha], cwd=folder
        ).stdout
        if not is_bump(message, trailer) or touches(listed.split("\n"), patterns):
            return False
    return bool(commits)
