"""A container that Kubernetes cannot ask whether it is well."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, mapping, number


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every container of a server without readiness, liveness or time to start."""
    for workload in facts(overlay).servers:
        for container in workload.containers:
            missing = [probe for probe in ("readinessProbe", "livenessProbe") if not container.get(probe)]
            delay = number(mapping(container.get("livenessProbe")).get("initialDelaySeconds"))
            if not container.get("startupProbe") and container.get("livenessProbe") and not delay:
                missing.append("startupProbe")
            if missing:
                yield RULE.on(workload, f"{container.get('name')} has no {' and no '.join(missing)}")


RULE = Rule(
    id="missing-probe",
    why="Requests reach a Pod before it can answer, one that hangs is never restarted, or one that starts slowly always is.",
    fix="give every container a startup, a readiness and a liveness probe",
    link="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
    check=check,
)
