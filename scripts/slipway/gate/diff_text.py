"""The diff for a terminal, and the short forms that all outputs share. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import click

from slipway.errors import InvalidInput
from slipway.gate.diff_objects import Change
from slipway.gate.diff_result import AppDiff, DiffResult, ImageDiff
from slipway.gate.findings import printable
from slipway.registry.references import Reference, parse, pin

SIGNS = {"added": "+", "changed": "~", "removed": "-"}
_COLOURS = {"+": "green", "-": "red", "~": "yellow", "@": "cyan"}


def text(result: DiffResult) -> str:
    """Everything, coloured; the verdict last, where a reader of a terminal looks."""
    return "\n".join([*_lines(result), *_verdict(result)]) + "\n"


def _lines(result: DiffResult) -> Iterator[str]:
    for environment in result.environments:
        yield click.style(environment.title, bold=True)
        for app in environment.apps:
            yield from _app(app)
    if result.others:
        yield click.style("also changed, and read by nothing that is deployed", bold=True)
        yield from (f"  {printable(path)}" for path in result.others)


def _app(app: AppDiff) -> Iterator[str]:
    status = "" if app.status == "changed" else f" ({app.status})"
    yield f"  {click.style(printable(app.app), bold=True)}{status}"
    for reason in filter(None, (app.error_after, app.error_before and f"before: {app.error_before}")):
        yield click.style(f"    cannot be rendered: {printable(reason)}", fg="red")
    for image in app.images:
        yield f"    image {image_line(image)}"
        for commit, subject in image.commits:
            yield f"      {commit[:7]} {printable(subject)}"
        if more := (image.commit_count or 0) - len(image.commits):
            yield f"      and {more} more"
    for change in app.changes:
        sign = SIGNS[change.change]
        yield "    " + click.style(f"{sign} {title(change)}", fg=_COLOURS[sign])
        if change.change == "changed":
            yield from (f"        {_coloured(printable(line))}" for line in change.diff)
    yield from (f"    ↻ {printable(name)} restarts: it reads what is generated anew" for name in app.restarts)


def _coloured(line: str) -> str:
    return click.style(line, fg=_COLOURS.get(line[:1])) if line[:1] in _COLOURS else line


def _verdict(result: DiffResult) -> Iterator[str]:
    yield f"{result.base[:12]} → {result.head[:12]}: {result.summary}"
    for reason in result.blocked:
        yield click.style(f"blocked: {printable(reason)}", fg="red")
    if result.allow_prune:
        yield from (f"approved: {printable(reason)}" for reason in result.refusals)


def title(change: Change) -> str:
    """An object, and its former generated name."""
    was = f" (was {change.was})" if change.was else ""
    return printable(f"{change.object}{was}").replace("\n", " ")


def image_line(image: ImageDiff) -> str:
    """`board-backend v1@sha256:… → v2@sha256:…`; whole references where these are no valid ones."""
    try:
        old, new = parse(image.old), parse(image.new)
    except InvalidInput:
        return printable(f"{image.old} → {image.new}")
    moved = "" if old.name == new.name else f" (from {old.name})"
    return printable(f"{new.short}{moved} {_pin(old)} → {_pin(new)}")


def _pin(reference: Reference) -> str:
    """Tag and the beginning of the digest."""
    return pin(replace(reference, digest=reference.digest and reference.digest[:19]))


def commit_range(image: ImageDiff) -> str:
    """The source commits on both sides, as far as they are recorded."""
    if not (image.old_commit or image.new_commit):
        return ""
    return f"{(image.old_commit or 'unknown')[:7]}..{(image.new_commit or 'unknown')[:7]}"
