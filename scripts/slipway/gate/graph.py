"""What depends on what: from an overlay to everything that it reaches, and from a change to the overlays. No I/O.

Kustomize says what it read and what it looked for in vain while it rendered; both decide the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Identity = Callable[[str], str]
"""Path to what stands for its content, empty where there is nothing."""


@dataclass(frozen=True)
class Reach:
    """What an overlay reaches: the files it read, and the paths it looked for in vain."""

    files: tuple[str, ...]
    absent: tuple[str, ...] = ()

    def fingerprint(self, salt: str, identity: Identity) -> str:
        """Equal where the overlay would render to the same, for the same `salt` (tools and rules)."""
        parts = [salt, self.dump(), *map(identity, self.files), *map(identity, self.absent)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def dump(self) -> str:
        """As text, for `load`."""
        return "\n".join(self.files) + "\n\n" + "\n".join(self.absent)

    @classmethod
    def load(cls, text: str) -> Reach:
        """From the text of `dump`."""
        files, _, absent = text.partition("\n\n")
        return cls(tuple(files.split("\n")), tuple(absent.split("\n")) if absent else ())


@dataclass
class Graph:
    """The reach of every overlay, and its inverse."""

    reaches: dict[str, Reach] = field(default_factory=dict)

    def add(self, overlay: str, reach: Reach) -> None:
        """Set what an overlay reaches."""
        self.reaches[overlay] = reach

    def reached_by(self, changed: Iterable[str]) -> list[str]:
        """The overlays that a change of these files reaches, sorted: read before or now, added or removed."""
        wanted = set(changed)
        return sorted(
            overlay
            for overlay, reach in self.reaches.items()
            if not wanted.isdisjoint(reach.files) or not wanted.isdisjoint(reach.absent)
        )

    def below(self, folders: Sequence[str]) -> list[str]:
        """The overlays that read something at or below these paths, or lie there themselves, sorted."""
        prefixes = tuple(f"{folder}/" if folder else "" for folder in folders)
        exact = set(folders)
        return sorted(
            overlay
            for overlay, reach in self.reaches.items()
            if overlay in exact
            or overlay.startswith(prefixes)
            or any(file in exact or file.startswith(prefixes) for file in reach.files)
        )

    def readers(self) -> Mapping[str, list[str]]:
        """File to the overlays that read it."""
        found: dict[str, list[str]] = {}
        for overlay in sorted(self.reaches):
            for file in self.reaches[overlay].files:
                found.setdefault(file, []).append(overlay)
        return found
