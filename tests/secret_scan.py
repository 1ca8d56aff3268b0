"""Looks for things that look like secrets: the detectors of detect-secrets over lines from anywhere."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import BasePlugin

ALLOWED = Path(__file__).parent / "secrets_allowed.yaml"
PUBLIC = ("IPPublicDetector",)
"""Detectors of what is no secret."""
ENTROPY = ("Base64HighEntropyString", "HexHighEntropyString")
"""Detectors of what looks random, as every digest and id in a log does."""
LONGEST = 8_000
"""A longer line is looked at in pieces, which overlap by what a token may be long."""
OVERLAP = 500

Lines = Iterable[tuple[str, str]]
"""Where a line is, and the line."""


@dataclass(frozen=True)
class Finding:
    """Something that looks like a secret."""

    detector: str
    where: str
    value: str

    def __str__(self) -> str:
        """Without the value: a failing test must not print it."""
        return f"{self.detector} in {self.where}: {self.value[:3]}…, {len(self.value)} characters"


@dataclass(frozen=True)
class Allowed:
    """What looks like a secret and is none."""

    detector: str
    paths: tuple[str, ...]
    values: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether this is about the finding."""
        return (
            finding.detector == self.detector
            and any(fnmatchcase(finding.where, path) for path in self.paths)
            and re.fullmatch(self.values, finding.value) is not None
        )


@cache
def allowed(part: str) -> tuple[Allowed, ...]:
    """The entries of the allow-list for one part of what is looked at."""
    entries = yaml.safe_load(ALLOWED.read_text())[part]
    return tuple(
        Allowed(one["detector"], tuple(one["paths"]), one["values"], one["reason"]) for one in entries
    )


def unexplained(findings: Sequence[Finding], entries: Sequence[Allowed]) -> list[str]:
    """The findings that no entry is about."""
    return [str(finding) for finding in findings if not any(entry.covers(finding) for entry in entries)]


def unused(findings: Sequence[Finding], entries: Sequence[Allowed]) -> list[str]:
    """The entries that are about nothing that was found."""
    return [entry.reason for entry in entries if not any(entry.covers(finding) for finding in findings)]


@cache
def detectors() -> tuple[BasePlugin, ...]:
    """Every detector of the library, with its own limits."""
    classes = {kind for kind in get_mapping_from_secret_type_to_class().values()}
    return tuple(kind() for kind in sorted(classes, key=lambda k: k.__name__) if kind.__name__ not in PUBLIC)


def scan(lines: Lines, *, entropy: bool = True) -> list[Finding]:
    """What looks like a secret; a line that comes again is looked at where it came first.

    Without `entropy` what only looks random is passed over.
    """
    chosen = [one for one in detectors() if entropy or type(one).__name__ not in ENTROPY]
    first: dict[str, str] = {}
    for where, line in lines:
        first.setdefault(line.strip(), where)
    found = {
        Finding(type(detector).__name__, where, secret.secret_value or "")
        for line, where in first.items()
        for piece in _pieces(line)
        for detector in chosen
        for secret in detector.analyze_line(filename="lines", line=piece, line_number=1)
    }
    return sorted(found, key=lambda one: (one.where, one.detector, one.value))


def _pieces(line: str) -> Iterator[str]:
    for start in range(0, max(len(line), 1), LONGEST):
        yield line[max(start - OVERLAP, 0) : start + LONGEST]


# Where lines come from


def text_lines(where: str, data: bytes) -> Iterator[tuple[str, str]]:
    """The lines of a file, none if it is not text."""
    if b"\0" not in data[:8_000]:
        for line in data.decode(errors="replace").splitlines():
            yield where, line


def history(repository: Path) -> Iterator[tuple[str, str]]:
    """Every line of every file, message and name that any branch or tag reaches."""
    git = ["git", "-C", str(repository)]
    listed = subprocess.run([*git, "rev-list", "--objects", "--all"], capture_output=True, check=True).stdout
    paths = dict(line.partition(" ")[::2] for line in listed.decode(errors="replace").splitlines())
    objects = subprocess.run(
        [*git, "cat-file", "--batch"],
        input="\n".join(paths).encode() + b"\n",
        capture_output=True,
        check=True,
    )
    stream = io.BytesIO(objects.stdout)
    for _ in paths:
        name, kind, size = stream.readline().decode().split()
        data = stream.read(int(size))
        stream.read(1)
        if kind != "tree":
            yield from text_lines(paths[name] or f"{kind} {name}", data)


def strings(where: str, data: object) -> Iterator[tuple[str, str]]:
    """Every text in a JSON document, with the key that it stands under."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from strings(f"{where} {key}", value)
            if isinstance(value, str):
                yield where, assignment(key, value)
    elif isinstance(data, list):
        for value in data:
            yield from strings(where, value)
    elif isinstance(data, str):
        for line in data.splitlines():
            yield from setting(where, line)


def setting(where: str, text: str) -> Iterator[tuple[str, str]]:
    """A text, and if it is `NAME=value` or `--name=value`, once more as the detectors know assignments."""
    yield where, text
    if match := re.fullmatch(r"-*([\w.-]+)=(.+)", text):
        yield where, assignment(match[1], match[2])


def assignment(name: str, value: str) -> str:
    """As the detectors take it in any file."""
    return f'{name} = "{value}"'


def layer(where: str, tar: Path, skipped: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Every line of the text files of an image's layer, but for paths with one of the parts `skipped`."""
    with tarfile.open(tar) as archive:
        for member in archive:
            if member.isfile() and not any(part in f"/{member.name}" for part in skipped):
                file = archive.extractfile(member)
                yield from text_lines(f"{where} {member.name}", file.read() if file else b"")


def config(where: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Every text of an image's configuration: environment, command, labels, history."""
    yield from strings(where, json.loads(data))


def arguments(commands: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each argument of processes, given as in /proc, and each with the next, as `--password` and its value are."""
    for command in commands:
        words = command.rstrip("\0").split("\0")
        for word, following in zip(words, [*words[1:], ""], strict=True):
            yield from setting(words[0], word)
            yield words[0], assignment(word.lstrip("-"), following)
