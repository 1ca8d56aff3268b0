"""Image references: what they are made of, and which of several an environment really runs. No I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_REFERENCE = re.compile(
    r"(?P<name>(?:[a-z0-9.-]+(?::\d+)?/)?[a-z0-9][a-z0-9._/-]*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_COMMIT = re.compile(r"(?:^|-)([0-9a-f]{7,40})$")


@dataclass(frozen=True, order=True)
class Image:
    """A repository with the tag and digest it was referred to by; `None` where the reference has none."""

    name: str
    tag: str | None
    digest: str | None

    @property
    def identity(self) -> str:
        """What tells two images of one repository apart: the digest, else the tag."""
        return f"{self.name}@{self.digest or self.tag}"

    @property
    def commit(self) -> str | None:
        """The source commit that the tag ends in, if it ends in one."""
        found = _COMMIT.search(self.tag or "")
        return found.group(1) if found else None

    def as_dict(self) -> dict[str, str | None]:
        return asdict(self)


def parse(reference: str) -> Image:
    """`name[:tag][@digest]` as an `Image`; raises `ValueError` when it is none."""
    found = _REFERENCE.fullmatch(reference) if len(reference) <= 512 else None
    if not found:
        raise ValueError(f"not an image reference: {reference[:80]!r}")
    return Image(found["name"], found["tag"], found["digest"])


def settle(images: Sequence[Image], before: Sequence[Image]) -> list[Image]:
    """One image per repository, sorted: Pods on their way out still list what ran `before`, which loses."""
    old = {image.identity for image in before}
    chosen: dict[str, Image] = {}
    for image in sorted(
        set(images), key=lambda i: (i.name, i.identity not in old, i.tag or "", i.digest or "")
    ):
        chosen[image.name] = image
    return sorted(chosen.values(), key=lambda i: i.name)


def one_commit(images: Sequence[Image]) -> str | None:
    """The source commit that all images with a commit in their tag share, else `None`."""
    commits = {image.commit for image in images if image.commit}
    return commits.pop() if len(commits) == 1 else None


def one_version(images: Sequence[Image]) -> str | None:
    """The tag that all images built from source share, else `None`."""
    tags = {image.tag for image in images if image.commit} or {image.tag for image in images}
    return tags.pop() if len(tags) == 1 else None


def fingerprint(images: Sequence[Image]) -> str:
    """Equal exactly for equal sets of images."""
    return hashlib.sha256("\n".join(sorted(image.identity for image in images)).encode()).hexdigest()
