"""Trap C9: a workload with an autoscaler and a number of replicas in Git."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import scaled


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every workload whose `replicas` an autoscaler also sets."""
    targets = {scaled(scaler) for scaler in overlay.of_kind("HorizontalPodAutoscaler", "ScaledObject")}
    for workload in overlay.workloads if targets else ():
        if (workload.namespace, workload.kind, workload.name) in targets and "replicas" in workload.spec:
            yield RULE.on(workload, "`replicas` is set although an autoscaler decides it")


RULE = Rule(
    id="autoscaled-replicas",
    why="Every sync puts the number in Git back, so the autoscaler loses its Pods under load.",
    fix="remove `replicas` from the workload",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/best_practices/#leaving-room-for-imperativeness",
    check=check,
)
