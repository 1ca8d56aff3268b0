"""A Deployment that a node drain may take away whole."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, pod_labels, replicas, selects


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment that gets requests, has several Pods, and no budget."""
    budgets = overlay.of_kind("PodDisruptionBudget")
    for deployment in facts(overlay).deployments:
        labels = pod_labels(deployment)
        mine = [
            b
            for b in budgets
            if b.namespace == deployment.namespace and selects(b.spec.get("selector"), labels)
        ]
        if not mine and replicas(deployment, overlay) > 1:
            yield RULE.on(deployment, "no PodDisruptionBudget covers its Pods")


RULE = Rule(
    id="disruption-budget",
    why="When nodes are replaced, all Pods may be evicted at the same moment.",
    fix="add a PodDisruptionBudget with maxUnavailable: 1 that selects the Pods",
    link="https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
    check=check,
)
