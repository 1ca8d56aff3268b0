"""A bare repository that lives as long as one command: one process reads its objects, new ones are written loose.

Blobs, trees and commits are made here rather than by one Git process each: only the folders on the path to a
changed file become new objects, whatever the size of the repository.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slipway.errors import CommandFailed, EditRefused
from slipway.git.signing import signed
from slipway.proc import Result, run

_CONFIG = """[core]
repositoryformatversion = 0
bare = true
[gc]
auto = 0
[maintenance]
auto = false
[protocol]
version = 2
[http]
lowSpeedLimit = 1000
lowSpeedTime = 30
[push]
gpgSign = false
followTags = false
recurseSubmodules = no
negotiate = false
[fetch]
recurseSubmodules = false
"""
"""Overrides of what a user's own configuration may say."""

_QUESTIONS = 1000
"""How many are asked at once: so many ids fit into a pipe while nobody reads the answers."""

TREE, FILE, LINK, SUBMODULE = "40000", "100644", "120000", "160000"


class TreeEntry(NamedTuple):
    """One name in a folder: mode as Git writes it, and object id."""

    mode: str
    oid: str


@dataclass(frozen=True)
class Author:
    """Who a commit is by."""

    name: str = "slipway-bot"
    email: str = "slipway-bot@slipway.invalid"

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class Store:
    """The repository in `folder`, with `url` as its remote `origin`; a context manager that owns a process."""

    def __init__(self, folder: Path, url: str, env: Mapping[str, str]):
        self.folder = folder
        self.env = {
            "GIT_DIR": str(folder),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            **env,
        }
        self._reading: subprocess.Popen | None = None
        self._objects: dict[str, bytes] = {}
        self._entries: dict[str, dict[str, TreeEntry]] = {}
        # Git that knows no remote never asks it by itself for an object that is not here.
        self._alone = folder / "alone"
        for name in ("objects", "refs", "alone/refs"):
            (folder / name).mkdir(parents=True)
        for repository in (folder, self._alone):
            (repository / "HEAD").write_text("ref: refs/heads/none\n")
        quoted = url.replace("\\", "\\\\").replace('"', '\\"')
        remote = f'[remote "origin"]\nurl = "{quoted}"\npromisor = true\n'
        (folder / "config").write_text(_CONFIG + remote)

    def git(self, *arguments: str, input: str | None = None, timeout: float = 60) -> Result:
        """Run one Git command in the repository; the caller looks at the return code."""
        return run(["git", *arguments], env=self.env, input=input, timeout=timeout, check=False)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reading:
            self._reading.kill()
            self._reading.communicate()

    def ref(self, name: str) -> str:
        """The commit that a reference of the repository, such as `refs/slipway/tip`, is at."""
        return (self.folder / name).read_text().strip()

    def load(self, oids: Collection[str]) -> list[str]:
        """Read objects into memory; returns those that the repository does not have."""
        oids, absent = list(oids), []
        for first in range(0, len(oids), _QUESTIONS):
            asked = oids[first : first + _QUESTIONS]
            process = self._process()
            process.stdin.write("".join(f"{oid}\n" for oid in asked).encode())
            process.stdin.flush()
            for oid in asked:
                head = process.stdout.readline()
                found = re.fullmatch(rb"[0-9a-f]{40} (?:blob|tree|commit) ([0-9]+)\n", head)
                if found:
                    self._objects[oid] = process.stdout.read(int(found[1]) + 1)[:-1]
                elif head.endswith(b" missing\n"):
                    absent.append(oid)
                else:
                    raise CommandFailed(f"git cat-file answered {head!r} for {oid}")
        return absent

    def _process(self) -> subprocess.Popen:
        """The process that answers every question about objects."""
        if self._reading is None:
            env = {**os.environ, **self.env, "GIT_DIR": str(self._alone)}
            command, pipe = ["git", "cat-file", "--batch"], subprocess.PIPE
            self._reading = subprocess.Popen(
                command, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
            )
        return self._reading

    def has(self, oid: str) -> bool:
        """Whether the object is in memory."""
        return oid in self._objects

    def body(self, oid: str) -> bytes:
        """The bytes of an object that was loaded or written."""
        return self._objects[oid]

    def entries(self, oid: str) -> dict[str, TreeEntry]:
        """The names in a tree that was loaded or written."""
        if oid not in self._entries:
            self._entries[oid] = {
                name.decode(errors="surrogateescape"): TreeEntry(mode.decode(), raw.hex())
                for mode, name, raw in re.findall(
                    rb"([0-7]+) ([^\0]+)\0(.{20})", self._objects[oid], re.DOTALL
                )
            }
        return self._entries[oid]

    def entry(self, oid: str, name: str) -> TreeEntry | None:
        """One name in a tree that was loaded or written, without reading what else a large folder has."""
        found = self._find(oid, name)
        return TreeEntry(found[0], self._objects[oid][found[1] : found[1] + 20].hex()) if found else None

    def _find(self, oid: str, name: str) -> tuple[str, int] | None:
        """Mode of an entry of a tree, and where its id begins."""
        body, wanted = self._objects[oid], b" " + _name(name) + b"\0"
        if wanted not in body:
            return None
        # What looks like a name may be part of an id, so the entries before it are passed over one by one.
        pattern = rb"(?:[0-7]+ [^\0]+\0.{20})*?([0-7]+)" + re.escape(wanted)
        found = re.match(pattern, body, re.DOTALL)
        return (found[1].decode(), found.end()) if found else None

    def write(self, kind: str, body: bytes) -> str:
        """Store an object and return its id."""
        oid = _oid(kind, body)
        path = self.folder / "objects" / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(f"{kind} {len(body)}\0".encode() + body, 0))
        self._objects[oid] = body
        return oid

    def write_tree(self, base: str | None, files: Mapping[str, bytes]) -> str:
        """The tree that `base` becomes when these files (by path) have these contents; modes are kept."""
        folders: dict[str, dict[str, bytes]] = {}
        changed: dict[str, TreeEntry] = {}
        for path, content in files.items():
            name, slash, rest = path.partition("/")
            there = self._find(base, name) if base else None
            mode = there[0] if there else TREE if slash else FILE
            if (mode == TREE) != bool(slash) or mode in (LINK, SUBMODULE):
                raise EditRefused("not a regular file", path=path, fix="replace it by a regular file")
            if slash:
                folders.setdefault(name, {})[rest] = content
            else:
                changed[name] = TreeEntry(mode, self.write("blob", content))
        for name, inner in folders.items():
            old = self.entry(base, name) if base else None
            changed[name] = TreeEntry(TREE, self.write_tree(old and old.oid, inner))
        return self.write("tree", self._with(base, changed))

    def _with(self, base: str | None, changed: Mapping[str, TreeEntry]) -> bytes:
        """A tree's content with these entries; where all of them are there, only their ids are replaced."""
        places = {name: self._find(base, name) if base else None for name in changed}
        if all(places.values()):
            body = bytearray(self._objects[base])
            for name, (_, at) in places.items():
                body[at : at + 20] = bytes.fromhex(changed[name].oid)
            return bytes(body)
        entries = (self.entries(base) if base else {}) | changed
        ordered = sorted(entries.items(), key=lambda e: _name(e[0]) + (b"/" if e[1].mode == TREE else b""))
        lines = (f"{e.mode} ".encode() + _name(n) + b"\0" + bytes.fromhex(e.oid) for n, e in ordered)
        return b"".join(lines)

    def write_commit(self, tree: str, parent: str, message: str, author: Author) -> str:
        """A commit of now, in UTC, signed if the environment names a key."""
        who = re.sub(r"[\0\n\r<>]", "", author.name), re.sub(r"[\0\n\r<> ]", "", author.email)
        by = f"{who[0]} <{who[1]}> {int(time.time())} +0000"
        lines = [f"tree {tree}", f"parent {parent}", f"author {by}", f"committer {by}"]
        text = "\n".join(lines) + "\n\n" + message.replace("\0", "").strip() + "\n"
        return self.write("commit", signed(text.encode("utf-8", "replace"), os.environ))


def _oid(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def _name(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
