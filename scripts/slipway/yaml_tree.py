"""A YAML file as a tree of nodes that know where they stand in the text, aliases kept as aliases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:\s+|$))*")
_NULLS = ("", "~", "null", "Null", "NULL")


class TreeError(Exception):
    """The text is not one YAML document; `reason`, `line` (from 1) and `fix` say why."""

    def __init__(self, reason: str, line: int | None = None, fix: str = "make it one valid YAML document"):
        super().__init__(reason)
        self.reason, self.line, self.fix = reason, line, fix


@dataclass
class Node:
    """A scalar, seq, map or alias; positions in characters, `line` from 1, `column` from 0."""

    kind: str
    value: str = ""
    style: str | None = None
    properties: tuple[str | None, str | None] = (None, None)
    flow: bool = False
    shared: bool = False
    start: int = -1
    end: int = -1
    line: int = 0
    column: int = 0
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    target: Node | None = None

    @classmethod
    def text(cls, value: str, style: str | None = None) -> Node:
        """A scalar that is not in the text yet."""
        return cls("scalar", value, style)

    @property
    def deref(self) -> Node:
        """The node itself, or the one that an alias stands for."""
        return self.target if self.target else self

    @property
    def is_null(self) -> bool:
        """Whether this is a scalar that every YAML dialect reads as nothing."""
        return self.kind == "scalar" and self.style is None and self.value in _NULLS

    @property
    def is_new(self) -> bool:
        """Whether the node was made here and is not in the text yet."""
        return self.start < 0

    def body(self, text: str) -> tuple[int, int]:
        """Where the scalar itself stands, without its anchor and tag."""
        return self.start + _PROPERTIES.match(text[self.start : self.end]).end(), self.end

    def shape(self) -> object:
        """What two trees must agree on to mean the same and be written the same way."""
        inner = [n.shape() for n in self.items] + [(k.shape(), v.shape()) for k, v in self.pairs]
        return (self.kind, self.value, self.style, self.properties, self.flow, inner)


def parse_tree(text: str) -> Node:
    """The only document in `text`; raises `TreeError` when it is not valid or not the only one."""
    offset = len(text) - len(text.removeprefix("\ufeff"))
    try:
        events = list(yaml.parse(text[offset:], Loader=_Loader))
        starts = [e for e in events if isinstance(e, yaml.DocumentStartEvent)]
        if len(starts) != 1:
            line = starts[1].start_mark.line + 1 if starts else 1
            raise TreeError("more than one document" if starts else "an empty file", line)
        begin = events.index(starts[0]) + 1
        return _build(iter(events[begin:]), {}, offset)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        reason = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise TreeError(f"not valid YAML: {reason}", mark.line + 1 if mark else None) from exc
    except RecursionError as exc:
        raise TreeError("nested too deeply") from exc


def _build(events: Iterator, anchors: dict[str, Node], offset: int) -> Node:
    """The node that begins with the next event; one of kind `end` where a collection ends."""
    event = next(events)
    mark = event.start_mark
    where = {"start": mark.index + offset, "end": event.end_mark.index + offset, "line": mark.line + 1}
    where["column"] = mark.column
    if isinstance(event, yaml.CollectionEndEvent):
        return Node("end", **where)
    if isinstance(event, yaml.AliasEvent):
        target = anchors.get(event.anchor)
        if target is None:
            raise TreeError(f"the alias `*{event.anchor}` has no anchor", mark.line + 1)
        target.shared = True
        return Node("alias", event.anchor, target=target, **where)
    node = Node("scalar", properties=(event.anchor, event.tag), **where)
    if event.anchor:
        anchors[event.anchor] = node
    if isinstance(event, yaml.ScalarEvent):
        node.value = event.value
        node.style = event.style if event.style in ("'", '"', "|", ">") else None
        return node
    node.flow = bool(event.flow_style)
    node.kind = "seq" if isinstance(event, yaml.SequenceStartEvent) else "map"
    while (child := _build(events, anchors, offset)).kind != "end":
        if node.kind == "seq":
            node.items.append(child)
        else:
            node.pairs.append((child, _build(events, anchors, offset)))
    inner = [n.end for n in node.items] + [v.end for _, v in node.pairs]
    node.end = child.end if node.flow else max([node.end, *inner])
    return node


def plain_data(node: Node) -> object:
    """A tree as lists, dictionaries, texts and None, for models that know their own types.

    Raises `TreeError` for duplicate keys, merge keys and aliases, which readers take in different ways.
    """
    if node.kind == "alias":
        raise TreeError("an alias", node.line, "write the value out")
    if node.kind == "seq":
        return [plain_data(item) for item in node.items]
    if node.kind == "scalar":
        return None if node.is_null else node.value
    data: dict[str, object] = {}
    for key, value in node.pairs:
        if key.kind != "scalar" or key.value in ("<<", *data):
            raise TreeError(
                f"the key `{key.value}` twice, or none to use here", key.line, "keep one plain key"
            )
        data[key.value] = plain_data(value)
    return data


def line_of(node: Node, location: Iterable[str | int]) -> int:
    """The line of the value at a path of keys and indexes, or of the nearest thing above it."""
    for step in location:
        pairs = {key.value: value for key, value in node.pairs}
        if node.kind == "seq" and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        elif step in pairs:
            node = pairs[step]
    return node.line
