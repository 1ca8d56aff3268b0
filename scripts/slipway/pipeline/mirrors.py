"""Which registry answers for an image name: the one in the name, or a mirror of it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from slipway.errors import InvalidInput

VARIABLE = "SLIPWAY_REGISTRY_MIRRORS"


@dataclass(frozen=True)
class Place:
    """Where an image really is: the registry's base URL and the repository in it."""

    url: str
    repository: str

    @property
    def plain(self) -> bool:
        """Whether it is reached without TLS, which only a mirror given with http:// is."""
        return self.url.startswith("http://")

    def reference(self, digest: str) -> str:
        """The reference that signing tools take: `host:port/repository@digest`."""
        return f"{urlsplit(self.url).netloc}/{self.repository}@{digest}"


def parse(text: str) -> dict[str, str]:
    """`host=url,host=url` as a dictionary; refuses anything else."""
    mirrors = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        host, equals, url = pair.partition("=")
        if (
            not equals
            or "/" in host
            or urlsplit(url).scheme not in ("http", "https")
            or not urlsplit(url).netloc
        ):
            raise InvalidInput(
                f"{VARIABLE} has {pair!r}", fix="write host=http://mirror:port, several with commas"
            )
        mirrors[host] = url.rstrip("/")
    return mirrors


def place(image: str, env: Mapping[str, str]) -> Place:
    """Where `image` (a name without tag) is found, mirrors taken into account."""
    host, _, repository = image.partition("/")
    return Place(parse(env.get(VARIABLE, "")).get(host, f"https://{host}"), repository)
