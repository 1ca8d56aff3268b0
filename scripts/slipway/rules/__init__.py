"""The rules of `slipway check`: one rule, one file, with its reason, its fix and where to read on.

A rule is a pure function of what it is given: no clock, no environment, no file that it is not handed. One of
scope `overlay` sees one rendered overlay, one of scope `repository` all of them in short. Adding a file adds the
rule; `tests/fixtures/rules/<id>` must then hold at least one repository that it accepts and one that it refuses.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Source


@dataclass(frozen=True)
class Rule:
    """One rule; `check` takes an `Overlay`, or a `Repository` when that is its scope, and gives findings."""

    id: str
    why: str
    """One sentence: what happens when nobody heeds it."""
    fix: str
    link: str
    check: Callable[..., Iterable[Finding]]
    scope: Literal["overlay", "repository"] = "overlay"

    def on(self, subject: Object, message: str, fix: str | None = None) -> Finding:
        """A finding about an object."""
        return Finding(subject.file, subject.line, self.id, subject.key, message, fix or self.fix)

    def at(self, source: Source | str, line: int, message: str, fix: str | None = None) -> Finding:
        """A finding about a line of a file, which may be given by its path."""
        path = source if isinstance(source, str) else source.path
        return Finding(path, max(line, 1), self.id, "", message, fix or self.fix)


def _discover() -> tuple[Rule, ...]:
    """The rule of every module of this package, by id."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )
    return tuple(importlib.import_module(f"{__name__}.{name}").RULE for name in names)


RULES: tuple[Rule, ...] = _discover()
