"""Trap C20: a rollout that takes a Pod away before its successor is ready."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, mapping


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment that gets requests and loses capacity in a rollout."""
    for deployment in facts(overlay).deployments:
        strategy = mapping(deployment.spec.get("strategy"))
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            yield RULE.on(
                deployment, f"the strategy {strategy['type']} stops every Pod before it starts a new one"
            )
            continue
        rolling = mapping(strategy.get("rollingUpdate"))
        if rolling.get("maxUnavailable") not in (0, "0", "0%"):
            given = rolling.get("maxUnavailable", "25%, the default,")
            yield RULE.on(
                deployment, f"maxUnavailable {given} takes Pods away before their successors are ready"
            )


RULE = Rule(
    id="rolling-update",
    why="Fewer Pods then carry the same load during every rollout, and none do when the new version never gets ready.",
    fix="set strategy.rollingUpdate to maxUnavailable: 0 and maxSurge: 1",
    link="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable",
    check=check,
)
