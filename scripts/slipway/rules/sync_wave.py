"""Fact 1.3: the readiness gate is injected only into Pods that a target group selects already."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Deployment behind a load balancer that is applied together with it, or before."""
    known = facts(overlay)
    for deployment in known.deployments:
        for ingress, service in known.balanced(deployment):
            for other in (ingress, service):
                if _wave(other) >= _wave(deployment):
                    yield RULE.on(
                        deployment, f"it is not in a later sync wave than {other.kind} {other.name}"
                    )
    for namespace in overlay.of_kind("Namespace"):
        others = [_wave(one) for one in overlay.objects if one.namespace == namespace.name]
        if others and _wave(namespace) > min(others):
            yield RULE.on(namespace, "it is in a later sync wave than what lives in it")


def _wave(subject: Object) -> int:
    try:
        return int(subject.annotations.get("argocd.argoproj.io/sync-wave", 0))
    except (TypeError, ValueError):
        return 0


RULE = Rule(
    id="sync-wave",
    why="Pods that are made before their target group get no readiness gate, and the first rollout loses requests.",
    fix='annotate the Deployment with argocd.argoproj.io/sync-wave: "1"',
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
    check=check,
)
