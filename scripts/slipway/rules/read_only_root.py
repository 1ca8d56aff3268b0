"""A container that can write to its own root file system."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mapping


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every container that is not read-only."""
    for workload in overlay.workloads:
        for container in [*workload.init_containers, *workload.containers]:
            if mapping(container.get("securityContext")).get("readOnlyRootFilesystem") is not True:
                yield RULE.on(workload, f"{container.get('name')} can change its own files")


RULE = Rule(
    id="read-only-root",
    why="An intruder can replace the program, and what is written there fills the node's disk.",
    fix="set securityContext.readOnlyRootFilesystem: true, and mount an emptyDir where it must write",
    link="https://kubernetes.io/docs/tasks/configure-pod-container/security-context/",
    check=check,
)
