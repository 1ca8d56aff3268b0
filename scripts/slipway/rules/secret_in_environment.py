"""A password or token as the plain value of an environment variable."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mappings

_SECRET = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)$", re.IGNORECASE
)
_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every variable that is named like a secret, or holds a URL with a password."""
    for workload in overlay.workloads:
        for container in [*workload.init_containers, *workload.containers]:
            for variable in mappings(container.get("env")):
                name, value = str(variable.get("name")), variable.get("value")
                if not isinstance(value, str) or not value or value.startswith("$("):
                    continue
                if _SECRET.search(name) or _IN_URL.match(value):
                    yield RULE.on(workload, f"{name} of {container.get('name')} has its value in Git")


RULE = Rule(
    id="secret-in-environment",
    why="Everybody who ever reads the repository has it, and so has everybody who may list Pods.",
    fix="take it from a Secret with valueFrom.secretKeyRef, and change it, since it is known now",
    link="https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-environment-variables",
    check=check,
)
