"""What the files of a branch said over time: every commit that changed them, and their contents then."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from slipway.errors import CommandFailed, InvalidInput
from slipway.git.remote import RemoteRepo, Tip

_CHANGE = re.compile(r"\n?:\d{6} (\d{6}) [0-9a-f]{40} ([0-9a-f]{40}) [A-Z]")
_QUIET = ("-c", "log.showRoot=true", "-c", "log.showSignature=false")


@dataclass(frozen=True)
class Version:
    """A file as one commit left it; `oid` is None where the commit removed it. A link is not a `regular` file."""

    path: str
    commit: str
    time: datetime
    oid: str | None
    regular: bool = True


def versions(repo: RemoteRepo, tip: Tip, folder: str) -> list[Version]:
    """Every change of a file below `folder` on the branch itself, newest first; a merge counts as one change.

    The repository must have been opened as `whole`. Raises `InvalidInput` when the remote lacks a part of the
    history, because what is not seen there would be taken as not needed.
    """
    if tip.is_cut:
        fix = "name the full repository; a clone is completed by `git fetch --unshallow`"
        raise InvalidInput(f"{repo.shown} is a shallow clone: its history is not all there", fix=fix)
    shape = ["--first-parent", "--raw", "--no-abbrev", "--no-renames", "-z", "--format=%x02%H %ct"]
    done = repo.store.git(*_QUIET, "log", *shape, tip.sha, "--", folder, timeout=600)
    if done.returncode:
        raise CommandFailed(f"the history of {repo.shown} cannot be read: {done.stderr.strip()}")
    return _parsed(done.stdout)


def _parsed(shown: str) -> list[Version]:
    found = []
    for text in shown.split("\2")[1:]:
        head, _, rest = text.partition("\0")
        commit, seconds = head.split()
        moment = datetime.fromtimestamp(int(seconds), UTC)
        parts = rest.split("\0")
        for change, path in zip(parts[::2], parts[1::2], strict=False):
            mode, oid = _CHANGE.fullmatch(change).groups()
            there = oid if mode != "000000" else None
            found.append(Version(path, commit, moment, there, there is None or mode.startswith("100")))
    return found


def contents(repo: RemoteRepo, oids: Collection[str]) -> dict[str, bytes]:
    """The bytes of these versions by object id, in one fetch."""
    repo.reader.need(blobs=list(dict.fromkeys(oids)))
    return {oid: repo.store.body(oid) for oid in oids}
