"""Trap A24: more than one kustomization file in a folder."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import KUSTOMIZATIONS, Repository
from slipway.rules import Rule
from slipway.rules._argocd import manifests


def check(repository: Repository) -> Iterator[Finding]:
    """Every folder with several."""
    found: dict[str, str] = {}
    for path in manifests(repository):
        folder, _, name = path.rpartition("/")
        if name in KUSTOMIZATIONS:
            if folder in found:
                yield RULE.at(path, 1, f"the folder also has {found[folder]}")
            found.setdefault(folder, name)


RULE = Rule(
    id="several-kustomizations",
    why="Kustomize refuses such a folder, and a tool that picks one of the files edits the wrong one.",
    fix="keep kustomization.yaml alone",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/glossary/#kustomization",
    check=check,
    scope="repository",
)
