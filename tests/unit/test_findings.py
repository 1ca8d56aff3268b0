"""Findings as text, JSON, SARIF and JUnit."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from slipway.gate.findings import About, Finding, Report

EARLY = Finding("base/a.yaml", 2, "schema", "Service/dev/web", "spec.port: got string", "write a number")
LATE = Finding(
    "overlays/dev/web/kustomization.yaml", 10, "dead-image-entry", "", "matches nothing", "remove it"
)
WARNING = Finding("base/a.yaml", 1, "old-field", "", "is old", "use the new one", "warning")
RULES = {
    "schema": About("The cluster would refuse it.", "correct the field", "https://kubernetes.io/docs/"),
    "dead-image-entry": About("It does nothing.", "remove it"),
    "sync-policy": About("Nobody corrects drift.", "set it"),
}


def report(*findings: Finding, **counts: int) -> Report:
    """A settled report."""
    return Report(list(findings), rules=RULES, **counts).settle()


def test_findings_are_sorted_by_file_and_line_and_told_once() -> None:
    """The same finding reached through three overlays is one."""
    assert report(LATE, EARLY, WARNING, EARLY).findings == [WARNING, EARLY, LATE]


def test_a_clean_report_passes_and_a_finding_fails() -> None:
    """A warning alone does not fail."""
    assert not report(valid=3).failed
    assert not report(WARNING).failed
    assert report(EARLY).failed


def test_B17_what_was_skipped_is_never_counted_as_passed() -> None:
    """No finding, one object not looked at: failed."""
    assert report(valid=10, skipped=1).failed


def test_json_has_every_field_and_the_counts() -> None:
    """The contract of `--json`."""
    plain = json.loads(json.dumps(report(EARLY, valid=1, invalid=1, overlays=2).as_json()))
    assert plain["counts"] == {"valid": 1, "invalid": 1, "skipped": 0}
    assert plain["findings"] == [
        {
            "rule": "schema",
            "severity": "error",
            "file": "base/a.yaml",
            "line": 2,
            "object": "Service/dev/web",
            "message": "spec.port: got string",
            "fix": "write a number",
        }
    ]


def test_text_says_where_what_why_and_how_to_mend_it() -> None:
    """The reason of a rule stands once, below its first finding."""
    again = Finding("base/b.yaml", 1, "schema", "", "spec.other: not allowed", "remove it")
    assert report(EARLY, again, valid=4, invalid=2, overlays=1).as_text() == (
        "base/a.yaml:2: schema: spec.port: got string (Service/dev/web)\n"
        "  why: The cluster would refuse it. (https://kubernetes.io/docs/)\n"
        "  fix: write a number\n"
        "base/b.yaml:1: schema: spec.other: not allowed\n"
        "  fix: remove it\n"
        "1 overlay; objects: 4 valid, 2 invalid, 0 skipped; 2 findings\n"
    )


def test_text_of_a_hostile_file_cannot_command_the_terminal_or_break_xml() -> None:
    """Escape sequences, text that runs backwards, line breaks in names."""
    hostile = Finding("a\nb", 1, "schema", "x", "\x1b[2J\x00 \u202eevil", "mend it")
    settled = report(hostile)
    assert settled.findings[0].file == "a\ufffdb"
    assert settled.findings[0].message == "\ufffd[2J\ufffd \ufffdevil"
    ElementTree.fromstring(settled.as_junit())


def test_sarif_points_every_result_at_its_rule_file_and_line() -> None:
    """What a forge shows beside the line."""
    run = report(EARLY, WARNING).as_sarif()["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted(rule["id"] for rule in rules)
    for result, finding in zip(run["results"], [WARNING, EARLY], strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.rule
        assert result["level"] == finding.severity
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == finding.file
        assert place["region"]["startLine"] == finding.line


def test_junit_has_a_case_for_every_rule_and_fails_those_with_findings() -> None:
    """Rules without findings are seen to have run."""
    suite = ElementTree.fromstring(report(EARLY, LATE).as_junit())
    failed = {case.get("name"): [f.get("message") for f in case.iter("failure")] for case in suite}
    assert failed == {
        "dead-image-entry": ["overlays/dev/web/kustomization.yaml:10: matches nothing"],
        "schema": ["base/a.yaml:2: spec.port: got string"],
        "sync-policy": [],
    }
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")


def test_junit_fails_for_what_was_skipped() -> None:
    """A server that reads only JUnit must not show green."""
    suite = ElementTree.fromstring(report(skipped=2).as_junit())
    assert [failure.get("message") for failure in suite.iter("failure")] == ["2 objects were not validated"]
