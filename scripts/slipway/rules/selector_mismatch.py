"""A workload whose selector does not match its own Pods."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, pod_labels, selects


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment, StatefulSet and DaemonSet that would not own its Pods."""
    for workload in facts(overlay).servers:
        if not selects(workload.spec.get("selector"), pod_labels(workload)):
            yield RULE.on(workload, "the selector does not match the labels of its own Pods")


RULE = Rule(
    id="selector-mismatch",
    why="The API server refuses such a workload, and the whole sync fails with it.",
    fix="give the Pod template the labels that the selector asks for",
    link="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector",
    check=check,
)
