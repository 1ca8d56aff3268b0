"""Trap A19: an entry of an overlay that leaves the digest out, or sets nothing at all."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import entries, line


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every entry of the overlay's own kustomization without a digest; what base has is base's to say."""
    source = overlay.kustomization
    for entry in entries(source):
        if entry.digest is None:
            state = f"the tag {entry.tag} alone" if entry.tag else "neither tag nor digest"
            yield RULE.at(source, line(source, entry), f"the entry `{entry.name}` has {state}")


RULE = Rule(
    id="image-entry-without-digest",
    why="A tag can be pushed again and an empty one falls back to the base's, so nodes would run what no commit says.",
    fix="let `slipway bump` or `slipway promote` write the entry: both give tag and digest",
    link="https://kubernetes.io/docs/concepts/containers/images/#image-names",
    check=check,
)
