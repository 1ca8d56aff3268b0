"""Whether what a change removes may go: the environment's prune budget, and what holds data. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slipway.gate.diff_objects import Change

if TYPE_CHECKING:
    from slipway.gate.diff_result import EnvironmentDiff

PROTECTED = (
    "Application",
    "ApplicationSet",
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "StatefulSet",
)
"""Kinds whose removal takes data, or everything that stands on them, along."""

LABEL = "slipway/prune-approved"
"""The label by which a pull request may remove more."""


def refusals(environment: EnvironmentDiff, removed: Sequence[Change]) -> list[str]:
    """Why these removals block: what holds data, and more than the environment's share of its objects."""
    where = environment.title
    found = [f"{where}: {one.object} would be removed" for one in removed if one.kind in PROTECTED]
    share = 100 * len(removed) / environment.total if environment.total else 0
    if removed and share > environment.budget:
        objects = f"{len(removed)} of {environment.total} objects ({share:.3g} %)"
        found.append(f"{where}: {objects} would be removed; its prune budget is {environment.budget:g} %")
    return found
