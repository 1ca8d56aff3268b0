"""The border to the files of a work tree: every path with its content's id, at the cost of a stat a file.

Ids are those that git gives to blobs, so that a work tree and a commit can be compared.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED = {"node_modules", "__pycache__"}
"""Folders that hold no manifests, besides hidden ones."""
LARGEST = 10 << 20
"""Bytes of the largest file that is read; a larger one is known by its size and time."""
UNREAD = "unread-"
"""How the id of something begins that was not read: it is too large, no file, or not allowed."""
_RECENT = 2 * 10**9
"""Nanoseconds for which a change may go unnoticed by the clock of a file system."""

Stamp = tuple[int, int, int, int]
"""Time of change of content and of inode (ns), size, inode."""


@dataclass
class Snapshot:
    """The files of a work tree: content ids by path, and the stamps by which the next look is quick."""

    ids: dict[str, str]
    stamps: dict[str, tuple[Stamp, str]]
    folders: set[str] = field(default_factory=set)
    hashed: int = 0

    def id_of(self, path: str) -> str:
        """What stands for the content at a path: its id, `folder`, or nothing."""
        return self.ids.get(path) or ("folder" if path in self.folders else "")


def scan(root: Path, known: Mapping[str, tuple[Stamp, str]], now: int) -> Snapshot:
    """Every file below `root`; `known` are the stamps of an earlier look, taken over where they still hold.

    A file that changed within the last seconds before `now` (ns) gets no stamp: it may change again unnoticed.
    """
    found = Snapshot({}, {})
    for path, status in _files(str(root), found.folders):
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        before = known.get(path)
        if before and before[0] == stamp:
            identity = before[1]
        else:
            identity = _identity(root / path, status)
            found.hashed += 1
        found.ids[path] = identity
        if max(stamp[0], stamp[1]) < now - _RECENT:
            found.stamps[path] = (stamp, identity)
    return found


def _files(root: str, folders: set[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Every file and link below `root` by its path from there; links are not followed."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        folders.add(prefix[:-1])
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    if name[0] != "." and name not in SKIPPED:
                        pending.append(f"{prefix}{name}/")
                else:
                    yield prefix + name, entry.stat(follow_symlinks=False)


def _identity(file: Path, status: os.stat_result) -> str:
    """The id of a file's content; for what is not read, something that changes when it changes."""
    if stat.S_ISLNK(status.st_mode):
        return blob_id(os.fsencode(file.readlink()))
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
        return f"{UNREAD}{status.st_size}-{status.st_mtime_ns}"
    try:
        return blob_id(file.read_bytes())
    except OSError as exc:
        return f"{UNREAD}{exc.errno}"


def blob_id(content: bytes) -> str:
    """The id that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
