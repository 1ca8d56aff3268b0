"""A YAML file as a tree of nodes that know where they stand in the text, aliases kept as aliases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:\s+|$))*")
_BRACKETS = re.compile(r"[\[\]{}]")
_DASHES = re.compile(r"(?:[-?] +){500}")
DEEPEST = 500
"""Levels of nesting that are read."""
HEAVIEST = 200_000
"""Values of a file that are read."""
_NULLS = ("", "~", "null", "Null", "NULL")
NUMBER_LIKE = re.compile(
    r"(?i)[-+]?(0x[0-9a-f_]+|0o?[0-7_]+|0b[01_]+|[0-9][0-9_]*(\.[0-9_]*)?(e[-+]?[0-9_]*)?|[0-9_:]+)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|y|n|yes|no|on|off|true|false|null|nan|inf|_+[0-9_]+"
)
"""Plain scalars that one YAML dialect or another does not read as text."""
_ESCAPED = re.compile('[^ -~\u00a0-\u2027\u202a-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|["\\\\]')
"""What a double-quoted text cannot hold as it is."""


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


def too_deep(text: str) -> bool:
    """Whether a parser might go down so far that it takes minutes or dies; errs towards yes for strange texts."""
    if _DASHES.search(text):
        return True
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEEPEST:
            return True
    return False


def load_documents(text: str) -> list:
    """Every document as plain data, with YAML's usual types; raises `TreeError` for what is no YAML or no honest one."""
    if too_deep(text):
        raise TreeError("nested too deeply")
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise TreeError(f"not valid YAML: {exc}", mark.line + 1 if mark else None) from exc
    except (RecursionError, ValueError) as exc:
        raise TreeError(f"not valid YAML: {exc}") from exc
    if _weight(documents, {}) > HEAVIEST:
        raise TreeError(f"it stands for more than {HEAVIEST} values", fix="write the values out")
    return documents


def _weight(value: object, known: dict[int, int]) -> int:
    """How many values there are when every alias is written out, counted up to `HEAVIEST`."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = HEAVIEST + 1  # what contains itself has no end
        weight = 1
        for child in [*value, *value.values()] if isinstance(value, dict) else value:
            weight += _weight(child, known)
            if weight > HEAVIEST:
                break
        known[id(value)] = weight
    return known[id(value)]


def parse_tree(text: str) -> Node:
    """The only document in `text`; raises `TreeError` when it is not valid or not the only one."""
    if too_deep(text):
        raise TreeError("nested too deeply")
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


def lines_below(text: str, position: int, lines: list[str]) -> tuple[int, int, str]:
    """The splice (start, end, new text) that puts whole lines below the line of `position`, with that line's ending."""
    if position and text[position - 1] in "\r\n":  # a block text ends where the next line begins
        position -= 2 if text[position - 2 : position] == "\r\n" else 1
    rest = re.compile(r"[^\r\n]*(\r\n|\n|\r)?").match(text, position)
    ending = rest[1] or next(iter(re.findall(r"\r\n|\n", text)), "\n")
    block = "".join(line + ending for line in lines) if rest[1] else "".join(ending + line for line in lines)
    return rest.end(), rest.end(), block


def quoted(value: str) -> str:
    """A text in double quotes on one line, whatever it holds."""
    return '"' + _ESCAPED.sub(_escape, value) + '"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in '"\\':
        return "\\" + character
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or f"\\U{ord(character):08x}"
