"""A Deployment that gets requests and runs as one Pod, or none."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, replicas


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every one with fewer than two replicas, by itself or by its autoscaler."""
    for deployment in facts(overlay).deployments:
        count = replicas(deployment, overlay)
        if count < 2:
            yield RULE.on(deployment, f"it runs as {count} Pod{'' if count == 1 else 's'}")


RULE = Rule(
    id="single-replica",
    why="Whenever its node is drained or fails, nobody answers.",
    fix="set replicas: 2 or more (minReplicas of its autoscaler)",
    link="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#replicas",
    check=check,
)
