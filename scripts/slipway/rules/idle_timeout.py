"""Trap C21: a WebSocket application behind a load balancer whose idle timeout is left open or too short."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import alb_annotations, facts, is_streamlit, number, string_map

_PING = 30
"""Seconds between Streamlit's WebSocket pings."""


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Ingress in front of a Streamlit-like Deployment that does not state a timeout above the ping."""
    known = facts(overlay)
    fronts = {
        ingress.key: ingress
        for deployment in known.deployments
        if is_streamlit(deployment)
        for ingress, _ in known.balanced(deployment)
    }
    for ingress in fronts.values():
        attributes = string_map(alb_annotations(ingress).get("load-balancer-attributes", ""))
        idle = number(attributes.get("idle_timeout.timeout_seconds"))
        if idle is None:
            yield RULE.on(ingress, "the idle timeout is not stated, so an earlier value stays in force")
        elif idle <= _PING:
            yield RULE.on(ingress, f"the idle timeout of {idle} s ends connections between two pings")


RULE = Rule(
    id="idle-timeout",
    why="The load balancer cuts a WebSocket that is silent for longer, and the page loses its session.",
    fix="put idle_timeout.timeout_seconds=60 into alb.ingress.kubernetes.io/load-balancer-attributes",
    link="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html",
    check=check,
)
