"""Stage scan: known vulnerabilities in an image archive, offline, and the image's bill of materials."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

from slipway import toolchain
from slipway.errors import CommandFailed, InvalidInput, PipelineFailed
from slipway.pipeline import archive, findings, osv, sbom
from slipway.pipeline.config import Config
from slipway.pipeline.records import Output
from slipway.pipeline.waivers import Waiver
from slipway.proc import run

_FOUND = 1
_NOTHING_TO_SCAN = 128
_BROKEN = 127
_NO_DATABASE = re.compile(r"could not load db for (\S+) ecosystem")


def scan(
    config: Config, image: str, output: Output, where: Path, waivers: list[Waiver], now: datetime
) -> dict:
    """Scan one image's archive, write report and SBOM, and return the report.

    Never passes by default: no package found, an ecosystem without database, or one too old is an error.
    """
    built = output.built(image)
    digest = archive.read(output.archive(image)).digest
    if digest != built.digest:
        raise InvalidInput(
            f"the archive is {digest}, build recorded {built.digest}", path=output.archive(image)
        )
    database = osv.read(where)
    raw = _osv_scanner(output.archive(image), where)
    packages = findings.packages(raw)
    if not packages:
        raise PipelineFailed(f"no package was found in {image}: nothing was checked")
    rules = config.scan
    osv.require(database, {p.database for p in packages}, rules.max_age_days, rules.sample, now)
    found = findings.findings(raw)
    verdict = findings.judge(found, rules, waivers, now.date())
    report = {
        "image": built.image,
        "tag": built.tag,
        "digest": built.digest,
        "verdict": "fail" if verdict.failing else "pass",
        "database": database.text(),
        "threshold": rules.severity,
        "packages": len(packages),
        "scanned": now.isoformat(timespec="seconds"),
        **verdict.as_dict(),
    }
    output.put_scan(image, report, sbom.document(built, packages, found))
    return report


def text(image: str, report: dict) -> list[str]:
    """The report for a person; the database's origin always stands in it."""
    counts = report["counts"]
    lines = [
        f"{image}: {report['packages']} packages, {counts['failing']} failing, {counts['reported']} reported, "
        f"{counts['waived']} waived",
        f"  {report['database']}",
    ]
    for entry in report["findings"]:
        finding = {k: v for k, v in entry.items() if k not in ("state", "severity")}
        lines.append(f"  {entry['state']}: {findings.Finding(**finding).text()}")
    return lines + [f"  waiver for {name} has ended" for name in report["ended_waivers"]]


def fail(reports: dict[str, dict]) -> None:
    """Raise if any image has failing findings, naming them."""
    bad = {image: [f["id"] for f in r["findings"] if f["state"] == "failing"] for image, r in reports.items()}
    listed = "; ".join(f"{image}: {', '.join(ids)}" for image, ids in bad.items() if ids)
    if listed:
        raise PipelineFailed(
            f"known vulnerabilities: {listed}",
            fix="raise the versions named above, or accept one for a while in ci/waivers.yaml with reason and expiry",
        )


def _osv_scanner(tar: Path, where: Path) -> dict:
    """The scanner's JSON; `{}` when it found nothing to look at."""
    command = [toolchain.tool("osv-scanner"), "scan", "image", "--offline", "--all-packages", "--format=json"]
    result = run(
        [*command, "--archive", tar],
        env={"OSV_SCANNER_LOCAL_DB_CACHE_DIRECTORY": str(where)},
        timeout=600,
        allowed=(0, _FOUND, _NOTHING_TO_SCAN, _BROKEN),
    )
    if result.returncode == _NOTHING_TO_SCAN:
        return {}
    if missing := sorted(set(_NO_DATABASE.findall(result.stderr))):
        osv.refuse_missing(missing)
    if result.returncode == _BROKEN:
        raise CommandFailed(f"osv-scanner could not run: {result.stderr.strip()[-500:]}", returncode=_BROKEN)
    try:
        return json.loads(result.stdout)
    except ValueError as exc:
        raise CommandFailed(f"osv-scanner printed no JSON: {result.stderr.strip()[-500:]}") from exc
