"""Traps A17 and A18: a key that stands twice in one mapping of a kustomization, in whatever case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay, Source
from slipway.rules import Rule
from slipway.yaml_tree import Node, TreeError, parse_tree

_KEY = re.compile(r"^( *)((?:- +)*)([\w./-]+) *:(?= |$)", re.MULTILINE)
_UNUSUAL = re.compile(r"[{?&*]|^[ -]*[\"'<]", re.MULTILINE)


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every second key, in the kustomizations that the overlay reaches."""
    for source in overlay.kustomizations:
        if _suspicious(source.text):
            for key in _duplicates(source):
                yield RULE.at(source, key.line, f"the key `{key.value}` stands twice in one mapping")


@lru_cache(maxsize=1024)
def _suspicious(text: str) -> bool:
    """Whether a key may stand twice: cheap, never wrong when it says no."""
    if _UNUSUAL.search(text):
        return True
    open_: dict[int, set[str]] = {}
    for indent, dashes, name in _KEY.findall(text):
        column = len(indent) + len(dashes)
        for deeper in [known for known in open_ if known > column or (dashes and known > len(indent))]:
            del open_[deeper]
        keys = open_.setdefault(column, set())
        if name.lower() in keys:
            return True
        keys.add(name.lower())
    return False


def _duplicates(source: Source) -> Iterator[Node]:
    try:
        pending = [source.tree or parse_tree(source.text)]
    except TreeError:
        return
    while pending:
        node = pending.pop()
        seen: set[str] = set()
        for key, value in node.pairs:
            if key.value.lower() in seen:
                yield key
            seen.add(key.value.lower())
            pending.append(value)
        pending += node.items


RULE = Rule(
    id="duplicate-key",
    why="Kustomize takes one of the two without a word, and which one differs between its readers.",
    fix="keep one of them",
    link="https://yaml.org/spec/1.2.2/#3213-node-comparison",
    check=check,
)
