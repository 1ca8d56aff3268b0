"""Trap A15: `images[].name` is read as a regular expression."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import METACHARACTERS, entries, images, line, split


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every name with a metacharacter, and every dot that also reaches a sibling."""
    for source in overlay.kustomizations:
        for entry in entries(source):
            if not METACHARACTERS.isdisjoint(entry.name):
                yield RULE.at(source, line(source, entry, "name"), f"the name `{entry.name}` is a pattern")
            elif "." in entry.name and (sibling := _sibling(entry.name, overlay)):
                message = f"the dots of `{entry.name}` also match `{sibling}`"
                fix = "give the other image a name that differs in more than that character"
                yield RULE.at(source, line(source, entry, "name"), message, fix)


def _sibling(name: str, overlay: Overlay) -> str | None:
    """Another image that the name matches, because a dot stands for any character."""
    for _, image in images(overlay):
        other = split(image)[0]
        if (
            len(other) == len(name)
            and other != name
            and all(a in (b, ".") for a, b in zip(name, other, strict=True))
        ):
            return other
    return None


RULE = Rule(
    id="image-name-pattern",
    why="Kustomize reads the name as a regular expression, so it can rewrite the images of other applications.",
    fix="write the image's whole name, without any of * + ? ( ) [ ] { } | ^ $ \\",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/",
    check=check,
)
