"""Reads a remote branch piece by piece: its newest commits, then only the folders and files asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from slipway.errors import CommandFailed, EditRefused, InvalidInput
from slipway.git.access import explain, remote_text
from slipway.git.commits import Commit
from slipway.git.store import FILE, LINK, TREE, Store, TreeEntry
from slipway.proc import redact

HISTORY = 64
"""How many commits of the branch are fetched, for their messages."""

_ALL = 2**31 - 1
"""Depth that Git takes for all there are; without any, a fetch from a shallow clone does not end."""

_BARE = ("tree:0", "blob:none")
"""Filters for what is wanted and nothing below it, best first: a server may forbid the better ones."""

_ABSENT_TRIES = 4
"""How often in a row a remote must say that it has no such branch: while others push, its list may lack one."""

_TIP, _DEEP, _OTHER = "refs/slipway/tip", "refs/slipway/deep", "refs/slipway/other"


class Again(Exception):
    """The attempt may be repeated: another writer was faster."""


class Dropped(Again):
    """The attempt may be repeated: the connection failed."""


class Tip:
    """The branch at one commit, read on demand."""

    def __init__(self, reader: Reader, sha: str, tree: str):
        self._reader, self.sha, self.tree = reader, sha, tree
        self._history: list[Commit] = []

    def read(self, paths: Collection[str], *, siblings: bool = False) -> dict[str, bytes | None]:
        """The contents of files by path, None where there is no file; one fetch per level of folders.

        With `siblings` the rest of the deepest folders comes along, which saves a fetch where folders are small.
        """
        found = self._reader.walk(self.tree, paths, siblings=siblings)
        for path, entry in found.items():
            if entry and entry.mode == LINK:
                raise EditRefused("a symbolic link", path=path, fix="replace it by a regular file")
        files = {path: entry for path, entry in found.items() if entry and entry.mode.startswith("100")}
        self._reader.need(blobs=[entry.oid for entry in files.values()])
        return {path: self._reader.store.body(files[path].oid) if path in files else None for path in found}

    def folders(self, paths: Collection[str]) -> dict[str, dict[str, bool]]:
        """The names in each folder, with whether they are folders themselves; empty where there is no folder."""
        found = self._reader.walk(self.tree, paths)
        trees = {path: entry.oid for path, entry in found.items() if entry and entry.mode == TREE}
        self._reader.need(trees.values())
        listed = {path: self._reader.store.entries(oid) for path, oid in trees.items()}
        return {p: {name: e.mode == TREE for name, e in listed.get(p, {}).items()} for p in found}

    def history(self) -> list[Commit]:
        """The newest commits, as far back as they were fetched (64 and what came since)."""
        if not self._history:
            shown = self._reader.store.git("log", "--format=%H %P%n%B%x00", self.sha).stdout
            parts = [part.strip("\n").partition("\n") for part in shown.split("\0")]
            self._history = [Commit(ids[:40], text, tuple(ids[41:].split())) for ids, _, text in parts if ids]
        return self._history

    def written(self, sha: str) -> datetime:
        """When one of the commits that were fetched was written, by the committer's clock; UTC."""
        return datetime.fromtimestamp(
            int(self._reader.store.git("log", "-1", "--format=%ct", sha).stdout), UTC
        )

    def last_change(self, path: str) -> datetime:
        """Since when the branch has at `path` what it has now, by the committer's clock; UTC.

        A merged pull request counts from its merge. What is older than `history` is said to be as old as that.
        """
        store = self._reader.store
        shown = store.git("log", "--first-parent", "--format=%T %ct", self.sha).stdout
        trees, times = zip(*map(str.split, shown.splitlines()), strict=True)
        oids = self._reader.entry_over(trees, path)
        same = next((n for n, oid in enumerate(oids) if oid != oids[0]), len(oids))
        return datetime.fromtimestamp(int(times[same - 1]), UTC)

    @property
    def is_cut(self) -> bool:
        """Whether the branch has older commits than were fetched."""
        return (self._reader.store.folder / "shallow").exists()

    def deepen(self, count: int) -> None:
        """Fetch up to `count` commits older than those of `history`; without their trees where the server can."""
        self._reader.deepen(count)
        self._history = []

    def at(self, sha: str) -> Tip:
        """The branch as it stood at one of the commits that were fetched."""
        return Tip(self._reader, sha, self._reader.tree(sha))


