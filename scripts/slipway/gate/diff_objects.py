"""What became of the objects of one application, and of its images, between two renderings. No I/O."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from slipway.gate.overlay import Object

GENERATED = ("ConfigMap", "Secret")
"""Kinds whose names kustomize ends with a hash of their content."""

HIDDEN, HIDDEN_CHANGED = "(hidden)", "(hidden, changed)"
_HASHED = re.compile(r"(.+)-[bcdfghkmt2456789]{10}")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Id = tuple[str, str, str, str]
"""API group, kind, namespace, name."""


@dataclass(frozen=True)
class Change:
    """One object that was added, changed or removed; `was` is its former generated name, empty if it kept it.

    `diff` are the lines of a unified diff of both as YAML, secrets hidden; `file` and `line` are where it comes from.
    """

    change: str
    id: Id
    object: str
    was: str
    file: str
    line: int
    diff: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Such as `Deployment`."""
        return self.id[1]


@dataclass(frozen=True)
class ImageChange:
    """One container image that changes: both references as the Pods get them."""

    old: str
    new: str


@dataclass(frozen=True)
class Compared:
    """Two renderings of one application; `restarts` are workloads that change only by a generated name they read."""

    changes: tuple[Change, ...]
    images: tuple[ImageChange, ...]
    restarts: tuple[str, ...]


def compare_objects(before: Sequence[Object], after: Sequence[Object]) -> Compared:
    """All that differs, sorted: what is generated counts as one object under its changing names."""
    old, new = _by_id(before), _by_id(after)
    renamed = _renamed(old, new)
    names = {here[3]: there[3] for here, there in renamed.items()}
    changes, restarts = [], []
    for here in sorted(set(old) | set(new)):
        if here in new and here not in old and here not in renamed.values():
            changes.append(_change("added", here, None, new[here]))
        elif here in old and here not in new and here not in renamed:
            changes.append(_change("removed", here, old[here], None))
        elif here in old:
            there = renamed.get(here, here)
            one, other = old[here], new[there]
            if one.data == other.data:
                continue
            if (found := _change("changed", there, one, other, names)).diff:
                changes.append(found)
            else:
                restarts.append(other.key)
    return Compared(tuple(changes), _images(old, new), tuple(restarts))


def _by_id(objects: Iterable[Object]) -> dict[Id, Object]:
    found = {}
    for one in objects:
        group = one.api_version.rpartition("/")[0]
        found[(group, one.kind, one.namespace, one.name)] = one
    return found


def _renamed(old: Mapping[Id, Object], new: Mapping[Id, Object]) -> dict[Id, Id]:
    """What is the same generated object under another name."""
    stems: dict[Id, tuple[list[Id], list[Id]]] = {}
    for side, (mine, others) in enumerate(((old, new), (new, old))):
        for here in mine:
            found = _HASHED.fullmatch(here[3])
            if here[1] in GENERATED and found and here not in others:
                stems.setdefault((*here[:3], found[1]), ([], []))[side].append(here)
    return {gone[0]: come[0] for gone, come in stems.values() if len(gone) == len(come) == 1}


def _change(
    change: str, here: Id, old: Object | None, new: Object | None, names: Mapping[str, str] | None = None
) -> Change:
    one = _renaming(old.data, names or {}) if old else None
    other = new.data if new else None
    if here[1] == "Secret":
        one, other = _hidden(one, other)
    lines = difflib.unified_diff(_lines(one), _lines(other), lineterm="", n=3)
    shown = new or old
    was = old.name if old and new and old.name != new.name else ""
    return Change(change, here, shown.key, was, shown.file, shown.line, tuple(lines)[2:])


def _renaming(value: object, names: Mapping[str, str]) -> object:
    """The value with every name of something generated as it is now."""
    if not names:
        return value
    if isinstance(value, dict):
        return {key: _renaming(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renaming(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _hidden(one: dict | None, other: dict | None) -> tuple[dict | None, dict | None]:
    """Both sides of a Secret without what it keeps; what changed is told from what did not."""
    return _without_values(one, None), _without_values(other, one)


def _without_values(secret: dict | None, before: dict | None) -> dict | None:
    if secret is None:
        return None
    shown = dict(secret)
    for field in ("data", "stringData"):
        if isinstance(values := shown.get(field), dict):
            old = before.get(field) if before and isinstance(before.get(field), dict) else values
            shown[field] = {
                key: HIDDEN if key not in old or old[key] == value else HIDDEN_CHANGED
                for key, value in values.items()
            }
        elif field in shown:
            shown[field] = HIDDEN
    metadata = shown.get("metadata")
    if isinstance(metadata, dict) and _LAST_APPLIED in (metadata.get("annotations") or {}):
        annotations = metadata["annotations"] | {_LAST_APPLIED: HIDDEN}
        shown["metadata"] = metadata | {"annotations": annotations}
    return shown


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    def ignore_aliases(self, data: object) -> bool:
        """Every value is written out, so that a change of one place shows in one place."""
        return True


def _lines(data: object) -> list[str]:
    if data is None:
        return []
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text.splitlines()


def _images(old: Mapping[Id, Object], new: Mapping[Id, Object]) -> tuple[ImageChange, ...]:
    """The images that containers of the same name run on both sides, where they differ."""
    found = set()
    for here in set(old) & set(new):
        one, other = _containers(old[here]), _containers(new[here])
        for name in set(one) & set(other):
            if one[name] != other[name]:
                found.add(ImageChange(one[name], other[name]))
    return tuple(sorted(found, key=lambda change: (change.new, change.old)))


def _containers(one: Object) -> dict[str, str]:
    every = [*one.init_containers, *one.containers]
    return {str(c.get("name")): str(c["image"]) for c in every if c.get("image")}
