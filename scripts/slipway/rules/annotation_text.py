"""Fact 1.7: an annotation or label whose value is a bare number or truth value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import yaml

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule

_BLOCK = re.compile(
    r"^( *(?:- +)?)(annotations|labels|commonAnnotations|commonLabels|pairs|matchLabels) *:[ \t]*(.*)$"
)
_LINE = re.compile(r"^( *)([^\s#'\"][^:]*|'[^']*'|\"[^\"]*\") *: +([^\s'\"|>&*!#][^#]*?)\s*(?:#.*)?$")
_RESOLVER = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every such value in the files that the overlay reaches."""
    for source in overlay.sources.values():
        for line, key, value in _bare(source.text):
            yield RULE.at(
                source,
                line,
                f"the value of {key} is written as {value}, which is no text",
                f'write "{value}"',
            )


@lru_cache(maxsize=4096)
def _bare(text: str) -> tuple[tuple[int, str, str], ...]:
    """Line, key and value of every bare value; found once for a file that many overlays reach."""
    return tuple(_scan(text))


def _scan(text: str) -> Iterator[tuple[int, str, str]]:
    """The lines below `annotations:` and the like, by indentation: cheaper by far than a parse."""
    inside: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.lstrip(" ")
        if not bare or bare[0] == "#":
            continue
        indent = len(line) - len(bare)
        if inside is not None and indent > inside and not bare.startswith("- "):
            if (found := _LINE.match(line)) and _not_text(found[3]):
                yield number, found[2].strip("'\""), found[3]
            continue
        inside = None
        if found := _BLOCK.match(line):
            if found[3] and found[3][0] == "{":
                yield from ((number, key, value) for key, value in _flow(found[3]))
            elif not found[3] or found[3][0] == "#":
                inside = len(found[1])


def _flow(text: str) -> Iterator[tuple[str, str]]:
    for pair in text.strip("{} ").split(","):
        key, _, value = pair.partition(":")
        if value.strip() and value.strip()[0] not in "'\"" and _not_text(value.strip()):
            yield key.strip(), value.strip()


def _not_text(value: str) -> bool:
    return _RESOLVER.resolve(yaml.ScalarNode, value, (True, False)) != _TEXT


RULE = Rule(
    id="annotation-text",
    why="Kustomize quotes it, the API server and every other reader of the same file refuse it.",
    fix="put the value into quotes",
    link="https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/",
    check=check,
)
