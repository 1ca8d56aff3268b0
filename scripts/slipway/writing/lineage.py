"""Which of two builds of an image is newer, and the commit trailers in which bumps record what they know."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from slipway.registry.references import Reference

_TRAILER = re.compile(r"^([A-Z][A-Za-z-]+): (.+)$")


@dataclass(frozen=True)
class Build:
    """What is known of one build of an image; each part may be unknown, times are UTC.

    Build numbers of different writers (CI jobs) count separately.
    """

    reference: Reference
    revision: str | None = None
    number: int | None = None
    created: datetime | None = None
    writer: str | None = None

    def or_else(self, other: Build) -> Build:
        """The same with unknown parts taken from `other`."""
        known = {
            k: getattr(self, k) or getattr(other, k) for k in ("revision", "number", "created", "writer")
        }
        return replace(self, **known)


@dataclass(frozen=True)
class Decision:
    """Whether a build may follow another: `verdict` is newer, older, same or unknown, `by` what decided."""

    verdict: str
    by: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.by}"


Ancestry = Callable[[str, str], bool | None]
"""Whether the first source commit comes before the second; None when that cannot be told."""


def decide(current: Build, new: Build, ancestry: Ancestry) -> Decision:
    """Compare by source ancestry, else by build number, else by time of creation; the first that tells decides."""
    if current.reference.digest and current.reference.digest == new.reference.digest:
        return Decision("same", "the same digest")
    return (
        _by_source(current, new, ancestry)
        or _by_order(current, new)
        or Decision("unknown", "nothing to compare")
    )


def _by_source(current: Build, new: Build, ancestry: Ancestry) -> Decision | None:
    old_commit, new_commit = current.revision, new.revision
    if not old_commit or not new_commit or old_commit == new_commit:
        return None
    for older, newer, verdict in ((old_commit, new_commit, "newer"), (new_commit, old_commit, "older")):
        if ancestry(older, newer):
            return Decision(verdict, f"source {older[:12]} comes before {newer[:12]}")
    return None


def _by_order(current: Build, new: Build) -> Decision | None:
    if current.writer and new.writer and current.writer != new.writer:
        current = replace(current, number=None)
    for what, before, after in (
        ("build number", current.number, new.number),
        ("time of creation", current.created, new.created),
    ):
        if before is not None and after is not None and before != after:
            return Decision(
                "newer" if after > before else "older", f"{what} {_show(before)} → {_show(after)}"
            )
    if current.created and new.created or current.number is not None and current.number == new.number:
        return Decision("same", "equal number or time")
    return None


def _show(value: int | datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S UTC") if isinstance(value, datetime) else str(value)


def trailers(build: Build, previous: Iterable[str], *, writer: str | None = None) -> list[str]:
    """The trailer lines for one image; `previous` says what each overlay had, such as `dev/board v1@sha256:…`.

    `writer` is the automation that writes this commit, None for a person.
    """
    reference = build.reference
    shown = f"{reference.name}:{reference.tag}" if reference.tag else reference.name
    lines = [f"Image: {shown}", f"Digest: {reference.digest}"]
    if build.revision:
        lines.append(f"Source-Commit: {build.revision}")
    if build.number is not None:
        lines.append(f"Build: {build.number}")
    if writer:
        lines.append(f"Written-By: {writer}")
    return lines + [f"Previous: {text}" for text in previous]


def _name_and_tag(image: str) -> tuple[str, str | None]:
    """What an `Image` trailer says; a colon before the last slash is a port's."""
    name, _, tag = image.rpartition(":")
    return (name, tag) if name and "/" not in tag else (image, None)


def trailer_pairs(message: str) -> list[tuple[str, str]]:
    """The trailers of a commit message, in order; GitHub puts the authors of what it squashes behind them."""
    before, _, last = message.strip().rpartition("\n\n")
    lines = last.splitlines()
    if all(line.startswith("Co-authored-by: ") for line in lines):
        lines = [*before.rpartition("\n\n")[2].splitlines(), *lines]
    return [found.groups() for line in lines if (found := _TRAILER.match(line))]


def changed_images(message: str, where: str) -> set[str]:
    """The names of the images that a commit message says it changed in an overlay such as `dev/board`."""
    return changed_everywhere(message).get(where, set())


def changed_everywhere(message: str) -> dict[str, set[str]]:
    """The names of the images that a commit message says it changed, by overlay such as `dev/board`."""
    found: dict[str, set[str]] = {}
    image = ""
    for key, value in trailer_pairs(message):
        if key == "Image":
            image, _ = _name_and_tag(value)
        elif key == "Previous" and " " in value:
            found.setdefault(value.partition(" ")[0], set()).add(image)
    return found


def parse_trailers(message: str) -> list[Build]:
    """The builds that a commit message records, in order; other messages record none."""
    builds: list[Build] = []
    for key, value in trailer_pairs(message):
        if key == "Image":
            builds.append(Build(Reference(*_name_and_tag(value))))
        elif builds and key == "Digest":
            builds[-1] = replace(builds[-1], reference=replace(builds[-1].reference, digest=value))
        elif builds and key == "Source-Commit":
            builds[-1] = replace(builds[-1], revision=value)
        elif builds and key == "Build" and value.isdecimal():
            builds[-1] = replace(builds[-1], number=int(value))
        elif builds and key == "Written-By":
            builds[-1] = replace(builds[-1], writer=value)
    return builds


def writer_of(messages: Iterable[str], where: str, reference: Reference) -> str | None:
    """Who wrote what an overlay such as `dev/board` says of an image now; None when nobody is recorded."""
    wanted = (reference.name, reference.digest)
    for message in messages:
        image, digest, writer = "", "", None
        for key, value in trailer_pairs(message):
            if key == "Image":
                (image, _), digest, writer = _name_and_tag(value), "", None
            elif key == "Digest":
                digest = value
            elif key == "Written-By":
                writer = value
            elif key == "Previous" and value.startswith(f"{where} ") and (image, digest) == wanted:
                return writer
    return None


def recorded(messages: Iterable[str], reference: Reference) -> Build:
    """What the newest of these commit messages records of an image, known by name and digest."""
    for message in messages:
        for build in parse_trailers(message):
            if (build.reference.name, build.reference.digest) == (reference.name, reference.digest):
                return build
    return Build(reference)


def parse_time(text: str | None) -> datetime | None:
    """A time in UTC; None for none, and for the epoch that reproducible builds write in place of one."""
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text or ""))
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment if moment.year > 1980 else None
