"""A policy, a budget or an autoscaler for Pods that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import mapping, mappings, pod_labels, scaled, selects


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every NetworkPolicy, PodDisruptionBudget and HorizontalPodAutoscaler without Pods or without the named port."""
    for policy in overlay.of_kind("NetworkPolicy"):
        chosen = _selected(overlay, policy, policy.spec.get("podSelector"))
        if not chosen and policy.spec.get("podSelector"):
            yield RULE.on(policy, "no Pod has the labels that it selects")
        known = {p.get("name") for w in chosen for c in w.containers for p in mappings(c.get("ports"))}
        for rule in mappings(policy.spec.get("ingress")) if chosen else ():
            for port in mappings(rule.get("ports")):
                if isinstance(port.get("port"), str) and port["port"] not in known:
                    yield RULE.on(policy, f"no container has a port named {port['port']}")
    for budget in overlay.of_kind("PodDisruptionBudget"):
        if not _selected(overlay, budget, budget.spec.get("selector")):
            yield RULE.on(budget, "no Pod has the labels that it selects")
    owners = {(one.namespace, one.kind, one.name) for one in overlay.objects}
    for scaler in overlay.of_kind("HorizontalPodAutoscaler"):
        if scaled(scaler) not in owners:
            target = mapping(scaler.spec.get("scaleTargetRef"))
            yield RULE.on(scaler, f"{target.get('kind')} {target.get('name')} is not rendered here")


def _selected(overlay: Overlay, subject: Object, selector: object) -> list[Object]:
    return [
        workload
        for workload in overlay.workloads
        if workload.namespace == subject.namespace and selects(selector, pod_labels(workload))
    ]


RULE = Rule(
    id="selects-nothing",
    why="It protects nothing, and nobody notices, since it is there.",
    fix="select labels of the Pod template",
    link="https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    check=check,
)
