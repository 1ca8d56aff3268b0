"""Trap C20: a Namespace behind a load balancer whose Pods get no readiness gate."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts

_LABEL = "elbv2.k8s.aws/pod-readiness-gate-inject"


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every rendered Namespace with a load balancer and without the label."""
    balanced = {ingress.namespace for ingress in facts(overlay).load_balancers}
    for namespace in overlay.of_kind("Namespace"):
        if namespace.name in balanced and namespace.labels.get(_LABEL) != "enabled":
            yield RULE.on(namespace, f"the label {_LABEL} is missing")


RULE = Rule(
    id="readiness-gate",
    why="Kubernetes then counts new Pods as ready before the load balancer knows them, and removes the old ones.",
    fix=f"label the Namespace with {_LABEL}: enabled",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/",
    check=check,
)
