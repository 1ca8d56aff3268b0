"""The scan stage with the real scanner: what is bad is named, what was not checked never passes."""

from __future__ import annotations

import http.server
import json
import shutil
import sys
import threading
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from slipway.errors import InvalidInput, MachineError, PipelineFailed
from slipway.pipeline import config, osv
from slipway.pipeline.records import Built, Output
from slipway.pipeline.scan import fail, scan, text
from slipway.pipeline.waivers import Waiver

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fixtures" / "pipelines"))
from image_layout import DEBIAN, make_archive, python_package  # noqa: E402

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CONFIG = config.load(ROOT / "ci" / "pipeline.yaml")
NOWHERE = "http://127.0.0.1:9"
BAD = "GHSA-462w-v97r-4m45"
IMAGE = "board-backend"


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """The shipped sample database, put in place because the feed is out of reach."""
    folder = tmp_path_factory.mktemp("osv") / "db"
    osv.update(folder, NOWHERE, ["PyPI", "Debian"], NOW)
    return folder


def built(folder: Path, files: dict[str, str]) -> Output:
    folder.mkdir(exist_ok=True)
    output = Output(folder)
    digest = make_archive(output.archive(IMAGE), files)
    output.put_built(
        IMAGE, Built(CONFIG.name(IMAGE), "t-1", digest, "a" * 40, "2026-01-01T00:00:00Z", "x.tar")
    )
    return output


def test_a_known_bad_package_fails_the_stage_by_name(tmp_path, sample):
    """An image with jinja2 2.10 is stopped, naming the advisory, the package and the fix."""
    output = built(tmp_path / "out", {**DEBIAN, **python_package("jinja2", "2.10")})
    report = scan(CONFIG, IMAGE, output, sample, [], NOW)
    assert report["verdict"] == "fail"
    assert any(
        f"failing: {BAD} high 8.6: jinja2 2.10 (fixed in 2.10.1)" in line for line in text(IMAGE, report)
    )
    with pytest.raises(PipelineFailed, match=f"board-backend: {BAD}"):
        fail({IMAGE: report})
    with pytest.raises(InvalidInput, match="did not pass its scan"):
        output.scan(IMAGE, report["digest"])


def test_a_known_bad_debian_package_fails_the_stage(tmp_path, sample):
    """System packages are matched by their source package and release."""
    status = DEBIAN["var/lib/dpkg/status"] + (
        "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\n"
        "Version: 3.0.11-1~deb12u2\n\n"
    )
    report = scan(
        CONFIG, IMAGE, built(tmp_path / "out", {**DEBIAN, "var/lib/dpkg/status": status}), sample, [], NOW
    )
    assert [(f["id"], f["fixed"]) for f in report["findings"]] == [
        ("DEBIAN-CVE-2024-6119", "3.0.14-1~deb12u2")
    ]
    assert report["verdict"] == "fail"


def test_a_good_image_passes_and_says_that_the_database_is_a_sample(tmp_path, sample):
    """Nothing found is a pass whose report counts packages and names the sample in so many words."""
    output = built(tmp_path / "out", {**DEBIAN, **python_package("jinja2", "3.1.6")})
    report = scan(CONFIG, IMAGE, output, sample, [], NOW)
    assert (report["verdict"], report["packages"]) == ("pass", 2)
    assert "sample database: 9 advisories" in report["database"]
    assert "sample database: 9 advisories" in "\n".join(text(IMAGE, report))
    output.scan(IMAGE, report["digest"])


def test_the_bill_of_materials_lists_python_and_debian_packages(tmp_path, sample):
    """CycloneDX with the image's digest, and system packages, which the scanner's own output leaves out."""
    output = built(tmp_path / "out", {**DEBIAN, **python_package("Jinja2", "2.10")})
    report = scan(CONFIG, IMAGE, output, sample, [], NOW)
    sbom = json.loads((output.folder / f"{IMAGE}.sbom.json").read_text())
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert [c["purl"] for c in sbom["components"]] == [
        "pkg:deb/debian/base-files@12.4?distro=debian-12",
        "pkg:pypi/jinja2@2.10",
    ]
    assert sbom["metadata"]["component"]["hashes"][0]["content"] == report["digest"].removeprefix("sha256:")
    assert sbom["vulnerabilities"][0]["affects"] == [{"ref": "pkg:pypi/jinja2@2.10"}]


def test_a_missing_database_fails(tmp_path):
    """The scanner itself would report 0 vulnerabilities."""
    output = built(tmp_path / "out", {**DEBIAN, **python_package("jinja2", "2.10")})
    with pytest.raises(MachineError, match="there is no vulnerability database"):
        scan(CONFIG, IMAGE, output, tmp_path / "none", [], NOW)
    assert not (output.folder / f"{IMAGE}.scan.json").exists()


def test_an_ecosystem_without_database_fails(tmp_path):
    """Debian packages found, only PyPI advisories there: refused, naming Debian."""
    osv.update(tmp_path / "db", NOWHERE, ["PyPI"], NOW)
    output = built(tmp_path / "out", {**DEBIAN, **python_package("jinja2", "3.1.6")})
    with pytest.raises(MachineError, match="no vulnerability database for Debian"):
        scan(CONFIG, IMAGE, output, tmp_path / "db", [], NOW)


