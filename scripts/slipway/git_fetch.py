"""Reads a remote branch piece by piece: its newest commits, then only the folders and files asked for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from slipway.errors import CommandFailed, EditRefused
from slipway.git_access import explain, remote_text
from slipway.git_store import FILE, LINK, TREE, Store, TreeEntry
from slipway.proc import redact

HISTORY = 64
"""How many commits of the branch are fetched, for their messages."""

_FILTERS = ("tree:1", "tree:0", "blob:none", "")
"""What is asked of the server, best first: a server may forbid or ignore the better ones."""

_TIP = "refs/slipway/tip"


class Again(Exception):
    """The attempt may be repeated: another writer was faster."""


class Dropped(Again):
    """The attempt may be repeated: the connection failed."""


@dataclass(frozen=True)
class Commit:
    """One commit of the branch."""

    sha: str
    message: str


class Tip:
    """The branch at one commit, read on demand."""

    def __init__(self, reader: Reader, sha: str, tree: str):
        self._reader, self.sha, self.tree = reader, sha, tree

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
        shown = self._reader.store.git("log", "--format=%H%n%B%x00", self.sha).stdout
        parts = [part.strip("\n").partition("\n") for part in shown.split("\0")]
        return [Commit(sha, message) for sha, _, message in parts if sha]


class Reader:
    """One branch of the store's remote; `given` tells whether credentials were."""

    def __init__(self, store: Store, branch: str, shown: str, *, given: bool):
        self.store, self.branch, self.shown, self.given = store, branch, shown, given
        self._filter = 0
        self._present: set[str] = set()
        self._fetched = False

    def fetch(self) -> Tip:
        """The branch as it stands on the remote now; raises `Dropped` when there is no answer."""
        depth = [] if self._fetched else ["--depth", str(HISTORY)]
        asked = _FILTERS[self._filter]
        done = self._git_fetch(
            [*depth, f"--filter={asked}" if asked else "--no-filter"], f"+refs/heads/{self.branch}:{_TIP}"
        )
        if done.returncode:
            if "filter" in done.stderr.lower() and asked:
                self._filter += 1
                return self.fetch()
            raise self._failed(done.stderr)
        if "filtering not recognized" in done.stderr:
            self._filter = len(_FILTERS) - 1
        self._fetched = True
        rooted = asked != "tree:0"
        sha, *_ = self.store.load([_TIP, *([_TIP + "^{tree}"] if rooted else [])])
        return Tip(self, sha, re.match(rb"tree ([0-9a-f]{40})\n", self.store.body(sha))[1].decode())

    def _git_fetch(self, options: list[str], *refspecs: str, input: str | None = None):
        # What is asked for by id must come although the commit that holds it is here already.
        told = ["-c", "fetch.negotiationAlgorithm=noop"] if not refspecs else []
        command = [
            *told,
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            *options,
            "origin",
            *refspecs,
        ]
        try:
            return self.store.git(*command, input=input)
        except CommandFailed as exc:
            raise Dropped(str(exc)) from exc

    def _failed(self, stderr: str) -> Exception:
        text = redact(remote_text(stderr) or stderr.strip())
        return explain(self.shown, self.branch, stderr, given=self.given) or Dropped(
            text.splitlines()[-1] if text else "no answer"
        )

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
                child = self.store.entries(entry.oid).get(parts[0])
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
        kind = _FILTERS[self._filter].partition(":")[0]
        missing = [oid for oid in dict.fromkeys((*trees, *blobs)) if not self.store.has(oid)]
        lacking = {"tree": set(missing), "blob": set(blobs), "": set()}[kind] - self._present
        wanted = [oid for oid in missing if oid in lacking]
        if wanted:
            brought = "blob:limit=1m" if siblings else "tree:0" if kind == "tree" else "blob:none"
            done = self._git_fetch(
                [f"--filter={brought}", "--stdin"], input="".join(f"{oid}\n" for oid in wanted)
            )
            if done.returncode:
                raise self._failed(done.stderr)
        if missing:
            self.store.load(missing)
        if siblings:
            self._present |= {entry.oid for tree in trees for entry in self.store.entries(tree).values()}
