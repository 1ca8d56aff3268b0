"""What kustomize would fetch from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.gate.overlay import Source
from slipway.rules._facts import mapping

_LISTS = (
    "resources",
    "bases",
    "components",
    "generators",
    "transformers",
    "validators",
    "crds",
    "configurations",
)
_REMOTE = re.compile(r"[a-z+]+://|git@|git::|(?:github\.com|gitlab\.com|bitbucket\.org)[/:]", re.IGNORECASE)
_PINNED = re.compile(r"[?&](?:ref|version)=(?:v?\d+\.\d+\.\d+[\w.+-]*|[0-9a-f]{40})(?:&|$)")


def remotes(source: Source) -> Iterator[tuple[str, int, str]]:
    """List, index and text of every entry of a kustomization that lies elsewhere."""
    document = mapping(source.data[0]) if source.data else {}
    for name in _LISTS:
        listed = document.get(name)
        for index, entry in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(entry, str) and _REMOTE.match(entry):
                yield name, index, entry


def pinned(entry: str) -> bool:
    """Whether the entry names a release or a whole commit."""
    return bool(_PINNED.search(entry))