def test_packages_that_no_database_knows_are_refused_whatever_the_scanner_says(sample):
    """The list of packages decides, not the scanner's exit code."""
    database = osv.read(sample)
    osv.require(database, {"PyPI", "Debian"}, 7, "allow", NOW)
    with pytest.raises(MachineError, match="no vulnerability database for Alpine, npm"):
        osv.require(database, {"PyPI", "npm", "Alpine"}, 7, "allow", NOW)


def test_a_deleted_or_changed_database_file_fails(tmp_path, sample):
    """What is there must be what was recorded when it was fetched."""
    output = built(tmp_path / "out", python_package("jinja2", "2.10"))
    shutil.copytree(sample, tmp_path / "db")
    for change in (lambda file: file.write_bytes(b"x"), lambda file: file.unlink()):
        change(tmp_path / "db" / "osv-scalibr" / "PyPI" / "all.zip")
        with pytest.raises(MachineError, match="database for PyPI is missing or was changed"):
            scan(CONFIG, IMAGE, output, tmp_path / "db", [], NOW)


@pytest.mark.parametrize("days", [8, 365, -1])
def test_a_stale_database_fails(tmp_path, sample, days):
    """Older than allowed, or from the future: refused with its date."""
    output = built(tmp_path / "out", python_package("jinja2", "3.1.6"))
    with pytest.raises(MachineError, match=r"database is of 2026-11-01T00:00:00\+00:00, 7 day"):
        scan(CONFIG, IMAGE, output, sample, [], NOW + timedelta(days=days))


def test_the_sample_is_refused_where_it_is_not_allowed(tmp_path, sample):
    """In production the sample does not stand in for the feed."""
    rules = CONFIG.scan.model_copy(update={"sample": "refuse"})
    output = built(tmp_path / "out", python_package("jinja2", "3.1.6"))
    with pytest.raises(MachineError, match="only the sample database: 9 advisories"):
        scan(CONFIG.model_copy(update={"scan": rules}), IMAGE, output, sample, [], NOW)


def test_an_image_without_any_package_fails(tmp_path, sample):
    """Nothing to check is not the same as nothing found."""
    with pytest.raises(PipelineFailed, match="nothing was checked"):
        scan(CONFIG, IMAGE, built(tmp_path / "out", {"etc/motd": "hi"}), sample, [], NOW)


def test_a_scan_needs_the_archive_that_build_recorded(tmp_path, sample):
    """No build, and an archive exchanged after the build, are refused."""
    with pytest.raises(InvalidInput, match="was not built") as caught:
        scan(CONFIG, IMAGE, Output(tmp_path), sample, [], NOW)
    assert caught.value.fix == "run `slipway ci build` first"
    output = built(tmp_path / "out", python_package("jinja2", "2.10"))
    make_archive(output.archive(IMAGE), python_package("jinja2", "3.1.6"))
    with pytest.raises(InvalidInput, match="build recorded"):
        scan(CONFIG, IMAGE, output, sample, [], NOW)


def test_a_file_inside_the_image_cannot_silence_the_scanner(tmp_path, sample):
    """An osv-scanner.toml beside the package, ignoring the advisory, changes nothing."""
    silencer = f'[[IgnoredVulns]]\nid = "{BAD}"\nreason = "x"\n'
    package = python_package("jinja2", "2.10")
    folder = next(iter(package)).rpartition("/")[0]
    files = {**package, f"{folder}/osv-scanner.toml": silencer, "osv-scanner.toml": silencer}
    assert scan(CONFIG, IMAGE, built(tmp_path / "out", files), sample, [], NOW)["verdict"] == "fail"


def test_a_waiver_holds_until_its_day_and_is_reported_when_it_ended(tmp_path, sample):
    """By alias, for one package; the day after, the finding fails again."""
    output = built(tmp_path / "out", python_package("jinja2", "2.10"))
    waiver = Waiver(id="CVE-2019-10906", package="jinja2", reason="templates are ours", expires=NOW.date())
    report = scan(CONFIG, IMAGE, output, sample, [waiver], NOW)
    assert (report["verdict"], report["counts"]["waived"]) == ("pass", 1)
    late = scan(CONFIG, IMAGE, output, sample, [waiver], NOW + timedelta(days=1))
    assert (late["verdict"], late["ended_waivers"]) == ("fail", ["CVE-2019-10906"])


def test_update_fetches_the_feed_and_keeps_it_when_the_feed_is_gone(tmp_path):
    """A fetched database is recorded with feed, count and time; a later failed update does not lose it."""
    feed = tmp_path / "feed" / "PyPI"
    feed.mkdir(parents=True)
    with zipfile.ZipFile(feed / "all.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"X-{number}.json", "{}")
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tmp_path / "feed"))
    ) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{s.server_address[1]}"
        database, reason = osv.update(tmp_path / "db", url, ["PyPI"], NOW)
        s.shutdown()
    assert (database.source, database.advisories, reason) == (url, 3, None)
    assert database.text() == f"database of {url}: 3 advisories (PyPI), fetched 2026-11-01T00:00:00+00:00"
    kept, reason = osv.update(tmp_path / "db", NOWHERE, ["PyPI"], NOW + timedelta(days=1))
    assert kept == database
    assert "did not answer" in reason
    assert osv.update(tmp_path / "db", NOWHERE, ["PyPI"], NOW + timedelta(hours=1), 12) == (database, None)
