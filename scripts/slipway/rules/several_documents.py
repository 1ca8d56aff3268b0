"""Trap A18: a kustomization with a second YAML document."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule

_MARKER = re.compile(r"^---(?=\s|$)", re.MULTILINE)


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every marker that begins a further document."""
    for source in overlay.kustomizations:
        for marker in _MARKER.finditer(source.text):
            before = source.text[: marker.start()]
            if any(
                line.strip() and not line.lstrip().startswith(("#", "%", "---"))
                for line in before.splitlines()
            ):
                message = "a second YAML document begins here, and kustomize ignores it"
                yield RULE.at(source, before.count("\n") + 1, message)
                break


RULE = Rule(
    id="several-documents",
    why="Kustomize reads the first document only, so what stands in the second is reviewed and never deployed.",
    fix="make the kustomization one document",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/",
    check=check,
)
