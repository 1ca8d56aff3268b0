"""Fact 1.24: the time that a new Pod must hold, and the time after which a rollout has failed."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import Facts, balancing, facts, mapping, number

_HOLD = 5
_REGISTRATION = 15


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment that gets requests and counts a Pod too early, or gives up too early or too late."""
    known = facts(overlay)
    for deployment in known.deployments:
        hold = number(deployment.spec.get("minReadySeconds")) or 0
        deadline = number(deployment.spec.get("progressDeadlineSeconds"))
        if hold < _HOLD:
            message = f"a new Pod counts after {hold} s of being ready"
            yield RULE.on(deployment, message, f"set minReadySeconds to {_HOLD} or more")
        needed = _start(deployment) + _gate(known, deployment) + hold
        if deadline is None:
            yield RULE.on(deployment, "a rollout that does not progress is noticed after 10 minutes only")
        elif deadline <= needed:
            message = f"a rollout has failed after {deadline} s, one new Pod may take {needed} s"
            yield RULE.on(deployment, message, f"set progressDeadlineSeconds above {needed}")


def _start(deployment: Object) -> int:
    """Seconds that the slowest container may take to start."""
    longest = 0
    for container in deployment.containers:
        probe = mapping(container.get("startupProbe") or container.get("readinessProbe"))
        delay = number(probe.get("initialDelaySeconds")) or 0
        period = number(probe.get("periodSeconds")) or 10
        longest = max(longest, delay + period * (number(probe.get("failureThreshold")) or 3))
    return longest


def _gate(known: Facts, deployment: Object) -> int:
    """Seconds until the load balancer finds a new target healthy."""
    longest = 0
    for ingress, service in known.balanced(deployment):
        given = balancing(ingress, service)
        interval = number(given.get("healthcheck-interval-seconds")) or 15
        longest = max(longest, _REGISTRATION + interval * (number(given.get("healthy-threshold-count")) or 2))
    return longest


RULE = Rule(
    id="rollout-deadlines",
    why="A Pod that crashes after a second would pass as ready, and a failed rollout would pass as one in progress.",
    fix="set progressDeadlineSeconds to a few minutes",
    link="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#progress-deadline-seconds",
    check=check,
)
