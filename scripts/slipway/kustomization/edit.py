"""Byte-exact edits of the `images:` entries of a kustomization file.

The YAML parser only tells where things are; the new text is spliced in, and what results is parsed again and
compared with the old tree plus exactly the intended changes. Whatever does not come out equal is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import EditRefused
from slipway.kustomization.images import ImagesFile, Item
from slipway.registry.references import NewRef, Reference, check_name, check_new
from slipway.yaml_tree import NUMBER_LIKE, Node, TreeError, lines_below, parse_tree

_ORDER = ("name", "newName", "newTag", "digest")


@dataclass(frozen=True)
class Change:
    """One entry that was changed, or added when `old` is None."""

    image: str
    line: int
    old: Reference | None
    new: Reference


@dataclass(frozen=True)
class Edit:
    """The new content and what differs; without changes `data` is the very input."""

    data: bytes
    changes: tuple[Change, ...]


def set_images(
    data: bytes, changes: Mapping[str, NewRef], *, path: Path | str = "kustomization.yaml", add: bool = False
) -> Edit:
    """Make the entries of the images in `changes` say exactly that, and change nothing else.

    Raises `EditRefused` (file, line, reason, fix) and changes nothing when any of them cannot be done exactly.
    With `add`, an image without an entry gets one.
    """
    file = _Editor(data, path)
    found = {image: file.find(image, missing_ok=add) for image in changes}
    entries = [id(item) for item in found.values() if item]
    if len(set(entries)) < len(entries):
        raise EditRefused("two of the images given name the same entry", path=path, fix="give it once")
    done = [file.set(image, item, check_new(changes[image])) for image, item in found.items() if item]
    missing = [check_name(image) for image, item in found.items() if item is None]
    done += file.append([(image, check_new(changes[image])) for image in missing])
    result = file.finish()
    after = ImagesFile(result, path)
    for image, item in found.items():
        after.find(item.entry.name if item else image)
    return Edit(result, tuple(change for change in done if change))


def unified(path: Path | str, old: bytes, new: bytes) -> str:
    """What differs, as a unified diff for people."""
    lines = [data.decode("utf-8").splitlines(keepends=True) for data in (old, new)]
    shown = difflib.unified_diff(*lines, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else line + "\n" for line in shown)


class _Editor(ImagesFile):
    """A file with the splices made so far, in characters; the tree is kept as it shall come out."""

    def __init__(self, data: bytes, path: Path | str):
        super().__init__(data, path)
        self.splices: list[tuple[int, int, str]] = []

    def set(self, image: str, item: Item, ref: NewRef) -> Change | None:
        """Splice what `ref` says into the entry; None when it says so already."""
        entry, node = item.entry, item.node
        if node.kind == "alias" or node.shared or self.images.shared or self.images.kind == "alias":
            raise self.refuse(f"the entry of `{image}` is shared through an anchor", node, "write it out")
        if "tagSuffix" in item.values:
            raise self.refuse("`tagSuffix` would change the tag", item.values["tagSuffix"][0], "remove it")
        if entry.digest and ref.digest is None:
            fix = f"give both: {image}=:{ref.tag}@sha256:…"
            raise self.refuse(f"`{image}` is pinned to a digest, which would stay behind", node, fix)
        if entry.tag and ref.tag is None:
            fix = f"give both: {image}=:TAG@{ref.digest}"
            raise self.refuse(f"`{image}` has a tag, which would stay behind", node, fix)
        rename = ref.name if ref.name != (entry.new_name or entry.name) else None
        wanted = {"newName": rename, "newTag": ref.tag, "digest": ref.digest}
        before = len(self.splices)
        for key, value in wanted.items():
            if value is not None and key in item.values:
                self._replace(item.values[key][1], key, value)
        self._insert(item, {k: v for k, v in wanted.items() if v is not None and k not in item.values})
        if len(self.splices) == before:
            return None
        new = Reference(rename or entry.reference.name, ref.tag, ref.digest)
        return Change(image, (item.values.get("newTag") or item.values["name"])[0].line, entry.reference, new)

    def _replace(self, node: Node, key: str, value: str) -> None:
        if node.kind == "alias" or node.shared:
            raise self.refuse(f"`{key}` shares its value through an anchor", node, "write the value out")
        start, end = node.body(self.text)
        if node.style in ("|", ">") or "\n" in self.text[start:end]:
            raise self.refuse(f"`{key}` is a text of several lines", node, f'write it as {key}: "{value}"')
        if node.value == value and not (node.style is None and NUMBER_LIKE.fullmatch(value)):
            return
        quote = node.style or '"'
        gap = " " if start == end and not self.text[:start].endswith(" ") else ""
        self.splices.append((start, end, f"{gap}{quote}{value}{quote}"))
        node.value, node.style = value, quote

    def _insert(self, item: Item, pairs: dict[str, str]) -> None:
        """Put keys that are missing into the entry, each directly after the one that comes before it."""
        for key, value in pairs.items():
            before = [k for k in _ORDER[: _ORDER.index(key)] if k in item.values]
            anchor, old = item.values[before[-1]]
            if old.kind == "alias" or old.style in ("|", ">") or "\n" in self.text[old.start : old.end]:
                raise self.refuse(
                    f"cannot add `{key}` after `{before[-1]}`", old, "write that value on one line"
                )
            if item.node.flow:
                self.splices.append((old.end, old.end, f', {key}: "{value}"'))
            else:
                self._new_lines(old.end, [f'{" " * anchor.column}{key}: "{value}"'])
            index = next(i for i, (k, _) in enumerate(item.node.pairs) if k is anchor) + 1
            while index < len(item.node.pairs) and item.node.pairs[index][0].is_new:
                index += 1
            item.node.pairs.insert(index, (Node.text(key), Node.text(value, '"')))

    def _new_lines(self, position: int, lines: list[str]) -> None:
        """Put whole lines below the line of `position`, with that line's ending."""
        self.splices.append(lines_below(self.text, position, lines))

    def append(self, entries: list[tuple[str, NewRef]]) -> list[Change]:
        """Add entries in the house form at the end of `images:`, which is added as well where it is missing."""
        if not entries:
            return []
        images = self.images
        values = [
            {k: v for k, v in zip(_ORDER, (image, ref.name, ref.tag, ref.digest), strict=True) if v}
            for image, ref in entries
        ]
        if self.root.flow or (images and (images.kind == "alias" or images.shared)):
            raise self.refuse("an entry cannot be added to this layout", images or self.root)
        if images is None:
            position = len(self.text.rstrip("\r\n"))
            self._new_lines(position, ["images:", *_house_lines(values, "  ")])
            self.root.pairs.append((Node.text("images"), images := Node("seq")))
        elif images.flow:
            position = images.items[-1].end if images.items else images.end - 1
            joined = ", ".join("{" + ", ".join(_house_pairs(v)) + "}" for v in values)
            self.splices.append((position, position, (", " if images.items else "") + joined))
        else:
            position, indent = images.end, " " * images.column if images.items else "  "
            self._new_lines(position, _house_lines(values, indent))
            images.kind, images.value = "seq", ""
        for pairs in values:
            nodes = [(Node.text(k), Node.text(v, None if _is_plain(k, v) else '"')) for k, v in pairs.items()]
            images.items.append(Node("map", flow=images.flow, pairs=nodes))
        line = self.text.count("\n", 0, position) + (1 if images.flow else 2)
        return [Change(i, line, None, Reference(r.name or i, r.tag, r.digest)) for i, r in entries]

    def finish(self) -> bytes:
        """The spliced bytes; refuses unless they parse to the old tree with exactly the changes made to it."""
        if not self.splices:
            return self.data
        parts, last = [], 0
        for start, end, new in sorted(self.splices, key=lambda s: s[:2]):
            parts += [self.text[last:start], new]
            last = end
        text = "".join([*parts, self.text[last:]])
        try:
            same = parse_tree(text).shape() == self.root.shape()
        except TreeError:
            same = False
        if not same:
            raise self.refuse("the file's layout does not allow an exact edit", self.images)
        return text.encode("utf-8")


def _house_lines(entries: list[dict[str, str]], indent: str) -> list[str]:
    """The lines of new entries: the name plain, everything else quoted."""
    lines = []
    for values in entries:
        written = _house_pairs(values)
        lines += [f"{indent}- {written[0]}", *(f"{indent}  {text}" for text in written[1:])]
    return lines


def _house_pairs(values: dict[str, str]) -> list[str]:
    return [
        f"{key}: {value}" if _is_plain(key, value) else f'{key}: "{value}"' for key, value in values.items()
    ]


def _is_plain(key: str, value: str) -> bool:
    return key == "name" and not NUMBER_LIKE.fullmatch(value)
