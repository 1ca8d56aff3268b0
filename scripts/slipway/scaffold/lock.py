"""A lock file made from a larger one: the requirements wanted and all that they need, with the same hashes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from slipway.errors import EditRefused

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Pin:
    """One requirement of a lock file: its lines without comments, and which requirements brought it."""

    name: str
    lines: tuple[str, ...]
    via: frozenset[str]


def normal(name: str) -> str:
    """The one form of a distribution's name that lock files use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(text: str) -> dict[str, Pin]:
    """The requirements of a lock file with hashes, by name in normal form."""
    pins: dict[str, Pin] = {}
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        found = _PIN.match(block)
        if not found:
            continue
        lines = block.splitlines()
        comments = [line.strip().lstrip("#").strip() for line in lines if line.strip().startswith("#")]
        words = [comment.removeprefix("via").strip() for comment in comments]
        name = normal(found[1])
        kept = tuple(line for line in lines if line.strip() and not line.strip().startswith("#"))
        pins[name] = Pin(name, kept, frozenset(normal(w) for w in words if re.fullmatch(r"[\w.-]+", w)))
    return pins


def subset(lock: str, requirements: str, file: str, *, path: str = "requirements.lock") -> str:
    """The lock file of `requirements` (the text of `file`, a requirements.in) out of a larger one.

    Raises `EditRefused` where that has none of a name.
    """
    pins = parse(lock)
    wanted = {normal(_REQUIREMENT.match(line)[1]) for line in requirements.splitlines() if line.strip()}
    if missing := sorted(wanted - pins.keys()):
        fix = "add it to an application's requirements.in and run `make lock`"
        raise EditRefused(f"no version of {', '.join(missing)} is locked", path=path, fix=fix)
    needed = _closure(pins, wanted)
    return "".join(
        _block(pins[name], needed, file if name in wanted else None, path) for name in sorted(needed)
    )


def _closure(pins: dict[str, Pin], wanted: Iterable[str]) -> set[str]:
    needed, fresh = set(), set(wanted)
    while fresh:
        needed |= fresh
        fresh = {pin.name for pin in pins.values() if pin.via & fresh} - needed
    return needed


def _block(pin: Pin, needed: set[str], file: str | None, path: str) -> str:
    sources = [f"-c {path}", *([f"-r {file}"] if file else []), *sorted(pin.via & needed)]
    comments = ["    # via", *(f"    #   {source}" for source in sources)]
    return "\n".join([*pin.lines, *comments]) + "\n"
