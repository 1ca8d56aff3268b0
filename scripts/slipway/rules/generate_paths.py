"""Trap C8: `manifest-generate-paths` that leave out a folder which the overlay reads."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import dirname, join, normpath

from slipway.gate.discover import match
from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Repository, Summary
from slipway.rules import Rule
from slipway.rules._argocd import applications, sources
from slipway.rules._facts import mapping, mappings

_ANNOTATION = "argocd.argoproj.io/manifest-generate-paths"


def check(repository: Repository) -> Iterator[Finding]:
    """Every Application with an overlay that reads a file which no path covers."""
    for subject, application in applications(repository):
        value = mapping(mapping(application.get("metadata")).get("annotations")).get(_ANNOTATION)
        deployed = _deployed(subject, application, repository)
        if not deployed:
            continue
        if not value:
            yield RULE.on(subject, f"without {_ANNOTATION}, every commit renders every Application anew")
        elif missing := sorted({folder for one in deployed for folder in _uncovered(one, str(value))}):
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            yield RULE.on(subject, f"{_ANNOTATION} does not cover {shown}")


def _deployed(subject: Object, application: dict, repository: Repository) -> list[Summary]:
    """The overlays that an Application or an ApplicationSet deploys."""
    if subject.kind == "Application":
        paths = {normpath(str(source.get("path") or "")) for source in sources(application)}
        return [overlay for overlay in repository.overlays if overlay.path in paths]
    patterns, excluded = [], []
    for directory in _directories(subject.spec.get("generators")):
        listed = excluded if directory.get("exclude") else patterns
        listed.append(str(directory.get("path") or ""))
    return [
        overlay
        for overlay in repository.overlays
        if any(match(p, overlay.path) for p in patterns) and not any(match(p, overlay.path) for p in excluded)
    ]


def _directories(generators: object) -> Iterator[dict]:
    """The git directories of generators, nested ones included."""
    for generator in mappings(generators):
        yield from mappings(mapping(generator.get("git")).get("directories"))
        for nesting in ("matrix", "merge"):
            yield from _directories(mapping(generator.get(nesting)).get("generators"))


def _uncovered(overlay: Summary, value: str) -> Iterator[str]:
    """The folders of the files that the overlay reads and no path covers."""
    exact, folders, patterns = set(), [], []
    for item in filter(None, map(str.strip, value.split(";"))):
        path = normpath(item[1:] if item.startswith("/") else join(overlay.path, item))
        exact.add(path)
        folders.append("" if path == "." else f"{path}/")
        if set(path) & set("*?["):
            patterns.append(path)
    prefixes = tuple(folders)
    for file in overlay.files:
        if not (file in exact or file.startswith(prefixes) or any(match(p, file) for p in patterns)):
            yield dirname(file)


RULE = Rule(
    id="generate-paths",
    why="A change in a folder that is not covered never refreshes the Application, so it is merged and not deployed.",
    fix="name every folder that the overlays read, such as `.;/base`",
    link="https://argo-cd.readthedocs.io/en/stable/operator-manual/high_availability/#manifest-paths-annotation",
    check=check,
    scope="repository",
)
