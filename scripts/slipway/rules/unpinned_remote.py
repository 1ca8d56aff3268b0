"""Trap A27: a remote resource without a release, in a kustomization that no overlay reaches."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import KUSTOMIZATIONS, Repository
from slipway.rules import Rule
from slipway.rules._argocd import manifests
from slipway.rules._remote import pinned, remotes


def check(repository: Repository) -> Iterator[Finding]:
    """Every unpinned one; those of overlays are refused altogether by `remote-base`."""
    reached = {file for overlay in repository.overlays for file in overlay.files}
    for path in manifests(repository):
        if path.rpartition("/")[2] not in KUSTOMIZATIONS or path in reached:
            continue
        data = repository.read(path) or b""
        if b"://" in data or b"git" in data:
            source = repository.source(path)
            for name, index, entry in remotes(source):
                if not pinned(entry):
                    yield RULE.at(source, source.line(name, index), f"`{entry}` names no release")


RULE = Rule(
    id="unpinned-remote",
    why="The manifests of a branch change with no commit here, so two installations of the same commit differ.",
    fix="end it with ?ref= and a release such as v1.2.3, or a whole commit",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/best_practices/#ensuring-manifests-at-git-revisions-are-truly-immutable",
    check=check,
    scope="repository",
)
