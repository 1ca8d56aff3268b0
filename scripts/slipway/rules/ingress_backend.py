"""An Ingress that sends to a Service, a port or an action that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import alb_annotations, facts, routes, target_port


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every path that leads nowhere."""
    services = facts(overlay).services
    for ingress in overlay.of_kind("Ingress"):
        for route in routes(ingress):
            if route.port == "use-annotation":
                if f"actions.{route.service}" not in alb_annotations(ingress):
                    yield RULE.on(
                        ingress,
                        f"{route.path} needs the annotation actions.{route.service}, which is missing",
                    )
                continue
            service = services.get((ingress.namespace, route.service))
            if service is None:
                yield RULE.on(
                    ingress, f"{route.path} leads to Service {route.service}, which is not rendered here"
                )
            elif target_port(service, route.port) is None:
                yield RULE.on(
                    ingress, f"{route.path} leads to port {route.port}, which Service {route.service} lacks"
                )


RULE = Rule(
    id="ingress-backend",
    why="The load balancer controller stops at the first such path and changes nothing any more, for any path.",
    fix="name a Service of the overlay and one of its ports",
    link="https://kubernetes.io/docs/concepts/services-networking/ingress/#the-ingress-resource",
    check=check,
)
