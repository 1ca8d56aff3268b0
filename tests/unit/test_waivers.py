"""Exceptions carry a reason and an end."""

from __future__ import annotations

from datetime import date

import pytest
from slipway.gate.findings import Finding
from slipway.gate.overlay import Object
from slipway.gate.waivers import Waiver, apply, in_file, on_object

TODAY = date(2026, 6, 1)
KNOWN = ("read-only-root", "dead-image-entry")
FOUND = Finding("base/a.yaml", 3, "read-only-root", "Deployment/dev/web", "writes", "mend it")
ON_LINE = Finding("k.yaml", 3, "dead-image-entry", "", "matches nothing", "remove it")


def waived(text: str, rule: str = "read-only-root") -> list[Finding]:
    """What is left of `FOUND` when its object carries this annotation."""
    annotations = {f"slipway.dev/waive-{rule}": text}
    metadata = {"name": "web", "namespace": "dev", "annotations": annotations}
    subject = Object({"kind": "Deployment", "metadata": metadata}, "base/a.yaml", 3)
    return apply([FOUND], on_object(subject), TODAY, KNOWN)


def test_a_reason_and_a_day_to_come_waive() -> None:
    """The day itself included."""
    assert waived("writes its cache beside the code; until 2026-07-01") == []
    assert waived("writes its cache; until 2026-06-01") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("writes its cache; until 2026-05-31", "has ended on 2026-05-31"),
        ("writes its cache", "does not say until when"),
        ("writes its cache; until tomorrow", "does not say until when"),
        ("until 2026-07-01", "gives no reason"),
        ("; until 2026-07-01", "gives no reason"),
        ("a reason; until 2026-13-01", "which is no day"),
        ("", "does not say until when"),
    ],
)
def test_a_waiver_that_does_not_hold_is_a_finding_and_waives_nothing(text: str, said: str) -> None:
    """Expired, endless, without a reason."""
    left = waived(text)
    assert FOUND in left
    (flaw,) = [finding for finding in left if finding.rule == "waiver"]
    assert said in flaw.message
    assert (flaw.file, flaw.line, flaw.object) == ("base/a.yaml", 3, "Deployment/dev/web")


def test_a_waiver_of_a_rule_that_does_not_exist_is_a_finding() -> None:
    """A typing error would otherwise look like an exception."""
    left = waived("a reason; until 2026-07-01", rule="read-only-rot")
    assert {finding.rule for finding in left} == {"waiver", "read-only-root"}


def test_a_waiver_holds_for_its_object_and_rule_only() -> None:
    """Another object, another rule."""
    waiver = Waiver("base/a.yaml", 3, "Deployment/dev/other", "read-only-root", "why; until 2026-07-01")
    assert apply([FOUND], [waiver], TODAY, KNOWN) == [FOUND]


@pytest.mark.parametrize(
    "lines",
    [
        ["images:", "", "- name: x  # slipway: waive dead-image-entry comes next week; until 2026-07-01"],
        ["images:", "# slipway: waive dead-image-entry comes next week; until 2026-07-01", "- name: x"],
    ],
)
def test_a_comment_waives_on_its_line_or_the_next(lines: list[str]) -> None:
    """For what concerns a file, not an object."""
    assert apply([ON_LINE], in_file("k.yaml", lines), TODAY, KNOWN) == []


def test_a_comment_further_away_waives_nothing() -> None:
    """Not the whole file."""
    lines = ["# slipway: waive dead-image-entry comes next week; until 2026-07-01", "", "- name: x"]
    assert apply([ON_LINE], in_file("k.yaml", lines), TODAY, KNOWN) == [ON_LINE]
