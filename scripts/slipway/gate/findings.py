"""What `slipway check` has to say: findings and counts, as text, JSON, SARIF and JUnit. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal
from xml.etree import ElementTree

_CONTROL = re.compile(
    r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing to mend. `file` is relative to the repository, `line` counts from 1, `object` may be empty."""

    file: str
    line: int
    rule: str
    object: str
    message: str
    fix: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class About:
    """Why a rule exists, how its findings are usually mended, and where to read on."""

    why: str
    fix: str
    link: str = ""


@dataclass
class Report:
    """Every finding of a run, and how many objects were valid, invalid and skipped (not looked at)."""

    findings: list[Finding] = field(default_factory=list)
    valid: int = 0
    invalid: int = 0
    skipped: int = 0
    listed: int = 0
    """Objects of kinds that are listed as having no schema; not among the skipped."""
    overlays: int = 0
    rules: Mapping[str, About] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Objects by verdict of the schema validation."""
        return {"valid": self.valid, "invalid": self.invalid, "skipped": self.skipped}

    @property
    def failed(self) -> bool:
        """Whether the run must not pass: an error was found, or something was not looked at."""
        return self.skipped > 0 or any(finding.severity == "error" for finding in self.findings)

    def settle(self) -> Report:
        """Sort the findings and keep each once, fit to be printed; the report itself."""
        self.findings = sorted({_printable(finding) for finding in self.findings})
        return self

    def as_json(self) -> dict[str, object]:
        """`{"findings": [...], "counts": {...}, "listed": n, "overlays": n}`."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "counts": self.counts,
            "listed": self.listed,
            "overlays": self.overlays,
        }

    def as_text(self) -> str:
        """For people: `file:line: rule: message`, then why and fix; a line of counts at the end."""
        told: set[str] = set()
        lines = []
        for one in self.findings:
            mark = "" if one.severity == "error" else "warning: "
            named = f" ({one.object})" if one.object else ""
            message = one.message.replace("\n", "\n    ")
            lines.append(f"{one.file}:{one.line}: {mark}{one.rule}: {message}{named}")
            about = self.rules.get(one.rule)
            if about and one.rule not in told:
                lines.append(f"  why: {about.why}" + (f" ({about.link})" if about.link else ""))
                told.add(one.rule)
            lines.append(f"  fix: {one.fix}")
        return "\n".join([*lines, self.summary()]) + "\n"

    def summary(self) -> str:
        """One line of counts."""
        number = Counter(finding.severity for finding in self.findings)
        said = f"{_count(number['error'], 'finding')}"
        if number["warning"]:
            said += f", {_count(number['warning'], 'warning')}"
        objects = f"{self.valid} valid, {self.invalid} invalid, {self.skipped} skipped"
        objects += f", {self.listed} of listed kinds" if self.listed else ""
        return f"{_count(self.overlays, 'overlay')}; objects: {objects}; {said}"

    def as_sarif(self) -> dict[str, object]:
        """SARIF 2.1.0 with one run."""
        used = sorted({finding.rule for finding in self.findings} | set(self.rules))
        driver = {"name": "slipway", "rules": [self._sarif_rule(rule) for rule in used]}
        results = [
            {
                "ruleId": one.rule,
                "ruleIndex": used.index(one.rule),
                "level": one.severity,
                "message": {"text": f"{one.message}\nFix: {one.fix}"},
                "locations": [_sarif_location(one)],
            }
            for one in self.findings
        ]
        return {
            "$schema": _SARIF,
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
        }

    def _sarif_rule(self, rule: str) -> dict[str, object]:
        about = self.rules.get(rule)
        described: dict[str, object] = {"id": rule}
        if about:
            described |= {"shortDescription": {"text": about.why}, "help": {"text": about.fix}}
        if about and about.link:
            described["helpUri"] = about.link
        return described

    def as_junit(self) -> str:
        """JUnit XML: a test case a rule, failed once for each of its findings."""
        by_rule: dict[str, list[Finding]] = {rule: [] for rule in self.rules}
        for finding in self.findings:
            by_rule.setdefault(finding.rule, []).append(finding)
        errors = sum(finding.severity == "error" for finding in self.findings)
        suite = ElementTree.Element(
            "testsuite",
            name="slipway check",
            tests=str(len(by_rule)),
            failures=str(errors),
            skipped=str(self.skipped),
        )
        for rule, findings in sorted(by_rule.items()):
            case = ElementTree.SubElement(suite, "testcase", classname="slipway.gate.check", name=rule)
            for one in findings:
                kind = "failure" if one.severity == "error" else "system-out"
                text = f"{one.file}:{one.line}: {one.message}"
                element = ElementTree.SubElement(case, kind, {"message": text} if kind == "failure" else {})
                element.text = (
                    f"{text}\n{one.object}\nfix: {one.fix}" if one.object else f"{text}\nfix: {one.fix}"
                )
        if self.skipped:
            case = ElementTree.SubElement(
                suite, "testcase", classname="slipway.gate.check", name="skipped objects"
            )
            ElementTree.SubElement(case, "failure", message=f"{self.skipped} objects were not validated")
        ElementTree.indent(suite)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, "unicode") + "\n"


def _sarif_location(finding: Finding) -> dict[str, object]:
    physical = {
        "artifactLocation": {"uri": finding.file, "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": max(finding.line, 1)},
    }
    location: dict[str, object] = {"physicalLocation": physical}
    if finding.object:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.object, "kind": "object"}]
    return location


def printable(text: str) -> str:
    """The text without characters that command a terminal or break XML."""
    return _CONTROL.sub("\ufffd", text)


def _printable(finding: Finding) -> Finding:
    """The finding without characters that command a terminal or break XML: texts come from files of others."""
    texts = (finding.file, finding.object, finding.message, finding.fix)
    if not any(_CONTROL.search(text) for text in texts) and "\n" not in finding.file + finding.object:
        return finding
    file, object_, message, fix = (_CONTROL.sub("\ufffd", text) for text in texts)
    file, object_ = file.replace("\n", "\ufffd"), object_.replace("\n", "\ufffd")
    return replace(finding, file=file, object=object_, message=message, fix=fix)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
