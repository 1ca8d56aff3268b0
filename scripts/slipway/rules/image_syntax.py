"""Trap A20: a name, tag or digest that no registry would take; kustomize renders them all."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import DIGEST, TAG, entries, images, line, split

_FORBIDDEN = frozenset(" \t\n\"'<>\\")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every malformed part: in the entries where they are written, else in the container's image."""
    blamed = set()
    for source in overlay.kustomizations:
        for entry in entries(source):
            checks = (("newTag", entry.tag, TAG, "tag"), ("digest", entry.digest, DIGEST, "digest"))
            for key, value, form, noun in checks:
                if value is not None and not form.fullmatch(value):
                    blamed.add(entry.result)
                    yield RULE.at(source, line(source, entry, key), f"`{value}` is not a {noun}")
    for subject, image in images(overlay):
        name, tag, digest = split(image)
        right = (tag is None or TAG.fullmatch(tag)) and (digest is None or DIGEST.fullmatch(digest))
        if name not in blamed and not (
            right and name and name == name.lower() and _FORBIDDEN.isdisjoint(name)
        ):
            yield RULE.on(subject, f"`{image}` is not an image reference")


RULE = Rule(
    id="image-syntax",
    why="Nothing checks a reference before the node does, so the mistake shows as Pods that never start.",
    fix="write a tag of up to 128 of A-Z a-z 0-9 _ . -, and a digest as sha256: with 64 lower-case hex digits",
    link="https://kubernetes.io/docs/concepts/containers/images/#image-names",
    check=check,
)
