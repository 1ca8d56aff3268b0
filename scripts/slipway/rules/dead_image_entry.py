"""Traps A13 and A14: an `images:` entry for a name that nothing has, or that the base has already changed."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._images import METACHARACTERS, Entry, acts_on, entries, images, line, split


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every entry whose result no container runs."""
    listed = [(source, entries(source)) for source in overlay.kustomizations]
    if not any(found for _, found in listed) or not overlay.objects:
        return
    running = {split(image) for _, image in images(overlay)}
    names = {name for name, _, _ in running}
    own = overlay.kustomization.path
    for source, found in listed:
        for entry in found:
            if source.path == own:
                alive = _runs(entry, running) or _chained(entry, found)
            else:
                others = [other for _, items in listed for other in items if other is not entry]
                alive = entry.result in names or any(acts_on(other, entry.result) for other in others)
            if not alive and METACHARACTERS.isdisjoint(entry.name):
                known = ", ".join(sorted(names)) or "none"
                message = f"the entry `{entry.name}` changes no image (images: {known})"
                yield RULE.at(source, line(source, entry), message)


def _runs(entry: Entry, running: set[tuple]) -> bool:
    """Whether some container runs what the entry asks for."""
    return any(
        name == entry.result and entry.tag in (None, tag) and entry.digest in (None, digest)
        for name, tag, digest in running
    )


def _chained(entry: Entry, found: list[Entry]) -> bool:
    """Whether another entry of the same list changes the result again, which has its own rule."""
    return any(
        acts_on(other, entry.result) or acts_on(entry, other.result) for other in found if other is not entry
    )


RULE = Rule(
    id="dead-image-entry",
    why="Kustomize says nothing about an entry that matches no image, so every bump of it succeeds and deploys nothing.",
    fix="write the image's name as it stands before this kustomization, or remove the entry",
    link="https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/",
    check=check,
)
