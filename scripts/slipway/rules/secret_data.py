"""A Secret whose content stands in Git."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import mapping


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every rendered Secret with content, generated ones included."""
    for secret in overlay.of_kind("Secret"):
        keys = sorted({**mapping(secret.data.get("data")), **mapping(secret.data.get("stringData"))})
        if keys:
            yield RULE.on(secret, f"the content of {', '.join(map(str, keys))} stands in Git")


RULE = Rule(
    id="secret-data",
    why="Everybody who ever reads the repository has it, and no later commit takes it back.",
    fix="replace it by an ExternalSecret, and change the secret itself, since it is known now",
    link="https://argo-cd.readthedocs.io/en/stable/operator-manual/secret-management/",
    check=check,
)
