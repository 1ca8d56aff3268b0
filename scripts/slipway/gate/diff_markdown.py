"""The diff as a comment of a forge: the verdict, what changes where, then details for as long as they fit. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from slipway.gate.diff_objects import Change
from slipway.gate.diff_result import AppDiff, DiffResult, EnvironmentDiff
from slipway.gate.diff_text import SIGNS, commit_range, image_line, title
from slipway.gate.findings import printable
from slipway.markdown import code, table

_REASONS, _OTHERS, _ALIKE = 20, 10, 12
"""How many reasons, other files and alike objects are named one by one."""

_TABLE_SHARE = 0.6
"""The part of the comment that the table of applications may fill."""

_TAIL = 400
"""Bytes kept free for the line that says what was left out."""


@dataclass
class _Alike:
    """One change that several objects share."""

    change: Change
    where: list[str] = field(default_factory=list)


def markdown(result: DiffResult, limit: int, details_url: str | None) -> str:
    """A comment of at most `limit` bytes, whatever the change."""
    head = _fitting(list(_head(result)), limit // 3)
    parts = [*head, *_rows(result, int(limit * _TABLE_SHARE) - _size(head)), *_others(result)]
    details = [_detail(alike) for alike in _grouped(result)]
    space, taken = limit - _TAIL - _size(parts), []
    for detail in details:
        if len(detail.encode()) + 1 <= space:
            taken.append(detail)
            space -= len(detail.encode()) + 1
    if left := len(details) - len(taken):
        where = (
            f"[the complete diff]({details_url})" if details_url else "the complete diff, in the artifacts"
        )
        parts.append(f"{left} of {len(details)} details do not fit here: see {where}.\n")
    elif details_url:
        parts.append(f"The same as a page: [the complete diff]({details_url}).\n")
    return "\n".join([*parts, *taken])


def _head(result: DiffResult) -> Iterator[str]:
    yield f"**{result.summary}** ({code(result.base[:12])} → {code(result.head[:12])})\n"
    for title_, reasons in (
        ("Blocked", result.blocked),
        ("Approved removals", result.refusals if result.allow_prune else []),
    ):
        if reasons:
            yield f"**{title_}:**\n"
            yield from (f"- {code(printable(reason)[:1000])}" for reason in reasons[:_REASONS])
            if more := len(reasons) - _REASONS:
                yield f"- and {more} more" if more > 0 else ""
            yield ""


def _rows(result: DiffResult, space: int) -> list[str]:
    """The table, cut after the last row that fits."""
    rows = [_row(environment, app) for environment in result.environments for app in environment.apps]
    if not rows:
        return []
    lines = table(["where", "application", "images", "objects"], rows)
    shown = _fitting(lines, max(space, 0))
    more = len(lines) - len(shown)
    return [*shown, "", *([f"and {more} more applications.\n"] if more else [])]


def _row(environment: EnvironmentDiff, app: AppDiff) -> list[str]:
    images = []
    for image in app.images:
        between = commit_range(image)
        images.append(code(image_line(image)) + (f" {code(between)}" if between else ""))
    said = [f"{number} {what}" for what, number in sorted(app.counts.items())]
    said += [f"{len(app.restarts)} restarted"] if app.restarts else []
    said = ["**cannot be rendered**"] if app.error_after else said
    status = "" if app.status == "changed" else f" ({app.status})"
    return [environment.title, code(app.app) + status, "<br>".join(images), ", ".join(said)]


def _others(result: DiffResult) -> list[str]:
    if not result.others:
        return []
    names = ", ".join(code(printable(path)) for path in result.others[:_OTHERS])
    more = len(result.others) - _OTHERS
    return [f"Also changed, and read by nothing that is deployed: {names}{f' and {more} more' if more > 0 else ''}.\n"]  # fmt: skip


def _grouped(result: DiffResult) -> list[_Alike]:
    """Every change with its details once, however many objects share it; what is removed comes first."""
    found: dict[tuple, _Alike] = {}
    for app in result.apps:
        for change in app.changes:
            _, kind, namespace, name = change.id
            pattern = re.compile(
                "|".join(re.escape(one) for one in (name, change.was, namespace) if one) or "$^"
            )
            alike = tuple(pattern.sub("\0", line) for line in change.diff)
            found.setdefault((change.change, kind, alike), _Alike(change)).where.append(title(change))
    order = {"removed": 0, "changed": 1, "added": 2}
    return sorted(found.values(), key=lambda one: order[one.change.change])


def _detail(alike: _Alike) -> str:
    """One foldable block."""
    change, more = alike.change, len(alike.where) - 1
    summary = f"{SIGNS[change.change]} {escape(alike.where[0])}" + (f" and {more} alike" if more else "")
    body = "\n".join(printable(line) for line in change.diff)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    lines = ["<details><summary>" + summary + "</summary>", ""]
    if more:
        names = ", ".join(code(name) for name in alike.where[1 : _ALIKE + 1])
        lines += [f"Also {names}" + (f" and {more - _ALIKE} more" if more > _ALIKE else ""), ""]
    return "\n".join([*lines, f"{fence}diff", body, fence, "", "</details>", ""])


def _fitting(lines: Sequence[str], space: int) -> list[str]:
    """The first lines that fit into so many bytes."""
    taken: list[str] = []
    for line in lines:
        space -= len(line.encode()) + 1
        if space < 0:
            break
        taken.append(line)
    return taken


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
