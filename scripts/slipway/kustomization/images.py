"""The `images:` entries of a kustomization file, read strictly: what kustomize would take otherwise is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import EditRefused
from slipway.registry.references import Reference
from slipway.yaml_tree import Node, TreeError, parse_tree

_KEYS = {"name", "newName", "newTag", "digest", "tagSuffix"}
_SPELLING = {key.lower(): key for key in _KEYS}
_METACHARACTERS = set("*+?()[]{}|^$\\")


@dataclass(frozen=True)
class Entry:
    """One entry of `images:` as it stands in the file; `line` counts from 1."""

    name: str
    new_name: str | None
    tag: str | None
    digest: str | None
    line: int

    @property
    def reference(self) -> Reference:
        """What the entry makes of an image that it matches."""
        return Reference(self.new_name or self.name, self.tag, self.digest)


def read_images(data: bytes, *, path: Path | str = "kustomization.yaml") -> list[Entry]:
    """The file's entries in order; raises `EditRefused` for what could not be edited exactly anyway."""
    return [item.entry for item in ImagesFile(data, path).items]


def matches(entry: Entry, image: str) -> bool:
    """Whether the entry is the one to edit for `image`, by its name or by the name it gives."""
    return image in (entry.name, entry.new_name)


@dataclass
class Item:
    """An entry with the nodes it was read from."""

    entry: Entry
    node: Node
    values: dict[str, tuple[Node, Node]]


class ImagesFile:
    """One kustomization file: its text, its tree, and the entries of `images:` with their nodes."""

    def __init__(self, data: bytes, path: Path | str):
        self.data, self.path = data, path
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise EditRefused("the file is not UTF-8", path=path, fix="save it as UTF-8") from exc
        try:
            self.root = parse_tree(self.text)
        except TreeError as exc:
            raise EditRefused(f"not editable: {exc.reason}", path=path, line=exc.line, fix=exc.fix) from exc
        if self.root.kind != "map":
            raise self.refuse("the file is not a mapping", self.root)
        self.images = self._keys(self.root, {"images": "images"}).get("images", (None, None))[1]
        self.items = [self._item(node) for node in self._sequence()]

    def refuse(self, reason: str, node: Node | None, fix: str = "edit this file by hand") -> EditRefused:
        """The error to raise for what stands at `node`."""
        return EditRefused(reason, path=self.path, line=node.line if node else None, fix=fix)

    def _keys(self, node: Node, spelling: Mapping[str, str]) -> dict[str, tuple[Node, Node]]:
        """The pairs of a mapping by key; refuses duplicates in any case, merge keys and other spellings."""
        pairs: dict[str, tuple[Node, Node]] = {}
        seen: set[str] = set()
        for key, value in node.pairs:
            name = key.deref.value if key.deref.kind == "scalar" else None
            if name is None or name == "<<":
                raise self.refuse("a merge key or a key that is no text", key, "write the keys out")
            if name.lower() in seen:
                raise self.refuse(f"the key `{name}` is there twice", key, "keep one of them")
            if spelling.get(name.lower(), name) != name:
                raise self.refuse(
                    f"the key `{name}` is read as `{spelling[name.lower()]}`", key, "correct its spelling"
                )
            seen.add(name.lower())
            pairs[name] = (key, value)
        return pairs

    def _sequence(self) -> list[Node]:
        images = self.images
        if images is None or images.is_null:
            return []
        if images.kind != "seq":
            raise self.refuse("`images:` is not a plain list", images)
        return images.items

    def _item(self, node: Node) -> Item:
        target = node.deref
        if target.kind != "map":
            raise self.refuse("an entry of `images:` is not a mapping", node)
        values = self._keys(target, _SPELLING)
        texts: dict[str, str | None] = {}
        for key in _KEYS & set(values):
            value = values[key][1]
            if value.deref.kind != "scalar":
                raise self.refuse(f"`{key}` is not a text", value)
            texts[key] = None if value.deref.is_null else value.deref.value
        name = texts.get("name")
        if not name:
            raise self.refuse("an entry of `images:` has no name", node)
        if set(name) & _METACHARACTERS:
            reason = f"the name `{name}` is a pattern: kustomize reads names as regular expressions"
            raise self.refuse(reason, values["name"][1], "write the image's whole name")
        entry = Entry(name, texts.get("newName"), texts.get("newTag"), texts.get("digest"), node.line)
        return Item(entry, node, values)

    def find(self, image: str, *, missing_ok: bool = False) -> Item | None:
        """The one entry for `image`; None when it has none and that is allowed."""
        hits = [item for item in self.items if matches(item.entry, image)]
        if not hits and missing_ok:
            return None
        if not hits:
            known = ", ".join(item.entry.name for item in self.items) or "none"
            reason = f"no entry for `{image}` (entries: {known})"
            raise self.refuse(reason, self.images, "correct the name, or use --add")
        one = "keep one entry per image"
        if len(hits) > 1:
            raise self.refuse(f"several entries match `{image}`", hits[1].node, one)
        for other in self.items:
            if other is not hits[0] and _touches(other.entry, hits[0].entry):
                names = f"`{hits[0].entry.name}` and `{other.entry.name}`"
                raise self.refuse(f"the entries {names} act on one another", other.node, one)
        return hits[0]


def _touches(one: Entry, other: Entry) -> bool:
    """Whether two entries act on one another's image, read as kustomize does: a dot stands for any character."""

    def hits(pattern: str, name: str | None) -> bool:
        if name is None or len(name) != len(pattern):
            return False
        return name == pattern or all(p in (c, ".") for p, c in zip(pattern, name, strict=True))

    return any(hits(a.name, n) for a, b in ((one, other), (other, one)) for n in (b.name, b.new_name))
