"""Annotations of the load balancer controller that it cannot read, or does not heed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import alb_annotations, number, string_map

_MAPS = ("target-group-attributes", "load-balancer-attributes", "tags")
_LIMITS = {
    "deregistration_delay.timeout_seconds": (0, 3600),
    "slow_start.duration_seconds": (0, 900),
    "stickiness.lb_cookie.duration_seconds": (1, 604800),
    "idle_timeout.timeout_seconds": (1, 4000),
}
_NAME = re.compile(r"(?!internal-)[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every malformed value of an Ingress or Service, and every one that another makes void."""
    for subject in overlay.of_kind("Ingress", "Service"):
        given = alb_annotations(subject)
        for message in _problems(given) if given else ():
            yield RULE.on(subject, message)


def _problems(given: dict[str, str]) -> Iterator[str]:
    for key, value in given.items():
        if key == "listen-ports" or key.startswith(("actions.", "conditions.")):
            try:
                json.loads(value)
            except ValueError:
                yield f"{key} is not JSON"
        elif key in _MAPS:
            yield from _map_problems(key, value)
        elif key == "load-balancer-name" and not _NAME.fullmatch(value):
            yield f"`{value}` is no load balancer name: at most 32 letters, digits and hyphens"
    if "security-groups" in given and "inbound-cidrs" in given:
        yield "inbound-cidrs is ignored beside security-groups"


def _map_problems(key: str, value: str) -> Iterator[str]:
    if any("=" not in pair for pair in value.split(",")):
        yield f"{key} is not a list of key=value"
    for name, text in string_map(value).items():
        if name in _LIMITS:
            least, most = _LIMITS[name]
            found = number(text)
            if found is None or not least <= found <= most:
                yield f"{name} is {text}, not a number from {least} to {most}"


RULE = Rule(
    id="alb-annotations",
    why="The controller logs an error nobody reads and leaves the load balancer as it was.",
    fix="correct the value as the controller's reference has it",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/",
    check=check,
)
