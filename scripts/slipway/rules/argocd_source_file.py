"""Trap A23: a `.argocd-source*.yaml` file, which changes what Argo CD renders."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._argocd import manifests


def check(repository: Repository) -> Iterator[Finding]:
    """Every such file of the deploy half."""
    for path in manifests(repository):
        name = path.rpartition("/")[2]
        if name.startswith(".argocd-source") and name.endswith((".yaml", ".yml")):
            yield RULE.at(path, 1, f"{name} overrides what the kustomization says, for Argo CD only")


RULE = Rule(
    id="argocd-source-file",
    why="It overrides the tags in Git: a bump is merged, nothing deploys, and the Application stays Synced.",
    fix="remove the file, and write what it sets into the overlay",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/parameters/#store-overrides-in-git",
    check=check,
    scope="repository",
)
