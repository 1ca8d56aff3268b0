"""The border to the git checkout at hand, by plumbing only: its index and work tree are never touched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CommandFailed, InvalidInput, RemoteRefused, Unreachable
from slipway.git.access import command_env, environment_credentials
from slipway.git.signing import signed
from slipway.proc import Result, run

_IDENTITY = {
    "GIT_AUTHOR_NAME": "slipway",
    "GIT_AUTHOR_EMAIL": "slipway@slipway.invalid",
    "GIT_COMMITTER_NAME": "slipway",
    "GIT_COMMITTER_EMAIL": "slipway@slipway.invalid",
}


@dataclass(frozen=True)
class TreeEntry:
    """One line of `git ls-tree`."""

    mode: str
    kind: str
    sha: str
    name: str


class Checkout:
    """A local repository; for remotes, SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD or git's own helpers count."""

    def __init__(self, path: Path):
        self.path = path

    def _git(self, *arguments: str, **options: object) -> Result:
        return run(["git", "-C", self.path, *arguments], env=_IDENTITY, **options)  # type: ignore[arg-type]

    def resolve(self, revision: str) -> str:
        """The full id of a commit."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").stdout.strip()
        except CommandFailed as exc:
            raise InvalidInput(
                f"{self.path} has no commit {revision}",
                fix="run this in a git checkout with at least one commit",
            ) from exc

    def has(self, name: str) -> bool:
        """Whether the object is here."""
        return self._git("cat-file", "-e", name, check=False).returncode == 0

    def dirty(self) -> bool:
        """Whether tracked files differ from the last commit."""
        return bool(self._git("status", "--porcelain", "--untracked-files=no").stdout.strip())

    def changed_since(self, revision: str) -> list[str]:
        """The files below this folder that differ between a commit and the work tree, new ones among them."""
        commit = self.resolve(revision)
        listings = (
            ("diff", "--name-only", "--relative", "--no-renames", "-z", commit, "--"),
            ("ls-files", "--others", "--exclude-standard", "-z"),
        )
        return [path for listing in listings for path in self._git(*listing).stdout.split("\0") if path]

    def files(self, commit: str) -> dict[str, str]:
        """Every file and link of a commit by path, with its content's id; of another repository, the commit there."""
        shown = self._git("ls-tree", "-r", "-z", "--full-tree", commit).stdout
        return {
            path: head[-40:] for head, _, path in (row.partition("\t") for row in shown.split("\0") if row)
        }

    def blob(self, oid: str) -> bytes:
        """The content of a file by its id."""
        return self._git("cat-file", "blob", oid).stdout.encode()

    def merge_base(self, one: str, other: str) -> str:
        """The commit that two branches have in common; raises `InvalidInput` when they have none."""
        found = self._git("merge-base", one, other, check=False).stdout.strip()
        if not found:
            fix = "fetch more of their history, or compare two commits with BASE..HEAD"
            raise InvalidInput(f"{one[:12]} and {other[:12]} have no commit in common here", fix=fix)
        return found

    @staticmethod
    def make_bare(folder: Path) -> None:
        """Make a bare repository, if there is none yet."""
        run(["git", "init", "--quiet", "--bare", "--template=", folder])

    def lay_out(self, commit: str, folder: Path) -> None:
        """Write the files of a commit into a new folder, as they are; no hook, filter or index of anybody takes part."""
        folder.mkdir(parents=True)
        index = folder.with_name(f"{folder.name}.index")
        # A user's settings could name programs that Git runs on every file.
        env = {"GIT_INDEX_FILE": str(index), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        git = ["git", "-c", f"core.hooksPath={os.devnull}", "-c", f"core.attributesFile={os.devnull}"]
        run([*git, "-C", self.path, "read-tree", commit], env=env)
        place = ["--work-tree", folder.absolute()]
        run([*git, "-C", self.path, *place, "checkout-index", "--all"], env=env, timeout=300)
        index.unlink()

    def changed_between(self, one: str, other: str) -> list[str]:
        """The files in which two commits differ."""
        shown = self._git("diff-tree", "-r", "--name-only", "--no-renames", "-z", one, other).stdout
        return [path for path in shown.split("\0") if path]

    def added_lines(self, one: str, other: str, pattern: re.Pattern[str]) -> list[str]:
        """The lines like a pattern that `other` has and `one` had not, as `path: line`."""
        shown = self._git(
            "diff-tree", "-r", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv", one, other
        )
        found, path = [], ""
        for line in shown.stdout.splitlines():
            if line.startswith("+++ "):
                path = line.removeprefix("+++ ").removeprefix("b/")
            elif line.startswith("+") and pattern.search(line):
                found.append(f"{path}: {line[1:].strip()}")
        return found

    def entries(self, tree: str) -> list[TreeEntry]:
        """The entries of a tree, not recursive."""
        rows = self._git("ls-tree", "-z", tree).stdout.split("\0")
        return [TreeEntry(*row.partition("\t")[0].split(), row.partition("\t")[2]) for row in rows if row]

    def make_tree(self, entries: list[TreeEntry]) -> str:
        """Write a tree and return its id."""
        lines = "".join(f"{e.mode} {e.kind} {e.sha}\t{e.name}\0" for e in entries)
        return self._git("mktree", "-z", input=lines).stdout.strip()

    def tree_of(self, commit: str) -> str:
        """The id of a commit's tree."""
        return self._git("rev-parse", f"{commit}^{{tree}}").stdout.strip()

    def commit(self, tree: str, parents: list[str], message: str, like: str) -> str:
        """Write a commit with the time of the commit `like` and return its id; no reference moves.

        The same input gives the same commit, so that what is built from it is the same too.
        """
        options = [part for parent in parents for part in ("-p", parent)]
        time = self._git("show", "-s", "--format=@%ct +0000", like).stdout.strip()
        env = {**_IDENTITY, "GIT_AUTHOR_DATE": time, "GIT_COMMITTER_DATE": time}
        argv = ["git", "-C", self.path, "commit-tree", tree, *options, "-F", "-"]
        return run(argv, env=env, input=message).stdout.strip()

    def sign(self, commit: str) -> str:
        """The same commit with a signature, if the environment names a key; its id."""
        plain = self._git("cat-file", "commit", commit).stdout.encode()
        made = signed(plain, os.environ)
        if made == plain:
            return commit
        return self._git("hash-object", "-t", "commit", "-w", "--stdin", input=made.decode()).stdout.strip()

    def merge_trees(self, ours: str, theirs: str) -> tuple[str, list[str]]:
        """Three-way merge of two commits: the resulting tree, and the paths in conflict."""
        merged = self._git("merge-tree", "--write-tree", "--name-only", "-z", ours, theirs, allowed=(0, 1))
        tree, *names = merged.stdout.split("\0")
        return tree, sorted({n for n in names[: names.index("")]}) if merged.returncode else []

    def messages(self, commit: str, *, limit: int | None = None, merged: bool = False) -> list[str]:
        """The messages of a commit and its ancestors, newest first; with `merged` also those that merges brought."""
        options = [*([] if merged else ["--first-parent"]), *([f"--max-count={limit}"] if limit else [])]
        return self._git("log", *options, "--format=%B%x00", commit).stdout.split("\0")

    def fetch(self, url: str, branch: str) -> str | None:
        """Fetch a remote branch's objects and return its tip; None where the branch does not exist."""
        return self.fetch_ref(url, f"refs/heads/{branch}")

    def fetch_ref(self, url: str, ref: str) -> str | None:
        """The same for any reference, such as the head of a pull request."""
        with command_env(environment_credentials(), url) as env:
            listed = self._remote("ls-remote", url, ref, env=env).stdout.split()
            if not listed:
                return None
            self._remote("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", url, listed[0], env=env)
        return listed[0]

    def push(self, url: str, commit: str, branch: str) -> None:
        """Move a remote branch forward to the commit, never by force."""
        with command_env(environment_credentials(), url) as env:
            try:
                self._remote("push", "--quiet", url, f"{commit}:refs/heads/{branch}", env=env)
            except Unreachable as exc:
                raise RemoteRefused(f"{url} did not take the push: {exc.message}") from exc

    def _remote(self, *arguments: str, env: dict[str, str]) -> Result:
        try:
            return run(["git", "-C", self.path, *arguments], env={**_IDENTITY, **env}, timeout=300)
        except CommandFailed as exc:
            raise Unreachable(exc.message, fix="check the address and the credentials") from exc
