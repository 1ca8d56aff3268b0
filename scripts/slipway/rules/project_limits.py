"""An AppProject that allows more than its environment needs."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Repository
from slipway.rules import Rule
from slipway.rules._facts import listed, mappings


def check(repository: Repository) -> Iterator[Finding]:
    """Every wildcard, and every project that lists no kinds and so allows all."""
    for project in repository.of_kind("AppProject"):
        for where, what in _wide(project):
            yield RULE.on(project, f"{where} allows {what}")


def _wide(project: Object) -> Iterator[tuple[str, str]]:
    spec = project.spec
    for key, noun in (
        ("sourceRepos", "any repository"),
        ("sourceNamespaces", "Applications from any namespace"),
    ):
        if any("*" in str(entry) for entry in listed(spec.get(key))):
            yield key, noun
    for destination in mappings(spec.get("destinations")):
        for key, noun in (("server", "any cluster"), ("name", "any cluster"), ("namespace", "any namespace")):
            if "*" in str(destination.get(key, "")):
                yield f"destinations.{key}", noun
    for key in ("clusterResourceWhitelist", "namespaceResourceWhitelist"):
        if any("*" in (item.get("kind"), item.get("group")) for item in mappings(spec.get(key))):
            yield key, "any kind"
    closed = any(item.get("kind") == "*" for item in mappings(spec.get("namespaceResourceBlacklist")))
    if spec.get("namespaceResourceWhitelist") is None and not closed:
        yield "a missing namespaceResourceWhitelist", "any kind"


RULE = Rule(
    id="project-limits",
    why="The project is the only limit to what a commit in this repository can do in the cluster.",
    fix="list the repository, the cluster, the namespace and the kinds, without *",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/projects/",
    check=check,
    scope="repository",
)
