"""Pods that anybody may talk to, or that may talk to anybody."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import listed, pod_labels, selects

_DIRECTIONS = (
    ("Ingress", "ingress", "anybody may talk to its Pods"),
    ("Egress", "egress", "its Pods may talk to anybody"),
)


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every workload that no policy isolates, every rule that allows all, every Namespace without a default."""
    policies = overlay.of_kind("NetworkPolicy")
    for workload in overlay.workloads:
        labels = pod_labels(workload)
        mine = [
            p
            for p in policies
            if p.namespace == workload.namespace and selects(p.spec.get("podSelector"), labels)
        ]
        for direction, _, message in _DIRECTIONS:
            if not any(_isolates(policy, direction) for policy in mine):
                yield RULE.on(workload, message)
    for policy in policies:
        for _, key, message in _DIRECTIONS:
            if {} in listed(policy.spec.get(key)):
                yield RULE.on(
                    policy, f"a rule without conditions: {message}", "say to whom and on which port"
                )
    for namespace in overlay.of_kind("Namespace"):
        if not any(_denies_all(policy, namespace.name) for policy in policies):
            yield RULE.on(
                namespace, "no policy denies what none allows", "render a NetworkPolicy for podSelector: {}"
            )


def _isolates(policy: Object, direction: str) -> bool:
    """Whether the policy makes Pods refuse what no policy allows, in one direction."""
    types = policy.spec.get("policyTypes")
    if types is None:
        return direction == "Ingress" or "egress" in policy.spec
    return direction in listed(types)


def _denies_all(policy: Object, namespace: str) -> bool:
    return (
        policy.namespace == namespace
        and not policy.spec.get("podSelector")
        and _isolates(policy, "Ingress")
        and _isolates(policy, "Egress")
    )


RULE = Rule(
    id="network-policy",
    why="Without a policy, a Pod that is taken over reaches every other Pod, the database and the node's credentials.",
    fix="render a NetworkPolicy for the Pods with policyTypes [Ingress, Egress], and allow what they need",
    link="https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-policies",
    check=check,
)
