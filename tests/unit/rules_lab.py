"""Repositories for the rules: each fixture laid over the common one, all rendered in two calls of the helper."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from slipway import paths
from slipway.gate.check_overlay import as_overlay, evaluate, place_of
from slipway.gate.discover import discover, root_kustomizations
from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Repository, Summary
from slipway.gate.render import Rendered, Target, render
from slipway.rules import RULES, Rule

FIXTURES = paths.CHECKOUT / "tests" / "fixtures" / "rules"
COMMON = FIXTURES / "_repository"
"""A repository that every rule accepts; a fixture holds the files in which it differs."""


def assemble(fixture: Path, destination: Path, common: Path = COMMON) -> None:
    """The common repository with the fixture's files in place of its own.

    A copy of the common one on the same file system, when given, lends its files instead of having them copied.
    """
    shutil.copytree(common, destination, copy_function=shutil.copyfile if common == COMMON else os.link)
    ignored = shutil.ignore_patterns("EXPECT")
    shutil.copytree(fixture, destination, dirs_exist_ok=True, copy_function=_replace, ignore=ignored)


def _replace(source: str, destination: str) -> None:
    Path(destination).unlink(missing_ok=True)
    shutil.copyfile(source, destination)


def examine(root: Path, names: Sequence[str]) -> dict[str, list[Finding]]:
    """What every rule says of each repository `root/<name>`."""
    repositories = {name: _Folder(root, name) for name in names}
    alike: dict[object, list[_Folder]] = {}
    for repository in repositories.values():
        alike.setdefault(repository.argocd_files, []).append(repository)
    firsts = {same[0].name: same[0] for same in alike.values()}
    for first, rendered in _rendered(root, firsts, lambda one: one.argocd_roots):
        for repository in alike[first.argocd_files]:
            repository.argocd += [Object(o["data"], o["file"], o["line"]) for o in rendered.objects]
            repository.judge(rendered, ())
    for repository, rendered in _rendered(root, repositories, lambda one: one.overlays):
        repository.judge(rendered, [rule for rule in RULES if rule.scope == "overlay"])
    return {name: repository.finish() for name, repository in repositories.items()}


class _Folder:
    """One repository below the root that is rendered as a whole."""

    def __init__(self, root: Path, name: str):
        self.name, self.root = name, root / name
        self.paths = sorted(f.relative_to(self.root).as_posix() for f in self.root.rglob("*") if f.is_file())
        self.argocd: list[Object] = []
        self.summaries: list[Summary] = []
        self.findings: set[Finding] = set()

    def read(self, path: str) -> bytes | None:
        file = self.root / path
        return file.read_bytes() if file.is_file() else None

    @cached_property
    def argocd_files(self) -> tuple:
        """What Argo CD's objects are rendered from; most fixtures share it."""
        return tuple((path, self.read(path)) for path in self.paths if path.startswith("argocd/"))

    @property
    def argocd_roots(self) -> Iterable[str]:
        return root_kustomizations(self.paths, self.read)

    @property
    def overlays(self) -> Iterable[str]:
        return sorted(discover(self.argocd, self.paths, self.read).deployments)

    def judge(self, one: Rendered, rules: Sequence[Rule]) -> None:
        environment, app = place_of(one.target.path)
        overlay = as_overlay(one, environment, app, None, lambda path: self.read(path) or b"")
        result = evaluate(one, overlay, rules, frozenset())
        self.findings |= set(result.findings)
        if rules:
            self.summaries.append(
                Summary(overlay.path, environment, app, tuple(sorted(one.files)), tuple(result.refs))
            )

    def finish(self) -> list[Finding]:
        self.summaries.sort(key=lambda summary: summary.path)
        repository = Repository(self.summaries, self.argocd, self.paths, self.read)
        for rule in RULES:
            if rule.scope == "repository":
                self.findings |= set(rule.check(repository))
        return sorted(self.findings)


def _rendered(root: Path, repositories: dict[str, _Folder], folders) -> Iterable[tuple[_Folder, Rendered]]:
    """What the helper makes of some folders of every repository, paths as seen from the repository."""
    targets = [Target(f"{name}/{folder}") for name, one in repositories.items() for folder in folders(one)]
    for rendered in render(root, targets, workers=2):
        name = rendered.target.path.partition("/")[0]
        prefix, error = f"{name}/", rendered.error
        plain = {field.name: getattr(rendered, field.name) for field in dataclasses.fields(rendered)}
        plain = {
            key: _within(prefix, value) for key, value in plain.items() if key not in ("target", "error")
        }
        if error:
            error = dataclasses.replace(error, file=error.file.removeprefix(prefix))
        yield repositories[name], Rendered(Target(rendered.target.path.removeprefix(prefix)), error, **plain)


def _within(prefix: str, value):
    """The value with every path as seen from the folder `prefix`."""
    if isinstance(value, dict):
        return {_within(prefix, key): _within(prefix, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_within(prefix, item) for item in value]
    return value.removeprefix(prefix) if isinstance(value, str) else value
