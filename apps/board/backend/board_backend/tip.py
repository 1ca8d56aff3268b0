"""The deploy branch at one commit, in memory: for requests, which never touch the copy of the repository."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from slipway.errors import EditRefused, PolicyRefused
from slipway.git.commits import DatedCommit
from slipway.git.mirror import MirrorTip
from slipway.kustomization.images import read_images
from slipway.policy.environment import Environment, parse_policy
from slipway.registry.references import Reference
from slipway.writing.order import FILE


@dataclass(frozen=True)
class DeployTip:
    """What `slipway.git.mirror.MirrorTip` offers, of the files below `overlays` that policies and images stand in."""

    sha: str
    commits: Sequence[DatedCommit]
    files: Mapping[str, bytes]
    tree: Mapping[str, Mapping[str, bool]]
    policies: tuple[Environment, ...]
    problems: tuple[str, ...] = ()
    """Why policies or files are left out."""

    is_cut = False

    def read(self, paths: Collection[str]) -> dict[str, bytes | None]:
        """The contents of files by path, None where there is no file."""
        return {path: self.files.get(path) for path in paths}

    def folders(self, paths: Collection[str]) -> dict[str, Mapping[str, bool]]:
        """The names in each folder, with whether they are folders themselves; empty where there is no folder."""
        return {path: self.tree.get(path, {}) for path in paths}

    def history(self) -> Sequence[DatedCommit]:
        """All commits, newest first."""
        return self.commits

    def written(self, sha: str) -> datetime:
        """When a commit was written, by the committer's clock; UTC."""
        return next(one.committed for one in self.commits if one.sha == sha)

    def policy(self, environment: str) -> Environment | None:
        """The policy of an environment that is there."""
        return next((one for one in self.policies if one.name == environment), None)

    def has(self, environment: str, application: str) -> bool:
        """Whether the application has an overlay."""
        return self.tree.get(f"overlays/{environment}", {}).get(application, False)

    def public_key(self, environment: str) -> bytes | None:
        """The key with which what runs in an environment is signed, where its policy names a file."""
        policy = self.policy(environment)
        path = _key_path(policy) if policy else None
        return self.files.get(path) if path else None

    def wanted(self, environment: str, application: str) -> tuple[Reference, ...]:
        """The images that an overlay names; none where it cannot be read."""
        data = self.files.get(f"overlays/{environment}/{application}/{FILE}")
        return _images(data) if data else ()


def read_tip(tip: MirrorTip, commits: Sequence[DatedCommit]) -> DeployTip:
    """The branch at a commit with its `commits`; what cannot be read is left out, and told."""
    tree = dict(tip.folders(["overlays"]))
    environments = [name for name, is_folder in tree["overlays"].items() if is_folder]
    tree |= tip.folders([f"overlays/{name}" for name in environments])
    policies: list[Environment] = []
    files: dict[str, bytes] = {}
    problems: list[str] = []
    for name in environments:
        path = f"overlays/{name}/environment.yaml"
        apps = [app for app, is_folder in tree[f"overlays/{name}"].items() if is_folder]
        for each in (path, *(f"overlays/{name}/{app}/{FILE}" for app in apps)):
            try:
                data = tip.read([each])[each]
            except EditRefused as exc:
                problems.append(exc.render())
                continue
            if data is not None:
                files[each] = data
        try:
            policy = parse_policy(files.get(path), environment=name, path=path)
        except PolicyRefused as exc:
            problems.append(exc.render())
            continue
        policies.append(policy)
        if (path := _key_path(policy)) and (key := tip.read([path])[path]):
            files[path] = key
    policies.sort(key=lambda one: (one.order, one.name))
    return DeployTip(tip.sha, commits, files, tree, tuple(policies), tuple(problems))


def _key_path(policy: Environment) -> str | None:
    """Where a policy's public key lies; None when it names none, or one outside the repository."""
    name = policy.signature.key
    path = posixpath.normpath(f"overlays/{policy.name}/{name}")
    return path if name and "://" not in name and not path.startswith(("..", "/")) else None


@lru_cache(maxsize=4096)
def _images(data: bytes) -> tuple[Reference, ...]:
    try:
        return tuple(entry.reference for entry in read_images(data))
    except EditRefused:
        return ()
