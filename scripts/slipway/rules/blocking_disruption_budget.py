"""A PodDisruptionBudget that lets no Pod go, so that no node can be drained."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, number, pod_labels, replicas, selects


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every budget that never allows an eviction, or stops allowing them when a Pod is broken."""
    claimed: dict[str, Object] = {}
    for budget in overlay.of_kind("PodDisruptionBudget"):
        for workload in facts(overlay).servers:
            if budget.namespace != workload.namespace or not selects(
                budget.spec.get("selector"), pod_labels(workload)
            ):
                continue
            if reason := _blocks(budget, replicas(workload, overlay)):
                yield RULE.on(budget, f"{reason} lets no Pod of {workload.name} go")
            if (other := claimed.setdefault(workload.key, budget)) is not budget:
                yield RULE.on(
                    budget,
                    f"{other.name} covers {workload.name} too, and Pods under two budgets cannot be evicted",
                )
        if budget.spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            message = "a Pod that is broken anyway holds the drain up"
            yield RULE.on(budget, message, "set unhealthyPodEvictionPolicy: AlwaysAllow")


def _blocks(budget: Object, count: int) -> str | None:
    """The setting that allows no eviction, if there is one."""
    most, least = budget.spec.get("maxUnavailable"), budget.spec.get("minAvailable")
    if most in (0, "0", "0%"):
        return f"maxUnavailable: {most}"
    if least == "100%" or (number(least) is not None and number(least) >= count):
        return f"minAvailable: {least}"
    return None


RULE = Rule(
    id="blocking-disruption-budget",
    why="A node upgrade waits for such a budget until somebody deletes it.",
    fix="set maxUnavailable: 1",
    link="https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy",
    check=check,
)