class Reader:
    """One branch of the store's remote; `given` tells whether credentials were, `whole` asks for all of its history."""

    def __init__(self, store: Store, branch: str, shown: str, *, given: bool, whole: bool = False):
        self.store, self.branch, self.shown, self.given = store, branch, shown, given
        self._depth, self._timeout = (_ALL, 600) if whole else (HISTORY, 60)
        # The folders that most paths begin with come with the first commits. Of later commits what is new comes down
        # to the applications' folders, so that a writer who was too late needs one fetch, not one for each level.
        self._filters = [("blob:none",)] * 2 if whole else [("tree:2", *_BARE), ("tree:3", *_BARE)]
        self._refused: set[str] = set()
        self._fetched = False
        self._absences = 0

    def fetch(self) -> Tip:
        """The branch as it stands on the remote now; raises `Dropped` when there is no answer, or one to be doubted."""
        depth = [] if self._fetched else ["--depth", str(self._depth)]
        try:
            self._git_fetch(self._filters[self._fetched], depth, f"+refs/heads/{self.branch}:{_TIP}")
        except InvalidInput as exc:
            self._absences += 1
            if self._absences < _ABSENT_TRIES:
                raise Dropped(str(exc)) from exc
            raise
        self._fetched, self._absences = True, 0
        sha = self.store.ref(_TIP)
        return Tip(self, sha, self.tree(sha))

    def deepen(self, count: int) -> None:
        """Fetch up to `count` commits below the oldest there are; raises `Dropped` when there is no answer."""
        self._git_fetch(_BARE, [f"--deepen={count}"], f"+refs/heads/{self.branch}:{_DEEP}")

    def tree(self, sha: str) -> str:
        """The root folder's id in a commit that was fetched."""
        self.need([sha])
        return re.match(rb"tree ([0-9a-f]{40})\n", self.store.body(sha))[1].decode()

    def other(self, branch: str) -> Tip | None:
        """Another branch as it stands on the remote now, None when there is none."""
        try:
            self._git_fetch(self._filters[0], ["--depth", str(HISTORY)], f"+refs/heads/{branch}:{_OTHER}")
        except InvalidInput:
            return None
        sha = self.store.ref(_OTHER)
        return Tip(self, sha, self.tree(sha))

    def entry_over(self, trees: Sequence[str], path: str) -> list[str | None]:
        """The object at a path below each of these trees, None where there is none; one fetch per level."""
        oids: list[str | None] = list(trees)
        for name in path.split("/"):
            self.need([oid for oid in oids if oid])
            found = [self.store.entry(oid, name) if oid else None for oid in oids]
            oids = [entry.oid if entry else None for entry in found]
        return oids

    def _git_fetch(
        self, filters: Sequence[str], options: list[str], *refspecs: str, oids: Collection[str] = ()
    ) -> None:
        """Fetch with the first filter that the server allows, whole when it allows none."""
        # What is asked for by id must come although the commit that holds it is here already.
        told = ["-c", "fetch.negotiationAlgorithm=noop"] if oids else []
        plain = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *options]
        asked = [*(["--stdin"] if oids else []), "origin", *refspecs]
        for name in (*(name for name in filters if name not in self._refused), ""):
            narrow = f"--filter={name}" if name else "--no-filter"
            try:
                done = self.store.git(
                    *told,
                    *plain,
                    narrow,
                    *asked,
                    input="".join(f"{oid}\n" for oid in oids),
                    timeout=self._timeout,
                )
            except CommandFailed as exc:
                raise Dropped(str(exc)) from exc
            if not done.returncode:
                return
            if not name or "filter" not in done.stderr.lower():
                raise self._failed(done.stderr)
            self._refused.add(name)

    def _failed(self, stderr: str) -> Exception:
        text = redact(remote_text(stderr) or stderr.strip())
        return explain(self.shown, self.branch, stderr, given=self.given) or Dropped(
            text.splitlines()[-1] if text else "no answer"
        )

    def _have(self, oids: Collection[str]) -> list[str]:
        """Have what the repository has of these in memory; returns the rest."""
        return self.store.load([oid for oid in dict.fromkeys(oids) if not self.store.has(oid)])

    def walk(
        self, tree: str, paths: Collection[str], *, siblings: bool = False
    ) -> dict[str, TreeEntry | None]:
        """The entry at each path below a tree, None where there is none; fetches the folders between."""
        found: dict[str, TreeEntry | None] = {}
        level = [(path, TreeEntry(TREE, tree), path.split("/")) for path in paths]
        while level:
            last = siblings and max(len(parts) for _, _, parts in level) == 1
            files = [entry.oid for entry in found.values() if entry and entry.mode == FILE] if last else []
            self.need([entry.oid for _, entry, _ in level], files, siblings=last)
            below = []
            for path, entry, parts in level:
                child = self.store.entry(entry.oid, parts[0])
                if child and parts[1:] and child.mode == TREE:
                    below.append((path, child, parts[1:]))
                else:
                    found[path] = None if parts[1:] else child
            level = below
        return found

    def need(
        self, trees: Collection[str] = (), blobs: Collection[str] = (), *, siblings: bool = False
    ) -> None:
        """Have these objects in memory; with `siblings`, what lies in the trees comes in the same fetch."""
        absent = self._have((*trees, *blobs))
        if absent:
            self._git_fetch(("blob:limit=1m",) if siblings else _BARE, [], oids=absent)
            if absent := self._have(absent):
                raise CommandFailed(
                    f"{self.shown} did not send {absent[0]}", fix="check the repository with git fsck"
                )
