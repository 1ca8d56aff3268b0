"""One object that several overlays render."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule


def check(repository: Repository) -> Iterator[Finding]:
    """Every object that an earlier overlay has rendered already."""
    first: dict[tuple[str, str, str, str], str] = {}
    for overlay in repository.overlays:
        for version, kind, namespace, name in overlay.refs:
            key = (version.rpartition("/")[0], kind, namespace, name)
            other = first.setdefault(key, overlay.path)
            if other != overlay.path:
                named = "/".join(filter(None, (kind, namespace, name)))
                yield RULE.at(overlay.kustomization, 1, f"{named} is also rendered by {other}")


RULE = Rule(
    id="shared-object",
    why="Two Applications take the object from one another at every sync, or fail with FailOnSharedResource.",
    fix="render it in one overlay only",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#fail-the-sync-if-a-shared-resource-is-found",
    check=check,
    scope="repository",
)
