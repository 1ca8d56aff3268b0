"""Trap A12: entries of one `images:` list that act on one another's image."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import acts_on, entries, line


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every entry that an earlier one of the same file feeds, overrides or shadows."""
    for source in overlay.kustomizations:
        listed = entries(source)
        for place, later in enumerate(listed):
            for earlier in listed[:place]:
                pairs = (
                    (earlier, later.name),
                    (earlier, later.new_name),
                    (later, earlier.name),
                    (later, earlier.new_name),
                )
                if any(acts_on(one, name) for one, name in pairs):
                    message = f"`{earlier.name}` and `{later.name}` act on one another's image"
                    yield RULE.at(source, line(source, later), message)
                    break


RULE = Rule(
    id="chained-image-entries",
    why="What is deployed then depends on the order of the entries, and a tool that sorts them changes it.",
    fix="keep one entry for each image, with its last name, tag and digest",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/",
    check=check,
)
