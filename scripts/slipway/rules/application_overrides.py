"""Trap A23: kustomize parameters in an Application, which beat what its overlay says."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._argocd import applications, sources


def check(repository: Repository) -> Iterator[Finding]:
    """Every source with parameters."""
    for subject, application in applications(repository):
        for source in sources(application):
            if given := sorted(source.get("kustomize") or {}):
                yield RULE.on(subject, f"`source.kustomize` sets {', '.join(given)}")


RULE = Rule(
    id="application-overrides",
    why="They beat the overlay, so a merged tag is not what is deployed, and Argo CD renders such Applications one by one.",
    fix="move them into the overlay's kustomization",
    link="https://argo-cd.readthedocs.io/en/stable/operator-manual/high_availability/#monorepo-scaling-considerations",
    check=check,
    scope="repository",
)
