"""The software bill of materials of an image, CycloneDX 1.6, from the scanner's package list. No I/O.

Made here because the scanner's own CycloneDX output leaves every Debian package out.
"""

from __future__ import annotations

import uuid
from urllib.parse import quote

from slipway.pipeline.findings import Finding, Package
from slipway.pipeline.records import Built

_TYPES = {
    "PyPI": "pypi",
    "Debian": "deb/debian",
    "npm": "npm",
    "Go": "golang",
    "crates.io": "cargo",
    "Maven": "maven",
}


def purl(package: Package) -> str:
    """The package URL, e.g. `pkg:deb/debian/openssl@3.0.14-1~deb12u2?distro=debian-12`."""
    kind = _TYPES.get(package.database, f"generic/{quote(package.database)}")
    name = quote(package.name.lower().replace("_", "-") if kind == "pypi" else package.name, safe="/")
    release = package.ecosystem.partition(":")[2]
    distro = f"?distro=debian-{quote(release)}" if kind == "deb/debian" and release else ""
    return f"pkg:{kind}/{name}@{quote(package.version, safe='~')}{distro}"


def document(built: Built, packages: list[Package], findings: list[Finding]) -> dict[str, object]:
    """The document; the same image and database give the same text."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{built.image}@{built.digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": built.created,
            "component": {
                "bom-ref": f"{built.image}@{built.digest}",
                "type": "container",
                "name": built.image,
                "version": built.tag,
                "hashes": [{"alg": "SHA-256", "content": built.digest.partition(":")[2]}],
            },
        },
        "components": [
            {"bom-ref": purl(p), "type": "library", "name": p.name, "version": p.version, "purl": purl(p)}
            for p in packages
        ],
        "vulnerabilities": [
            {
                "id": f.id,
                "description": f.summary,
                "ratings": [{"severity": f.severity, "score": f.score}] if f.score is not None else [],
                "affects": [{"ref": purl(Package(f.ecosystem, f.package, f.version))}],
            }
            for f in findings
        ],
    }
