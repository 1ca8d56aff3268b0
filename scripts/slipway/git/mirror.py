"""The border to a remote branch for those who read all of its history, again and again, without a Git program.

`slipway.git.remote` reads the newest part and writes; this one only reads, and runs in images that have no Git.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

import urllib3
from dulwich.client import HTTPUnauthorized, get_transport_and_path
from dulwich.config import ConfigFile
from dulwich.diff_tree import tree_changes
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.objects import Blob, Tree
from dulwich.objects import Commit as GitCommit
from dulwich.repo import Repo
from dulwich.walk import ORDER_TOPO

from slipway.errors import EditRefused, InvalidInput, RemoteRefused, Unreachable
from slipway.git.access import check_url, environment_credentials
from slipway.git.commits import DatedCommit
from slipway.proc import redact

_TIMEOUT = 30
"""Seconds without an answer."""


class Mirror:
    """A copy of one branch in a folder, which is made when it is not there; `paths` tells whether commits have theirs."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        branch: str = "main",
        credentials: tuple[str, str] | None = None,
        paths: bool = True,
    ):
        self.url, self.branch, self.shown, self._paths = check_url(url), branch, redact(url), paths
        self._credentials = credentials or environment_credentials()
        folder.mkdir(parents=True, exist_ok=True)
        self._repo = Repo(str(folder)) if (folder / "objects").is_dir() else Repo.init_bare(str(folder))
        self._known: dict[str, DatedCommit] = {}

    def close(self) -> None:
        """Let go of the files."""
        self._repo.close()

    def fetch(self) -> str | None:
        """The commit that the branch is at now, which is here afterwards; None when the remote has no such branch.

        Raises `RemoteRefused` without access, `Unreachable` without an answer.
        """
        user, password = self._credentials or (None, None)
        config = ConfigFile()
        config.set((b"http",), b"timeout", str(_TIMEOUT).encode())
        if authority := os.environ.get("GIT_SSL_CAINFO"):
            config.set((b"http",), b"sslCAInfo", authority.encode())
        ref = f"refs/heads/{self.branch}".encode()

        def wanted(refs, depth=None):
            sha = refs.get(ref)
            return [sha] if sha and sha not in self._repo.object_store else []

        try:
            client, path = get_transport_and_path(self.url, config=config, username=user, password=password)
            found = client.fetch(path, self._repo, determine_wants=wanted)
        except HTTPUnauthorized as exc:
            what = "does not accept these credentials" if user else "wants credentials"
            raise RemoteRefused(
                f"{self.shown} {what}", fix="check SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD"
            ) from exc
        except NotGitRepository as exc:
            raise RemoteRefused(
                f"{self.shown} is not there, or not for this user", fix="check the address and the rights"
            ) from exc
        except (GitProtocolError, urllib3.exceptions.HTTPError, OSError) as exc:
            text = redact(str(exc)).splitlines() or [type(exc).__name__]
            raise Unreachable(
                f"{self.shown} does not answer: {text[0][:200]}", fix="try again later"
            ) from exc
        sha = found.refs.get(ref)
        return sha.decode() if sha else None

    def commits(self, sha: str) -> list[DatedCommit]:
        """A commit and all before it, newest first, none before those that follow it."""
        walker = self._repo.get_walker(include=[sha.encode()], order=ORDER_TOPO)
        return [self._commit(entry.commit.id.decode()) for entry in walker]

    def newer(self, sha: str, before: str) -> list[DatedCommit] | None:
        """The commits that `sha` has and `before` has not, as `commits`; None when `before` does not lead to it."""
        include, exclude = [sha.encode()], [before.encode()]
        walker = self._repo.get_walker(include=include, exclude=exclude, order=ORDER_TOPO)
        found = [self._commit(entry.commit.id.decode()) for entry in walker]
        follows = sha == before or any(before in commit.parents for commit in found)
        return found if follows else None

    def _commit(self, sha: str) -> DatedCommit:
        if sha not in self._known:
            self._known[sha] = self._read(sha)
        return self._known[sha]

    def _read(self, sha: str) -> DatedCommit:
        found = self._repo[sha.encode()]
        if not isinstance(found, GitCommit):
            raise InvalidInput(f"{sha} of {self.shown} is no commit", fix="give a commit")
        parents = tuple(parent.decode() for parent in found.parents)
        commit = DatedCommit(
            sha,
            found.message.decode("utf-8", "replace"),
            parents,
            author=found.author.decode("utf-8", "replace").partition(" <")[0],
            authored=datetime.fromtimestamp(found.author_time, UTC),
            committed=datetime.fromtimestamp(found.commit_time, UTC),
        )
        return replace(commit, paths=self._changed(found)) if self._paths else commit

    def _changed(self, commit: GitCommit) -> tuple[str, ...]:
        store = self._repo.object_store
        before = store[commit.parents[0]].tree if commit.parents else None
        changed = tree_changes(store, before, commit.tree)
        sides = {side.path for one in changed for side in (one.old, one.new) if side and side.path}
        return tuple(sorted(path.decode("utf-8", "replace") for path in sides))

    def files(self, sha: str, before: str | None = None) -> Iterator[tuple[str, bytes]]:
        """(path, contents) of every regular file at a commit; with `before`, only of those new or changed since."""
        store = self._repo.object_store
        old = store[before.encode()].tree if before else None
        for change in tree_changes(store, old, self._tree(sha)):
            new = change.new
            if new and new.mode and S_ISREG(new.mode):
                yield new.path.decode("utf-8", "replace"), store[new.sha].data

    def tip(self, sha: str) -> MirrorTip:
        """The branch at a commit."""
        return MirrorTip(self, sha)

    def _tree(self, sha: str) -> bytes:
        return self._repo[sha.encode()].tree

    def entry(self, sha: str, path: str) -> tuple[int, Tree | Blob] | None:
        """Mode and object at a path of a commit, None where there is none."""
        mode, found = 0o040000, self._repo[self._tree(sha)]
        for name in path.split("/"):
            if not isinstance(found, Tree) or name.encode() not in found:
                return None
            mode, oid = found[name.encode()]
            if oid not in self._repo.object_store:
                return None
            found = self._repo[oid]
        return mode, found


