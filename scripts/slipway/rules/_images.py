"""The `images:` entries of a kustomization as kustomize takes them, and the images that Pods run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slipway.gate.overlay import Object, Overlay, Source
from slipway.rules._facts import mapping, mappings

METACHARACTERS = frozenset("*+?()[]{}|^$\\")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One entry of `images:`; empty texts are None, as kustomize takes them."""

    index: int
    name: str
    new_name: str | None
    tag: str | None
    digest: str | None

    @property
    def result(self) -> str:
        """The name that the entry gives."""
        return self.new_name or self.name


def entries(source: Source) -> list[Entry]:
    """The entries of a kustomization in order, keys in whatever case kustomize takes."""
    found = []
    listed = mapping(source.data[0]).get("images") if source.data else None
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            keys = {str(key).lower(): value for key, value in item.items()}
            texts = [_text(keys.get(key)) for key in ("name", "newname", "newtag", "digest")]
            if texts[0]:
                found.append(Entry(index, *texts))
    return found


def line(source: Source, entry: Entry, *keys: str) -> int:
    """The line of an entry, or of the first of its keys that is there."""
    for key in keys:
        mine = source.line("images", entry.index, key)
        if mine != source.line("images", entry.index):
            return mine
    return source.line("images", entry.index)


def acts_on(entry: Entry, image: str | None) -> bool:
    """Whether kustomize would apply an entry to an image's name: a dot stands for any character."""
    pattern = entry.name
    if image is None or len(pattern) != len(image):
        return False
    return pattern == image or all(p in (c, ".") for p, c in zip(pattern, image, strict=True))


def split(reference: str) -> tuple[str, str | None, str | None]:
    """Name, tag and digest of a reference, whatever they look like."""
    rest, at, digest = reference.partition("@")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    return head + slash + last, tag if colon else None, digest if at else None


def images(overlay: Overlay) -> list[tuple[Object, str]]:
    """Every image that containers of the overlay run, with the object: those that the transformer reaches."""
    known = overlay.__dict__.get("_images")
    if known is None:
        known = overlay.__dict__["_images"] = [
            (subject, image) for subject in overlay.objects for image in _of_object(subject)
        ]
    return known


def _of_object(subject: Object) -> Iterator[str]:
    pod = subject.pod_spec
    if pod is not None:
        for key in ("initContainers", "containers", "ephemeralContainers"):
            for container in mappings(pod.get(key)):
                if isinstance(container.get("image"), str):
                    yield container["image"]
    elif "." in (group := subject.api_version.partition("/")[0]) and not group.endswith(".k8s.io"):
        yield from _anywhere(subject.data)


def _anywhere(node: object) -> Iterator[str]:
    """Images of `containers` and `initContainers` at any depth, as kustomize looks for them in custom resources."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("containers", "initContainers"):
                yield from (c["image"] for c in mappings(value) if isinstance(c.get("image"), str))
            yield from _anywhere(value)
    elif isinstance(node, list):
        for item in node:
            yield from _anywhere(item)


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
