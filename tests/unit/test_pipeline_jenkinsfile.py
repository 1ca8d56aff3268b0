"""The shipped Jenkinsfile, run whole by the harness: real builder, scanner, registry and signatures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fixtures" / "pipelines"))
from project import Project, make_key, python_package, running_registry  # noqa: E402

SLIPWAY = """#!/bin/sh
# `ci` is the real one; `bump` writes down how it was called.
[ "$1" = ci ] && exec {python} -m slipway.cli "$@"
[ -n "$SLIPWAY_GIT_PASSWORD" ] && [ -s "$SLIPWAY_COMMIT_KEY" ] && echo "$SLIPWAY_GIT_USERNAME: $*" > {folder}/bumped
"""


class Run:
    """One run of the pipeline over a project; the registry is up while it runs."""

    def __init__(self, folder: Path, packages: dict[str, str], branch: str = "main", message: str = "work"):
        with running_registry(folder) as url:
            self.project = Project(folder, packages, url)
            self.commit = self.project.commit(message)
            self.home = folder / "build"
            self.folder = folder
            command = [ROOT / "ci" / "harness" / "harness", "--repo", self.project.folder, "--branch", branch]
            command += ["--build-dir", self.home, "--number", "41", "--credentials", self.credentials(folder)]
            env = self.project.env | {"SLIPWAY_DEPLOY_REPO": "https://forge.example/slipway/deploy.git"}
            env["PATH"] = f"{self.programs(folder)}:{env['PATH']}"
            self.done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
            self.tags = httpx.get(f"{url}/v2/slipway/app/tags/list").json().get("tags")
        self.log = (self.home / "log").read_text()
        self.result = json.loads((self.home / "result.json").read_text())
        self.stages = {s["name"].rpartition(" / ")[2]: s["status"] for s in self.result["stages"]}

    def credentials(self, folder: Path) -> Path:
        file, commit_key = folder / "credentials.json", folder / "commit-key.asc"
        commit_key.write_text("-----BEGIN PGP" + " PRIVATE KEY BLOCK-----\n")
        entries = {
            "commit-key": {"file": str(commit_key)},
            "cosign-key": {"file": str(make_key(folder, "pass-of-the-key"))},
            "cosign-password": {"secret": "pass-of-the-key"},
            "deploy-repo": {"username": "slipway-bot", "password": "pass-of-the-bot"},
        }
        file.write_text(json.dumps(entries))
        file.chmod(0o600)
        return file

    def programs(self, folder: Path) -> Path:
        program = folder / "bin" / "slipway"
        program.parent.mkdir()
        program.write_text(SLIPWAY.format(python=sys.executable, folder=folder))
        program.chmod(0o755)
        return program.parent

    def archived(self) -> list[str]:
        root = self.home / "archive"
        return sorted(str(f.relative_to(root)) for f in root.rglob("*") if f.is_file())


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Run:
    return Run(tmp_path_factory.mktemp("good"), python_package("jinja2", "3.1.6"))


def test_a_commit_becomes_a_signed_image_and_a_bump(good):
    """All stages in order; the bump gets the digest of the image that the registry holds."""
    assert good.done.returncode == 0, good.log
    names = list(good.stages)
    assert sorted(names[3:5]) == ["Build", "Test"]  # side by side
    assert names[:3] + names[5:] == ["Checkout", "Deliver", "Test and build", "Scan", "Push", "Sign", "Bump"]
    assert set(good.stages.values()) == {"SUCCESS"}
    digest = json.loads((good.home / "archive" / "out" / "digests" / "app.json").read_text())
    assert digest["revision"] == good.commit
    assert digest["tag"] in good.tags
    assert (good.folder / "bumped").read_text() == (
        "slipway-bot: bump --repo https://forge.example/slipway/deploy.git --env dev "
        "--digests out/digests --build 41 --source-repo . --ecr\n"
    )


def test_the_bill_of_materials_the_report_and_the_digest_are_kept(good):
    """The artifacts are archived, the workspace is not."""
    assert good.archived() == ["out/app.sbom.json", "out/app.scan.json", "out/digests/app.json"]
    assert list((good.home / "workspace").iterdir()) == []


def test_no_secret_is_in_the_log(good):
    """Neither the passwords nor the key appear, and every report says that the database is a sample."""
    assert "pass-of-the" not in good.log + json.dumps(good.result)
    assert "PRIVATE KEY" not in good.log
    assert "sample database: 9 advisories" in good.log


def test_a_known_bad_image_is_stopped_before_anything_is_pushed(tmp_path):
    """The scan fails by name, the later stages are skipped, the registry stays empty, the report is kept."""
    run = Run(tmp_path, python_package("jinja2", "2.10"))
    assert run.done.returncode == 1
    assert (run.stages["Scan"], run.stages["Push"], run.stages["Bump"]) == ("FAILURE", "SKIPPED", "SKIPPED")
    assert "GHSA-462w-v97r-4m45" in run.log
    assert run.tags is None
    assert not (tmp_path / "bumped").exists()
    assert run.archived() == ["out/app.sbom.json", "out/app.scan.json"]


def test_a_branch_is_tested_built_and_scanned_only(tmp_path):
    """What is not on main reaches neither the registry nor an environment."""
    run = Run(tmp_path, python_package("jinja2", "3.1.6"), branch="topic")
    assert run.result["status"] == "SUCCESS"
    assert [s for s, status in run.stages.items() if status == "SKIPPED"] == ["Push", "Sign", "Bump"]
    assert run.tags is None


def test_a_commit_that_only_bumps_builds_nothing(tmp_path):
    """The loop guard: such a commit in this repository ends the build after the checkout, as a success."""
    run = Run(tmp_path, {}, message="dev: app 20260101-000000-abcdef0\n\nSource-Commit: abcdef0")
    assert run.result["status"] == "SUCCESS"
    assert run.stages == {"Checkout": "SUCCESS", "Deliver": "SKIPPED"}
