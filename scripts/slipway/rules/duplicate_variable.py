"""An environment variable that stands twice in one container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mappings


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every second one."""
    for workload in overlay.workloads:
        for container in [*workload.init_containers, *workload.containers]:
            names = Counter(str(variable.get("name")) for variable in mappings(container.get("env")))
            for name, count in names.items():
                if count > 1:
                    yield RULE.on(workload, f"{name} stands {count} times in {container.get('name')}")


RULE = Rule(
    id="duplicate-variable",
    why="The last one wins without a word, and server-side apply refuses the object.",
    fix="keep one of them",
    link="https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy",
    check=check,
)
