"""What a promotion tells people: the commit's subject, and the pull request's text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.markdown import code, table
from slipway.registry.references import Reference

if TYPE_CHECKING:
    from slipway.git.remote import Log
    from slipway.policy.environment import Environment
    from slipway.writing.promote import Result

COMMITS = 50
"""How many source commits are shown of each range."""
_ROWS = 200
_NAMES = 3


@dataclass(frozen=True)
class Range:
    """The source commits between the build that goes and the one that comes, for the images that share them."""

    images: tuple[str, ...]
    old: str | None
    new: str | None
    log: Log | None


def title(source: str, target: str, changed: Sequence[Result]) -> str:
    """Such as `prod: board promoted from staging, board-backend v2, board-frontend v2`."""
    apps = list(dict.fromkeys(result.app for result in changed))
    if len(apps) > 1:
        rest = f" and {len(apps) - _NAMES} more" if len(apps) > _NAMES else ""
        return f"{target}: {', '.join(apps[:_NAMES])}{rest} promoted from {source}"
    builds = (result.build.reference for result in changed)
    return f"{target}: {apps[0]} promoted from {source}, " + ", ".join(
        f"{new.short} {new.tag or 'by digest'}" for new in builds
    )


def ranges(changed: Sequence[Result]) -> dict[tuple[str | None, str | None], tuple[str, ...]]:
    """The images by source commits before and after; images that move together share a range."""
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for result in changed:
        found.setdefault((result.before, result.build.revision), []).append(result.build.reference.short)
    return {key: tuple(dict.fromkeys(names)) for key, names in found.items()}


def body(
    policy: Environment,
    source: str,
    warning: str | None,
    origins: Sequence[str],
    changed: Sequence[Result],
    commits: Sequence[Range] | None,
) -> str:
    """The Markdown of the pull request; `commits` is None without the source repository."""
    lines = [f"> **Do not merge yet.** {code(warning)}", ""] if warning else []
    lines += [f"Brings to **{policy.name}** what **{source}** runs, digest by digest."]
    if policy.approvals:
        lines[-1] += f" Approvals needed: {policy.approvals}."
    rows = [
        [r.app, r.build.reference.short, short_pin(r.old), short_pin(r.build.reference)]
        for r in changed[:_ROWS]
    ]
    lines += ["", *table(["application", "image", "now", "new"], rows), *more(len(changed) - _ROWS), ""]
    lines += [f"- {origin}" for origin in origins[:_ROWS]] + more(len(origins) - _ROWS)
    lines += ["", "## Commits that go live", ""]
    if commits is None:
        lines.append("The log is not available: no source repository was given (`--source-repo`).")
    for one in commits or ():
        lines += [*range_lines(one), ""]
    return "\n".join(lines).rstrip() + "\n"


def range_lines(one: Range, nothing: str = "no commit that was not live before") -> list[str]:
    """The commits of a range as a list, below the images that they concern; `nothing` says that there are none."""
    names = ", ".join(one.images)
    if not (one.old and one.new):
        return [f"**{names}**: the source commits of the builds are not known."]
    span = f"`{one.old[:12]}..{one.new[:12]}`"
    if one.log is None:
        return [f"**{names}** {span}: the log is not available, the source repository lacks these commits."]
    if not one.log.total:
        return [f"**{names}** {span}: {nothing}."]
    shown = [f"- `{sha[:12]}` {code(subject)}" for sha, subject in one.log.commits]
    return [f"**{names}** {span}:", "", *shown, *more(one.log.total - len(shown))]


def more(count: int) -> list[str]:
    """The line for what a list leaves out."""
    return ["", f"and {count} more"] if count > 0 else []


def short_pin(reference: Reference | None) -> str:
    """Tag and the beginning of the digest, as code."""
    if reference is None:
        return "none"
    parts = [reference.tag, reference.digest and f"{reference.digest[:19]}…"]
    return " ".join(code(part) for part in parts if part) or "none"
