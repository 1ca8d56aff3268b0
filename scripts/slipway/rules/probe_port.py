"""A probe that asks a port on which its container does not listen."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import listens, mapping

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every probe with a port that the container does not declare; a mere number only where others are declared."""
    for workload in overlay.workloads:
        for container in [*workload.init_containers, *workload.containers]:
            for name in _PROBES:
                probe = mapping(container.get(name))
                asked = mapping(probe.get("httpGet") or probe.get("tcpSocket") or probe.get("grpc")).get(
                    "port"
                )
                declared = container.get("ports") or isinstance(asked, str)
                if asked is not None and declared and not listens(container, asked):
                    yield RULE.on(
                        workload,
                        f"{name} of {container.get('name')} asks port {asked}, which it does not have",
                    )


RULE = Rule(
    id="probe-port",
    why="The probe always fails, so the Pod never gets ready or is restarted for ever.",
    fix="name a port of the container",
    link="https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#use-a-named-port",
    check=check,
)
