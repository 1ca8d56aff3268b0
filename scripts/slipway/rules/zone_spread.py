"""Replicas that may all run in one zone, or on one node."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, listed, mappings, pod_labels, replicas, selects

_KEYS = {"topology.kubernetes.io/zone": "zones", "kubernetes.io/hostname": "nodes"}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment that gets requests and has several Pods that are not spread."""
    for deployment in facts(overlay).deployments:
        if replicas(deployment, overlay) < 2:
            continue
        found = {}
        for constraint in mappings((deployment.pod_spec or {}).get("topologySpreadConstraints")):
            if selects(constraint.get("labelSelector"), pod_labels(deployment)):
                found[constraint.get("topologyKey")] = constraint
        for key, noun in _KEYS.items():
            if key not in found:
                yield RULE.on(deployment, f"its Pods are not spread over {noun}")
            elif "pod-template-hash" not in listed(found[key].get("matchLabelKeys")):
                message = f"Pods of the old version count when new ones are spread over {noun}"
                yield RULE.on(deployment, message, "add matchLabelKeys: [pod-template-hash]")


RULE = Rule(
    id="zone-spread",
    why="The failure of one zone or node takes every replica along.",
    fix="add topologySpreadConstraints for topology.kubernetes.io/zone and kubernetes.io/hostname",
    link="https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",
    check=check,
)
