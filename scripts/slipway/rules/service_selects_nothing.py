"""A Service without endpoints: no Pod has its labels, or none has its port."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import listens, mappings, matches_labels, pod_labels, selector_of


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Service with a selector that no workload of the overlay answers."""
    for service in overlay.of_kind("Service"):
        selector = selector_of(service)
        if not selector or service.spec.get("type") == "ExternalName":
            continue
        behind = [
            workload
            for workload in overlay.workloads
            if workload.namespace == service.namespace and matches_labels(selector, pod_labels(workload))
        ]
        if not behind:
            yield RULE.on(service, "no Pod has the labels that it selects")
            continue
        containers = [container for workload in behind for container in workload.containers]
        if not any(container.get("ports") for container in containers):
            continue
        for port in mappings(service.spec.get("ports")):
            target = port.get("targetPort", port.get("port"))
            if not any(listens(container, target) for container in containers):
                yield RULE.on(service, f"no container has the port {target}")


RULE = Rule(
    id="service-selects-nothing",
    why="Requests to such a Service are refused, although everything looks deployed.",
    fix="select labels of the Pod template, and name a port of its containers",
    link="https://kubernetes.io/docs/concepts/services-networking/service/#defining-a-service",
    check=check,
)
