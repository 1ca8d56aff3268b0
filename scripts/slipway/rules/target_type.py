"""Trap C20: the load balancer sends to nodes instead of Pods."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import alb_annotations, balancing, facts


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Ingress with a Service whose targets are not addresses of Pods."""
    known = facts(overlay)
    for ingress in known.load_balancers:
        if alb_annotations(ingress).get("target-type") == "ip":
            continue
        for name in sorted({route.service for route in known.routes if route.ingress is ingress}):
            service = known.services.get((ingress.namespace, name))
            if service and balancing(ingress, service).get("target-type") != "ip":
                yield RULE.on(ingress, f"the targets of Service {name} are nodes, not Pods")


RULE = Rule(
    id="target-type",
    why="Only targets by address get a readiness gate and stickiness: by node, requests reach Pods that are gone.",
    fix="annotate the Ingress with alb.ingress.kubernetes.io/target-type: ip",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#target-type",
    check=check,
)
