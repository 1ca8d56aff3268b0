"""`slipway set-image` edits one file exactly, or leaves it alone."""

import json

import pytest

from tests.cli.bump_lab import invoke

IMAGE = "registry.example/team/app"
DIGEST = "sha256:" + "b" * 64
TEXT = f"# ours\r\nimages:\r\n  - name: {IMAGE} # keep\r\n    newTag: v1\r\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "kustomization.yaml"
    path.write_bytes(TEXT.encode())
    path.chmod(0o640)
    return path


def test_edits_only_the_values(file):
    """Tag and digest are written; every other byte and the file's mode stay."""
    done = invoke("set-image", str(file), f"{IMAGE}=:5e10@{DIGEST}")
    assert done.returncode == 0, done.stderr
    expected = TEXT.replace("newTag: v1\r\n", f'newTag: "5e10"\r\n    digest: "{DIGEST}"\r\n')
    assert file.read_bytes() == expected.encode() and file.stat().st_mode & 0o777 == 0o640
    assert done.stdout == f"{file}:4: {IMAGE}:v1 → {IMAGE}:5e10@{DIGEST}\n"


def test_B7_second_time_says_already(file):
    """The same edit again succeeds, says so, and does not touch the file."""
    invoke("set-image", str(file), f"{IMAGE}=:v2")
    before = file.stat().st_mtime_ns
    done = invoke("set-image", str(file), f"{IMAGE}=:v2")
    assert done.returncode == 0 and "already at" in done.stdout and file.stat().st_mtime_ns == before


def test_dry_run_shows_the_difference(file):
    """A dry run prints a diff and writes nothing."""
    done = invoke("set-image", str(file), f"{IMAGE}=:v2", "--dry-run")
    assert done.returncode == 0 and file.read_bytes() == TEXT.encode()
    assert "-    newTag: v1" in done.stdout and '+    newTag: "v2"' in done.stdout


def test_json_tells_the_changes(file):
    """Machine output names image, line, old and new reference."""
    done = invoke("set-image", str(file), f"{IMAGE}=other.example/app:v2", "--json")
    change = {"image": IMAGE, "line": 4, "old": f"{IMAGE}:v1", "new": "other.example/app:v2"}
    assert json.loads(done.stdout) == {"path": str(file), "dry_run": False, "changes": [change]}


def test_refusal_changes_nothing(file):
    """A refusal names file, line and fix, with its own exit code."""
    done = invoke("set-image", str(file), f"{IMAGE}=:v2", "b=:v2", "--json")
    assert done.returncode == 3 and file.read_bytes() == TEXT.encode()
    assert f"{file}:3: no entry for `b`" in done.stderr and "fix: " in done.stderr
    assert json.loads(done.stdout)["error"] == "EditRefused"
    added = invoke("set-image", str(file), f"b=:v2@{DIGEST}", "--add")
    assert added.returncode == 0
    assert (
        file.read_bytes()
        == (TEXT + f'  - name: b\r\n    newTag: "v2"\r\n    digest: "{DIGEST}"\r\n').encode()
    )


@pytest.mark.parametrize("arguments", [[], ["x"], [f"{IMAGE}=:v 2"], [f"{IMAGE}=:v1", f"{IMAGE}=:v2"]])
def test_bad_arguments_are_named(file, arguments):
    """Missing, malformed and repeated images are refused as usage errors."""
    done = invoke("set-image", str(file), *arguments)
    assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == TEXT.encode()
