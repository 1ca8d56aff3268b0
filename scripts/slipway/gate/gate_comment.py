"""The one comment of the gate, and its statuses in a line each. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway.gate.contexts import CHECK, DIFF
from slipway.gate.diff_result import COMMENT_LIMIT
from slipway.gate.findings import Finding, printable
from slipway.gate.prune import LABEL
from slipway.markdown import code, table

if TYPE_CHECKING:
    from slipway.gate.pull_request import Outcome

MARKER = "<!-- slipway-gate -->"
"""How the comment is found again; nobody sees it."""

_FINDINGS_SHARE = 3
"""The findings get at most this part of the comment, one in so many."""

_WAIVERS = 10


def comment(outcome: Outcome, details_url: str | None) -> str:
    """The verdict, the findings, then what changes, in at most what a forge takes."""
    room = COMMENT_LIMIT - len(MARKER) - 200
    lines = [*_verdict(outcome), *_findings(outcome, room // _FINDINGS_SHARE), *_waivers(outcome)]
    text = "\n".join(lines)
    if outcome.diff:
        head = "\n\n### What it changes\n\n"
        left = room - len(text.encode()) - len(head)
        text += head + outcome.diff.as_markdown(limit=left, details_url=details_url)
    return text


def described(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Each status by its context: state and description."""
    if outcome.conflicts:
        said = f"conflicts in {', '.join(outcome.conflicts[:3])}"
        return {CHECK: ("failure", said), DIFF: ("failure", said)}
    diff = outcome.diff
    blocked = diff.blocked[0] if diff.blocked else ""
    return {
        CHECK: ("failure" if outcome.report.failed else "success", outcome.report.summary()),
        DIFF: ("failure" if blocked else "success", f"blocked: {blocked}" if blocked else diff.summary),
    }


def _verdict(outcome: Outcome) -> Iterator[str]:
    sign = "✅ May be merged" if outcome.passed else "❌ Must not be merged as it is"
    yield f"### {sign}\n"
    yield f"Commit {code(outcome.proposed.head[:12])}, as it would be after its merge into {code(outcome.proposed.base)}.\n"
    if outcome.conflicts:
        yield "It conflicts with its base in:\n"
        yield from (f"- {code(path)}" for path in outcome.conflicts[:20])
        yield "\nMerge or rebase onto the base, and push again.\n"
    if outcome.diff and outcome.diff.refusals and not outcome.diff.allow_prune:
        yield f"If the removals are meant, have somebody set the label {code(LABEL)}.\n"


def _findings(outcome: Outcome, space: int) -> Iterator[str]:
    report = outcome.report
    if outcome.conflicts:
        return
    yield f"**Check:** {report.summary()}\n"
    rows = [_row(one, outcome) for one in report.findings]
    if not rows:
        return
    lines = table(["where", "rule", "what", "fix"], rows)
    shown = 0
    for line in lines:
        space -= len(line.encode()) + 1
        if space < 0:
            break
        yield line
        shown += 1
    yield ""
    if left := len(lines) - shown:
        yield f"and {left} more findings, in the artifacts.\n"


def _row(one: Finding, outcome: Outcome) -> list[str]:
    about = outcome.report.rules.get(one.rule)
    rule = f"[{code(one.rule)}]({about.link})" if about and about.link else code(one.rule)
    where = code(f"{one.file}:{one.line}") + (f"<br>{code(one.object)}" if one.object else "")
    warning = "warning: " if one.severity == "warning" else ""
    return [where, rule, warning + code(printable(one.message)[:600]), code(printable(one.fix)[:300])]


def _waivers(outcome: Outcome) -> Iterator[str]:
    if outcome.waivers:
        yield "**Waivers that this brings:**\n"
        yield from (f"- {code(printable(line)[:300])}" for line in outcome.waivers[:_WAIVERS])
        if more := max(0, len(outcome.waivers) - _WAIVERS):
            yield f"- and {more} more"
        yield ""
