"""Traps A19 and C16: an image that no entry manages, by tag only, by `latest`, or by no tag at all."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import acts_on, entries, images, split


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every image without a digest that the overlay's own entries do not answer for."""
    listed = entries(overlay.kustomization)
    for subject, image in images(overlay):
        name, tag, digest = split(image)
        if digest is None and not any(acts_on(entry, name) or entry.result == name for entry in listed):
            state = (
                f"by its tag {tag} alone" if tag and tag != "latest" else "in whatever version is the latest"
            )
            yield RULE.on(subject, f"`{name}` runs {state}")


RULE = Rule(
    id="unpinned-image",
    why="When the tag is pushed again, nodes that have the image and nodes that pull it run different code.",
    fix="name the image with its digest, or give it an entry in the overlay's `images:`",
    link="https://kubernetes.io/docs/concepts/containers/images/#image-names",
    check=check,
)
