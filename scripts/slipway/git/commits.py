"""What a commit is, however it was read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Commit:
    """One commit of the branch; without `parents` it is the first, or the last that was fetched."""

    sha: str
    message: str
    parents: tuple[str, ...] = ()

    @property
    def is_merge(self) -> bool:
        """Whether it joins others, and so brings nothing of its own."""
        return len(self.parents) > 1


@dataclass(frozen=True, kw_only=True)
class DatedCommit(Commit):
    """A commit with who wrote it and when (UTC), and the paths in which it differs from its first parent."""

    author: str
    authored: datetime
    committed: datetime
    paths: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]
