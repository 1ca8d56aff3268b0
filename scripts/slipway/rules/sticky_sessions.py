"""Trap C21: several replicas that keep sessions in memory, and browsers that do not return to theirs."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import balancing, facts, is_streamlit, replicas, string_map


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Streamlit-like Deployment with replicas behind a load balancer without stickiness."""
    known = facts(overlay)
    for deployment in known.deployments:
        if is_streamlit(deployment) and replicas(deployment, overlay) > 1:
            for ingress, service in known.balanced(deployment):
                attributes = string_map(balancing(ingress, service).get("target-group-attributes", ""))
                if attributes.get("stickiness.enabled") != "true":
                    yield RULE.on(service, f"requests of one session reach any Pod of {deployment.name}")


RULE = Rule(
    id="sticky-sessions",
    why="Streamlit keeps sessions and uploads in the memory of one Pod; the others answer 400 to them.",
    fix="add stickiness.enabled=true,stickiness.type=lb_cookie to alb.ingress.kubernetes.io/target-group-attributes",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#target-group-attributes",
    check=check,
)
