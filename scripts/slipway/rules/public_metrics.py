"""Fact 2.3: Streamlit's metrics are on the port that everybody reaches."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import facts, is_streamlit

_METRICS = "/_stcore/metrics"


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every path that leads to a Streamlit-like Deployment with no action that answers for the metrics."""
    known = facts(overlay)
    for deployment in known.deployments if known.routes else ():
        if not is_streamlit(deployment):
            continue
        names = {service.name for service in known.services_of(deployment)}
        for route in known.routes:
            if route.service in names and route.path_type != "Exact":
                metrics = route.path.rstrip("/") + _METRICS
                blocked = any(
                    other.ingress is route.ingress
                    and other.port == "use-annotation"
                    and other.path == metrics
                    for other in known.routes
                )
                if not blocked:
                    yield RULE.on(route.ingress, f"{metrics} is answered for everybody")


RULE = Rule(
    id="public-metrics",
    why="Anybody then reads how many sessions there are and how much memory they take.",
    fix="add the path with pathType Exact and a fixed-response action of status 404",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#actions",
    check=check,
)
