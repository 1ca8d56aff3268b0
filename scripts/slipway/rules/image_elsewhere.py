"""Trap A21: a reference to a managed image in a place that no transformer reaches."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import entries, images


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every text that names a managed image with another tag or digest than its containers run."""
    names = {entry.result for entry in entries(overlay.kustomization)}
    if not names:
        return
    running = {image for _, image in images(overlay)}
    for subject in overlay.objects:
        for text in _texts(subject.data):
            if text not in running and any(name in text and _stale(text, name, running) for name in names):
                yield RULE.on(
                    subject, f"`{_line(text, names)}` names a managed image where `images:` does not reach"
                )


def _texts(node: object) -> Iterator[str]:
    """Every text at any depth that is long enough to hold a reference."""
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            if ":" in node or "@" in node:
                yield node
        elif isinstance(node, dict):
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _stale(text: str, name: str, running: set[str]) -> bool:
    """Whether the name stands in the text with a tag or a digest behind it that no container has."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        alone = not start or not (text[start - 1].isalnum() or text[start - 1] in "._-/")
        pinned = text[end : end + 1] in (":", "@") and text[end + 1 : end + 2].isalnum()
        if alone and pinned and not any(text.startswith(image, start) for image in running):
            return True
        start = text.find(name, end)
    return False


def _line(text: str, names: set[str]) -> str:
    """The line of a text that holds one of the names, cut to a length that can be read."""
    line = next((one.strip() for one in text.splitlines() if any(name in one for name in names)), text)
    return line if len(line) <= 120 else f"{line[:117]}..."


RULE = Rule(
    id="image-elsewhere",
    why="The list `images:` changes container images only, so a reference anywhere else keeps the old build for ever.",
    fix="copy it from the container with `replacements:` in a transformer that the overlay lists",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/replacements/",
    check=check,
)
