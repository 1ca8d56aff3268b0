"""An ApplicationSet that deletes Applications, and with them what they run."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._facts import mapping


def check(repository: Repository) -> Iterator[Finding]:
    """Every ApplicationSet that may delete."""
    for subject in repository.of_kind("ApplicationSet"):
        policy = mapping(subject.spec.get("syncPolicy"))
        if policy.get("preserveResourcesOnDeletion") is not True:
            yield RULE.on(subject, "deleting it deletes what its Applications run")
        if policy.get("applicationsSync") not in ("create-update", "create-only"):
            yield RULE.on(subject, "a folder that is not found deletes its Application")


RULE = Rule(
    id="applicationset-deletion",
    why="A generator that errs, or a folder that is renamed, would take running applications down.",
    fix="set syncPolicy.preserveResourcesOnDeletion: true and applicationsSync: create-update",
    link="https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/Controlling-Resource-Modification/",
    check=check,
    scope="repository",
)
