"""What a bump is asked to do; small, so that Git can be asked before the rest is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.registry.references import NewRef, Reference
from slipway.writing.lineage import Build

if TYPE_CHECKING:
    from slipway.kustomization.images import Entry

FILE = "kustomization.yaml"


@dataclass(frozen=True)
class Wanted:
    """One image to bring: its name in Git, what its entry shall say, and what the caller knows of the build."""

    image: str
    new: NewRef
    known: Build

    def reference(self, entry: Entry | None) -> Reference:
        """What to ask the registry for, given the entry that it is to go into."""
        name = self.new.name or (entry.reference.name if entry else self.image)
        return Reference(name, self.new.tag, self.new.digest)


@dataclass(frozen=True)
class Order:
    """What was asked for; `app` limits it to one application, `allow_older` says why an older build may land.

    `writer` is the automation that asks, None for a person.
    """

    wanted: tuple[Wanted, ...]
    environments: tuple[str, ...]
    app: str | None = None
    add: bool = False
    allow_older: str | None = None
    writer: str | None = None

    @property
    def paths(self) -> list[str]:
        """The files that will be read in any case."""
        overlays = [f"overlays/{env}/{self.app}/{FILE}" for env in self.environments] if self.app else []
        return [*map(policy_path, self.environments), *overlays]


def policy_path(environment: str) -> str:
    """Where an environment's policy is."""
    return f"overlays/{environment}/environment.yaml"
