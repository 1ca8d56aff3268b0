"""What a rollback tells people: the commit's subject, and the pull request's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slipway.git.remote import log_between
from slipway.markdown import code, table
from slipway.writing.promote_text import COMMITS, Range, more, range_lines, ranges, short_pin

if TYPE_CHECKING:
    from slipway.writing.rollback import Order, Result, Rollback


def title(order: Order, results: Sequence[Result]) -> str:
    """Such as `prod: board rolled back, board-backend v3 → v2`."""
    shown = (f"{r.old.short} {_tag(r.old)} → {_tag(r.build.reference)}" for r in results)
    return f"{order.environment}: {order.app} rolled back, {', '.join(shown)}"


def body(rollback: Rollback) -> str:
    """The Markdown of the pull request: what goes live again, what is withdrawn, why, and the hold that follows."""
    order, goal = rollback.order, rollback.goal
    lines = [
        *_freeze(rollback),
        f"Brings **{order.where}** back to the images that it had at `{goal.sha[:12]}`.",
    ]
    if rollback.policy.approvals:
        lines[-1] += f" Approvals needed: {rollback.policy.approvals}."
    rows = [[r.old.short, short_pin(r.old), short_pin(r.build.reference)] for r in rollback.results]
    lines += ["", *table(["image", "now", "again"], rows), "", f"Reason: {code(order.reason)}"]
    if rollback.kept:
        lines += ["", f"Stays, since it had no entry then: {', '.join(map(code, rollback.kept))}"]
    lines += ["", "## Commits that are reverted", ""]
    subjects = [(c.sha, c.message.partition("\n")[0]) for c in rollback.withdrawn[:COMMITS]]
    lines += [f"- `{sha[:12]}` {code(subject)}" for sha, subject in subjects]
    lines += (
        more(len(rollback.withdrawn) - COMMITS) if subjects else ["None: the images were changed by hand."]
    )
    lines += ["", "## Source commits that are withdrawn", "", *_source(rollback)]
    held = f"{code(order.app)} is held in {order.environment} by {code(order.by)}"
    until = f"`slipway release {order.app} --env {order.environment}`"
    lines += [
        "## Hold",
        "",
        f"With the merge {held}: bump and promote leave it alone, and name the hold, until {until}.",
    ]
    return "\n".join(lines) + "\n"


def _freeze(rollback: Rollback) -> list[str]:
    from slipway.policy.environment import opening

    freeze, policy = rollback.freeze, rollback.policy
    if not freeze:
        return []
    until = opening(policy, freeze, rollback.clock())
    shown = code(f"{policy.name} is frozen until {until} ({freeze.name}: {freeze.reason})")
    order = rollback.order
    if not order.during_freeze:
        return [f"> **Do not merge yet.** {shown}", ""]
    sync = f"Until then Argo CD syncs by hand only: `argocd app sync {order.environment}-{order.app}`."
    return [f"> {shown}. It cannot wait: {code(order.during_freeze)}. {sync}", ""]


def _source(rollback: Rollback) -> list[str]:
    """What the builds that go have and those that come back have not."""
    source = rollback.evidence.source
    if source is None:
        return ["The log is not available: no source repository was given (`--source-repo`).", ""]
    lines = []
    for (gone, back), images in ranges(rollback.results).items():
        log = log_between(source, back, gone, limit=COMMITS) if gone and back else None
        lines += [*range_lines(Range(images, back, gone, log), "no commit"), ""]
    return lines


def _tag(reference) -> str:
    return reference.tag or "by digest"