class MirrorTip:
    """The branch at one commit, with what `slipway.git.fetch.Tip` offers to readers; nothing is left to fetch."""

    is_cut = False

    def __init__(self, mirror: Mirror, sha: str):
        self._mirror, self.sha = mirror, sha
        self._history: list[DatedCommit] = []

    def read(self, paths: Collection[str]) -> dict[str, bytes | None]:
        """The contents of files by path, None where there is no file."""
        found = {}
        for path in paths:
            mode, entry = self._mirror.entry(self.sha, path) or (0, None)
            if S_ISLNK(mode):
                raise EditRefused("a symbolic link", path=path, fix="replace it by a regular file")
            found[path] = entry.data if S_ISREG(mode) and isinstance(entry, Blob) else None
        return found

    def folders(self, paths: Collection[str]) -> dict[str, dict[str, bool]]:
        """The names in each folder, with whether they are folders themselves; empty where there is no folder."""
        found = {}
        for path in paths:
            _, entry = self._mirror.entry(self.sha, path) or (0, None)
            items = entry.items() if isinstance(entry, Tree) else []
            found[path] = {item.path.decode("utf-8", "replace"): S_ISDIR(item.mode) for item in items}
        return found

    def history(self) -> list[DatedCommit]:
        """All commits, newest first."""
        self._history = self._history or self._mirror.commits(self.sha)
        return self._history

    def written(self, sha: str) -> datetime:
        """When a commit was written, by the committer's clock; UTC."""
        return next(one.committed for one in self.history() if one.sha == sha)
