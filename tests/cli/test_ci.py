"""`slipway ci` as a person and Jenkins call it: output, exit codes, and refusals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "pipelines"))
from project import HOST, Project, make_key, python_package, running_registry

STAGES = ["test", "build", "scan", "push", "sign"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(scope="module")
def done(tmp_path_factory, registry) -> dict:
    """All stages once, in order, with `--json`; stage to its parsed output, and the project itself."""
    folder = tmp_path_factory.mktemp("project")
    project = Project(folder, python_package("jinja2", "3.1.6"), registry)
    key = make_key(folder, "test")
    results: dict = {"project": project}
    for stage in STAGES:
        more = ["--update-db"] if stage == "scan" else []
        finished = project.slipway("ci", stage, *more, "--json", COSIGN_KEY=str(key), COSIGN_PASSWORD="test")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        results[stage] = json.loads(finished.stdout)
    return results


def test_the_stages_in_order_end_with_a_signed_digest(done):
    """From a commit to a signature, each stage going on from what the one before it left."""
    head = done["project"].git("rev-parse", "HEAD")
    built, pushed, signed = done["build"][0], done["push"][0], done["sign"][0]
    assert (built["image"], built["revision"]) == (f"{HOST}/slipway/app", head)
    assert re.fullmatch(rf"\d{{8}}-\d{{6}}-{head[:7]}", built["tag"])
    assert built["digest"] == done["scan"]["app"]["digest"] == pushed["digest"] == signed["digest"]
    assert pushed["new"] is True


def test_what_the_bump_reads_has_exactly_the_five_fields(done):
    """`slipway bump --digests out/digests` depends on this shape."""
    record = json.loads((done["project"].folder / "out" / "digests" / "app.json").read_text())
    assert list(record) == ["image", "tag", "digest", "revision", "created"]
    assert record["digest"] == done["push"][0]["digest"]


def test_a_second_push_says_that_nothing_was_to_do(done):
    """A no-op is a success and says so."""
    finished = done["project"].slipway("ci", "push")
    assert finished.returncode == 0
    assert finished.stdout.startswith(f"app: was there already: {HOST}/slipway/app:")


def test_a_clean_checkout_stays_clean(done):
    """The pipeline writes below out/ only, so that a second build is not marked dirty."""
    assert done["project"].git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("stage", "reason"),
    [("scan", "was not built"), ("push", "was not built"), ("sign", "was not pushed")],
)
def test_a_stage_without_its_predecessor_refuses_with_cause_and_fix(tmp_path, stage, reason):
    """Exit code 2, the file that is missing, and the command to run first."""
    project = Project(tmp_path, {})
    (tmp_path / "key").touch()
    finished = project.slipway("ci", stage, COSIGN_KEY=str(tmp_path / "key"), COSIGN_PASSWORD="x")
    assert finished.returncode == 2
    assert re.match(
        rf"slipway: out/\S+\.json: app {reason}\n  fix: run `slipway ci (build|push)` first\n",
        finished.stderr,
    )


def test_a_known_bad_image_fails_the_scan_and_cannot_be_pushed(tmp_path, registry):
    """Exit code 1 and the advisory's name; the push then refuses, and the registry holds nothing of it."""
    project = Project(tmp_path, python_package("jinja2", "2.10"), registry)
    assert project.slipway("ci", "build").returncode == 0
    scanned = project.slipway("ci", "scan", "--update-db")
    assert scanned.returncode == 1
    assert "known vulnerabilities: app: GHSA-462w-v97r-4m45" in scanned.stderr
    assert "sample database: 9 advisories" in scanned.stdout
    pushed = project.slipway("ci", "push")
    assert (pushed.returncode, "did not pass its scan" in pushed.stderr) == (2, True)


def test_failing_tests_fail_the_stage(tmp_path):
    """Exit code 1; no test at all is a failure too."""
    project = Project(tmp_path, {})
    (project.folder / "tests" / "app" / "test_app.py").write_text("def test_wrong():\n    assert 0\n")
    assert project.slipway("ci", "test").returncode == 1
    (project.folder / "tests" / "app" / "test_app.py").write_text("")
    assert "ended with code 5" in project.slipway("ci", "test").stderr


def test_guard_says_build_or_skip(tmp_path):
    """One word on standard output, which the Jenkinsfile compares."""
    project = Project(tmp_path, {})
    assert project.slipway("ci", "guard").stdout == "build\n"
    (project.folder / "overlay.yaml").touch()
    project.commit("dev: app\n\nSource-Commit: 0123abc")
    assert project.slipway("ci", "guard").stdout == "skip\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("registry"), "ci/pipeline.yaml: registry: Field required"),
        (lambda s: s.update(typo=1), "ci/pipeline.yaml: typo: Extra inputs are not permitted"),
        (lambda s: s["scan"].update(severity="bad"), "ci/pipeline.yaml: scan.severity: Input should be"),
    ],
)
def test_settings_with_a_mistake_are_refused_by_place(tmp_path, change, message):
    """The file, the place in it and what is wrong."""
    import yaml

    project = Project(tmp_path, {})
    settings = project.settings()
    change(settings)
    (project.folder / "ci" / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    finished = project.slipway("ci", "build")
    assert finished.returncode == 2
    assert message in finished.stderr


def test_an_unknown_image_is_refused_with_the_known_ones(tmp_path):
    """A misspelled --image does not build nothing in silence."""
    finished = Project(tmp_path, {}).slipway("ci", "build", "--image", "ap")
    assert (finished.returncode, finished.stderr) == (2, "slipway: no image ap\n  fix: one of app\n")


@pytest.mark.parametrize("stage", ["guard", *STAGES])
def test_every_stage_has_help_with_an_example(stage):
    """`--help` shows a line that can be copied."""
    command = [sys.executable, "-m", "slipway.cli", "ci", stage, "--help"]
    assert f"Example: slipway ci {stage}" in subprocess.run(command, capture_output=True, text=True).stdout
