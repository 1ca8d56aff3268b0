"""What a scanner's output means: packages, findings and the verdict. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date

from slipway.pipeline.config import Scan
from slipway.pipeline.waivers import Waiver

_FLOOR = {"critical": 9.0, "high": 7.0, "medium": 4.0, "low": 0.1}


@dataclass(frozen=True)
class Package:
    """A package found in the image; `ecosystem` as OSV names it, e.g. `PyPI` or `Debian:12`."""

    ecosystem: str
    name: str
    version: str

    @property
    def database(self) -> str:
        """The OSV database that knows it."""
        return self.ecosystem.partition(":")[0]


@dataclass(frozen=True)
class Finding:
    """An advisory that applies to a package; `score` is CVSS 0–10 or None, `fixed` the first good version."""

    id: str
    aliases: tuple[str, ...]
    package: str
    version: str
    ecosystem: str
    score: float | None
    fixed: str | None
    summary: str

    @property
    def severity(self) -> str:
        """`critical`, `high`, `medium`, `low` or `unscored`."""
        if self.score is None:
            return "unscored"
        return next((name for name, floor in _FLOOR.items() if self.score >= floor), "low")

    def text(self) -> str:
        """One line for a person."""
        score = f" {self.score}" if self.score is not None else ""
        fix = f"fixed in {self.fixed}" if self.fixed else "no fix yet"
        return (
            f"{self.id} {self.severity}{score}: {self.package} {self.version} ({fix}) {self.summary}".rstrip()
        )


@dataclass(frozen=True)
class Verdict:
    """The findings that fail the stage, those only reported, those waived, and waivers that have ended."""

    failing: tuple[Finding, ...]
    reported: tuple[Finding, ...]
    waived: tuple[Finding, ...]
    ended: tuple[Waiver, ...]

    def as_dict(self) -> dict[str, object]:
        """For the report."""
        named = {"failing": self.failing, "reported": self.reported, "waived": self.waived}
        findings = [
            {"state": state, "severity": f.severity, **asdict(f)}
            for state, found in named.items()
            for f in found
        ]
        return {
            "findings": findings,
            "counts": {state: len(found) for state, found in named.items()},
            "ended_waivers": [w.id for w in self.ended],
        }


def packages(scan: dict) -> list[Package]:
    """Every package in the scanner's JSON, each once, sorted."""
    found = {_package(entry["package"]) for entry in _entries(scan)}
    return sorted(found, key=lambda p: (p.ecosystem, p.name, p.version))


def findings(scan: dict) -> list[Finding]:
    """Every advisory that applies, one for each group of aliases, worst first."""
    found = [_finding(entry, group) for entry in _entries(scan) for group in entry.get("groups") or []]
    return sorted(set(found), key=lambda f: (-(f.score if f.score is not None else 10.1), f.package, f.id))


def judge(found: list[Finding], rules: Scan, waivers: list[Waiver], today: date) -> Verdict:
    """Sort findings into failing, reported and waived."""
    sorted_: dict[str, list[Finding]] = {"failing": [], "reported": [], "waived": []}
    for finding in found:
        ids = {finding.id, *finding.aliases}
        if not _fails(finding, rules):
            sorted_["reported"].append(finding)
        elif any(w.covers(ids, finding.package, today) for w in waivers):
            sorted_["waived"].append(finding)
        else:
            sorted_["failing"].append(finding)
    ended = tuple(w for w in waivers if w.expires < today)
    return Verdict(tuple(sorted_["failing"]), tuple(sorted_["reported"]), tuple(sorted_["waived"]), ended)


def _fails(finding: Finding, rules: Scan) -> bool:
    if finding.fixed is None and rules.unfixed == "report":
        return False
    if finding.score is None:
        return rules.unscored == "fail"
    return finding.score >= _FLOOR[rules.severity]


def _entries(scan: dict) -> Iterator[dict]:
    for result in scan.get("results") or []:
        yield from result.get("packages") or []


def _package(entry: dict) -> Package:
    return Package(entry.get("ecosystem") or "unknown", entry.get("name", ""), entry.get("version", ""))


def _finding(entry: dict, group: dict) -> Finding:
    package, ids = _package(entry["package"]), set(group["ids"])
    advisories = [v for v in entry.get("vulnerabilities") or [] if v["id"] in ids]
    fixed = {f for advisory in advisories for f in _fixed(advisory, package)}
    score = group.get("max_severity")
    return Finding(
        id=sorted(ids)[0],
        aliases=tuple(sorted({*ids, *(group.get("aliases") or [])})),
        package=package.name,
        version=package.version,
        ecosystem=package.ecosystem,
        score=float(score) if score else None,
        fixed=", ".join(sorted(fixed)) or None,
        summary=next((a["summary"] for a in advisories if a.get("summary")), ""),
    )


def _fixed(advisory: dict, package: Package) -> Iterator[str]:
    """The versions in which the advisory is fixed for this package and release."""
    for affected in advisory.get("affected") or []:
        about = affected.get("package") or {}
        if about.get("ecosystem") not in (package.ecosystem, package.database):
            continue
        if about.get("name", "").lower().replace("_", "-") != package.name.lower().replace("_", "-"):
            continue
        for range_ in affected.get("ranges") or []:
            yield from (event["fixed"] for event in range_.get("events") or [] if "fixed" in event)
