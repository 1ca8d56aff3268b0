"""Exceptions from rules: who waives what, why, and until when. No I/O.

On an object: the annotation `slipway.dev/waive-<rule>: "<reason>; until YYYY-MM-DD"`. For a line of a file: the
comment `# slipway: waive <rule> <reason>; until YYYY-MM-DD` on the line or the one above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object

ANNOTATION = "slipway.dev/waive-"
MARK = "slipway: waive"
RULE = "waiver"
_COMMENT = re.compile(r"#\s*slipway: waive\s+([a-z0-9-]+)\s*(.*)$")
_UNTIL = re.compile(r"(.*?)[;,]?\s*until\s+(\d{4}-\d\d-\d\d)\.?\s*")


@dataclass(frozen=True)
class Waiver:
    """One exception, where it is written, and its text; whether it still holds is asked for a given day."""

    file: str
    line: int
    object: str
    rule: str
    text: str

    def flaw(self, today: date, known: Sequence[str] = ()) -> str | None:
        """Why the waiver does not hold; None when it does."""
        if known and self.rule not in known:
            return f"it waives {self.rule}, and there is no such rule"
        found = _UNTIL.fullmatch(self.text.strip())
        if not found:
            return f"the waiver of {self.rule} does not say until when"
        if not found[1].strip():
            return f"the waiver of {self.rule} gives no reason"
        try:
            last = date.fromisoformat(found[2])
        except ValueError:
            return f"the waiver of {self.rule} ends on {found[2]}, which is no day"
        if last < today:
            return f"the waiver of {self.rule} has ended on {last}"
        return None

    def finding(self, flaw: str) -> Finding:
        """What is said of a waiver that does not hold."""
        fix = 'mend what it waives, or write "<reason>; until YYYY-MM-DD" with a day to come'
        return Finding(self.file, self.line, RULE, self.object, flaw, fix)


def on_object(subject: Object) -> list[Waiver]:
    """The waivers that an object carries."""
    return [
        Waiver(subject.file, subject.line, subject.key, key[len(ANNOTATION) :], str(text))
        for key, text in subject.annotations.items()
        if key.startswith(ANNOTATION)
    ]


def in_file(path: str, lines: Sequence[str]) -> list[Waiver]:
    """The waivers in a file's comments; one that stands alone on its line counts for the next line."""
    found = []
    for number, line in enumerate(lines, 1):
        if MARK in line and (comment := _COMMENT.search(line)):
            alone = line.lstrip().startswith("#")
            found.append(Waiver(path, number + alone, "", comment[1], comment[2]))
    return found


def apply(
    findings: Iterable[Finding], waivers: Sequence[Waiver], today: date, known: Sequence[str]
) -> list[Finding]:
    """The findings that no waiver lifts, and one for each waiver that does not hold."""
    flaws = {waiver: waiver.flaw(today, known) for waiver in waivers}
    left = []
    for one in findings:
        by = matching(waivers, one)
        if not by or flaws[by]:
            left.append(one)
    return left + [waiver.finding(flaw) for waiver, flaw in flaws.items() if flaw]


def matching(waivers: Iterable[Waiver], finding: Finding) -> Waiver | None:
    """The waiver of a finding: on its object, or at its line."""
    for waiver in waivers:
        if waiver.rule == finding.rule and (
            waiver.object == finding.object
            if waiver.object
            else (waiver.file, waiver.line) == (finding.file, finding.line)
        ):
            return waiver
    return None
