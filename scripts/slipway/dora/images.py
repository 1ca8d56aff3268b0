"""Which of the images that Argo CD lists an application really runs, and what their tags tell of the source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from slipway.registry.references import Reference

_COMMIT = re.compile(r"(?:^|-)([0-9a-f]{7,40})$")


def identity(image: Reference) -> str:
    """What tells two images of one repository apart: the digest, else the tag."""
    return f"{image.name}@{image.digest or image.tag}"


def commit_of(image: Reference) -> str | None:
    """The source commit that the tag ends in, if it ends in one."""
    found = _COMMIT.search(image.tag or "")
    return found.group(1) if found else None


def settle(images: Iterable[Reference], before: Iterable[Reference]) -> tuple[Reference, ...]:
    """One image per repository, sorted: Pods on their way out still list what ran `before`, which loses."""
    old = {identity(image) for image in before}
    chosen: dict[str, Reference] = {}
    for image in sorted(
        set(images), key=lambda i: (i.name, identity(i) not in old, i.tag or "", i.digest or "")
    ):
        chosen[image.name] = image
    return tuple(chosen[name] for name in sorted(chosen))


def one_commit(images: Sequence[Reference]) -> str | None:
    """The source commit that all images with a commit in their tag share, else `None`."""
    commits = {commit for image in images if (commit := commit_of(image))}
    return commits.pop() if len(commits) == 1 else None


def one_version(images: Sequence[Reference]) -> str | None:
    """The tag that all images built from source share, else `None`."""
    tags = {image.tag for image in images if commit_of(image)} or {image.tag for image in images}
    return tags.pop() if len(tags) == 1 else None


def fingerprint(images: Iterable[Reference]) -> str:
    """Equal exactly for equal sets of images."""
    return hashlib.sha256("\n".join(sorted(map(identity, images))).encode()).hexdigest()
