"""What a sync must never prune by itself: it would take data or other applications along."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._argocd import annotation_options

_KINDS = ("Namespace", "PersistentVolumeClaim", "CustomResourceDefinition", "DBInstance", "DBCluster")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every such object that may be pruned, or deleted with its Application."""
    for subject in overlay.of_kind(*_KINDS):
        options = annotation_options(subject.annotations.get("argocd.argoproj.io/sync-options"))
        for name, when in (("Prune", "leaves Git"), ("Delete", "loses its Application")):
            if options.get(name) not in ("false", "confirm"):
                yield RULE.on(subject, f"it is deleted as soon as it {when}: {name}=false is missing")


RULE = Rule(
    id="prune-protection",
    why="Deleting it deletes data, or every other application in it, and no revert brings that back.",
    fix='annotate it with argocd.argoproj.io/sync-options: "Prune=false,Delete=false"',
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#no-prune-resources",
    check=check,
)
