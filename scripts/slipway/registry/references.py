"""Image references: what a name, a tag and a digest may look like, and how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slipway.errors import InvalidInput

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

NOTHING = "sha256:" + "0" * 64
"""The digest that an overlay names until an image was delivered to it; no image has it."""

_FORM = "NAME:TAG, NAME@sha256:…, or NAME:TAG@sha256:…"


@dataclass(frozen=True)
class Reference:
    """An image's name with a tag, a digest, or both; without either it names only the repository."""

    name: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def short(self) -> str:
        """The last part of the name, for subjects and tables."""
        return self.name.rpartition("/")[2]

    @property
    def registry(self) -> str:
        """The registry's host (with port); `docker.io` when the name has none."""
        host, slash, _ = self.name.partition("/")
        return host if slash and (set(host) & set(".:") or host == "localhost") else "docker.io"

    @property
    def repository(self) -> str:
        """The path inside the registry."""
        if self.name.startswith(self.registry + "/"):
            return self.name[len(self.registry) + 1 :]
        return self.name if "/" in self.name else f"library/{self.name}"


@dataclass(frozen=True)
class NewRef:
    """What an `images:` entry shall say: tag, digest, or both, and a new name where the image moves."""

    tag: str | None = None
    digest: str | None = None
    name: str | None = None


def check_name(name: str) -> str:
    """`name` itself; raises `InvalidInput` when it is no image name."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not an image name", fix="write registry/path without tag, in lower case"
        )
    return name


def check_tag(tag: str) -> str:
    """`tag` itself; raises `InvalidInput` when no registry would accept it."""
    if not _TAG.fullmatch(tag):
        raise InvalidInput(
            f"{tag!r} is not a tag", fix="use 1 to 128 of A-Z a-z 0-9 _ . - and begin with none of . -"
        )
    return tag


def check_digest(digest: str) -> str:
    """`digest` itself; raises `InvalidInput` when it is not a whole SHA-256 digest."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest!r} is not a digest", fix="use sha256: and 64 lower-case hex digits")
    return digest


def check_new(ref: NewRef) -> NewRef:
    """`ref` itself; raises `InvalidInput` when a part of it is malformed or neither tag nor digest is given."""
    if ref.tag is None and ref.digest is None:
        raise InvalidInput("neither tag nor digest given", fix="give a tag, best with its digest")
    for value, check in ((ref.tag, check_tag), (ref.digest, check_digest), (ref.name, check_name)):
        if value is not None:
            check(value)
    return ref


def parse(text: str) -> Reference:
    """The reference that `text` writes, such as `host:5000/team/app:v1@sha256:…`."""
    name, new = _split(text)
    return Reference(check_name(name), new.tag, new.digest)


def parse_assignment(text: str) -> tuple[str, NewRef]:
    """`IMAGE=[NAME]:TAG[@DIGEST]` as the image and what its entry shall say; at least tag or digest is given."""
    image, equals, rest = text.partition("=")
    if not equals:
        raise InvalidInput(f"{text!r} has no `=`", fix=f"write IMAGE=REF where REF is {_FORM}")
    name, new = _split(rest)
    if new.tag is None and new.digest is None:
        raise InvalidInput(
            f"{text!r} gives neither tag nor digest", fix=f"write IMAGE=REF where REF is {_FORM}"
        )
    return check_name(image), NewRef(new.tag, new.digest, check_name(name) if name else None)


def _split(text: str) -> tuple[str, NewRef]:
    rest, at, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    return head + slash + last, NewRef(
        check_tag(tag) if colon else None, check_digest(digest) if at else None
    )


def pin(reference: Reference | None) -> str:
    """Tag and digest as people read them, such as `v1@sha256:…`."""
    if reference is None:
        return "none"
    return (reference.tag or "") + (f"@{reference.digest}" if reference.digest else "") or "none"
