"""Objects in a namespace that no overlay renders."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._argocd import applications, sync_options


def check(repository: Repository) -> Iterator[Finding]:
    """Every such namespace once, unless Argo CD makes namespaces, whose labels `sync-policy` then looks at."""
    if any(
        sync_options(application).get("CreateNamespace") == "true"
        for _, application in applications(repository)
    ):
        return
    rendered = {
        name for overlay in repository.overlays for _, kind, _, name in overlay.refs if kind == "Namespace"
    }
    for overlay in repository.overlays:
        for namespace in sorted({namespace for _, _, namespace, _ in overlay.refs} - rendered - {""}):
            rendered.add(namespace)
            yield RULE.at(overlay.kustomization, 1, f"no overlay renders the Namespace {namespace}")


RULE = Rule(
    id="missing-namespace",
    why="Its labels decide on Pod Security and readiness gates, and nobody reviews them when they are not in Git.",
    fix="render the Namespace with its labels and its default policy, in one overlay of the environment",
    link="https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
    check=check,
    scope="repository",
)
