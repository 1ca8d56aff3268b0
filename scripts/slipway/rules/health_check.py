"""A load balancer that asks something else than the readiness probe."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import balancing, facts, listens, mapping, mappings, number


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Service behind a load balancer whose health check and readiness probe can disagree."""
    known = facts(overlay)
    for deployment in known.servers if known.routes else ():
        told = set()
        for ingress, service, port in known.reached(deployment):
            given = balancing(ingress, service)
            for container in deployment.containers:
                probe = mapping(mapping(container.get("readinessProbe")).get("httpGet"))
                if service.name in told or not probe or not listens(container, port):
                    continue
                told.add(service.name)
                asked = given.get("healthcheck-path", "/")
                if asked != probe.get("path", "/"):
                    yield RULE.on(
                        service,
                        f"the load balancer asks {asked}, the readiness probe {probe.get('path', '/')}",
                    )
                checked = given.get("healthcheck-port", "traffic-port")
                if not _same_port(
                    container, port if checked == "traffic-port" else checked, probe.get("port")
                ):
                    yield RULE.on(
                        service,
                        f"the load balancer asks port {checked}, the readiness probe {probe.get('port')}",
                    )
                interval = number(given.get("healthcheck-interval-seconds")) or 15
                timeout = number(given.get("healthcheck-timeout-seconds")) or 5
                if timeout >= interval:
                    message = (
                        f"the health check times out after {timeout} s, and is repeated every {interval} s"
                    )
                    yield RULE.on(
                        service, message, "set healthcheck-timeout-seconds below healthcheck-interval-seconds"
                    )


def _same_port(container: dict, one: object, other: object) -> bool:
    """Whether two ports, each by name or number, are the same port of the container."""
    if str(one) == str(other):
        return True
    ports = mappings(container.get("ports"))
    return any({str(one), str(other)} == {str(p.get("name")), str(p.get("containerPort"))} for p in ports)


RULE = Rule(
    id="health-check",
    why="Where they disagree, the load balancer sends to Pods that are not ready, or Kubernetes waits for ever.",
    fix="annotate the Service with alb.ingress.kubernetes.io/healthcheck-path: the path of the readiness probe",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#health-check",
    check=check,
)
