"""A container that does not say what it needs, or how much memory it may take."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mapping

_WANTED = (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every container of every workload; no limit of CPU is asked for, which would only slow it down."""
    for workload in overlay.workloads:
        for container in [*workload.init_containers, *workload.containers]:
            given = mapping(container.get("resources"))
            missing = [f"{part}.{key}" for part, key in _WANTED if not mapping(given.get(part)).get(key)]
            if missing:
                yield RULE.on(workload, f"{container.get('name')} states no {', '.join(missing)}")


RULE = Rule(
    id="resource-limits",
    why="The scheduler packs the node too full, and one container that leaks memory takes its neighbours along.",
    fix="set resources.requests for cpu and memory, and resources.limits for memory",
    link="https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
    check=check,
)
