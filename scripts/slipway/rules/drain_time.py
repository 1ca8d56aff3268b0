"""Trap C20: a Pod that stops before the load balancer is done with it, or is killed while it stops."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import (
    PROPAGATION,
    STOP,
    Facts,
    balancing,
    facts,
    number,
    seconds_asleep,
    string_map,
)

_DEREGISTRATION = 300
"""Seconds that AWS takes when nothing is said."""
_GRACE = 30
"""Seconds that Kubernetes gives when nothing is said."""


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment that gets requests and does not go on serving long enough."""
    known = facts(overlay)
    for deployment in known.deployments:
        needed, reason = _needed(known, deployment)
        grace = number((deployment.pod_spec or {}).get("terminationGracePeriodSeconds"))
        grace = _GRACE if grace is None else grace
        for container in deployment.containers:
            if not container.get("ports"):
                continue
            asleep = seconds_asleep(container) or 0
            name = container.get("name")
            if asleep < needed:
                yield RULE.on(
                    deployment, f"{name} sleeps {asleep} s before it stops, {needed} s are needed: {reason}"
                )
            elif grace <= asleep + STOP:
                message = (
                    f"{name} is killed after {grace} s, {asleep} s of sleep and {STOP} s to stop need more"
                )
                yield RULE.on(deployment, message, f"set terminationGracePeriodSeconds above {asleep + STOP}")


def _needed(known: Facts, deployment: Object) -> tuple[int, str]:
    """Seconds that a Pod must go on serving after it was told to leave, and why."""
    delays = []
    for ingress, service in known.balanced(deployment):
        attributes = string_map(balancing(ingress, service).get("target-group-attributes", ""))
        delay = number(attributes.get("deregistration_delay.timeout_seconds"))
        delays.append(_DEREGISTRATION if delay is None else delay)
    if delays:
        return max(
            delays
        ) + PROPAGATION, f"{max(delays)} s of deregistration and {PROPAGATION} s until it begins"
    return PROPAGATION, "until every node has heard that the Pod leaves"


RULE = Rule(
    id="drain-time",
    why="Requests still arrive at a Pod that is leaving, so users see errors at every rollout when it stops at once.",
    fix="give the container a preStop sleep of at least that long",
    link="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
    check=check,
)
