"""Versions and the loop guard, on real Git repositories."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.errors import InvalidInput
from slipway.pipeline.commit import Commit, is_bump, last_change, only_bumps, read, touches

PATTERNS = ["apps/*", "Makefile"]
BUMP = (
    "dev: board-backend 20260101-000000-abcdef0\n\nSource-Commit: 0123456789abcdef0123456789abcdef01234567\n"
)


class Repository:
    """A repository with an identity and a fixed time for its first commit."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, file: str, message: str = "change") -> str:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(message + file)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


def test_layers_keep_the_time_of_the_last_change_to_what_they_are_made_from(repository, monkeypatch):
    """A commit elsewhere leaves the time alone, so that kept and fresh dependency layers are the same bytes."""
    for number, file in enumerate(["lock", "other", "Dockerfile", "other2"]):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-01-0{number + 1}T00:00:00Z")
        repository.commit(file)
    commit = read(repository.folder)
    files = [Path("lock"), Path("Dockerfile")]
    assert last_change(repository.folder, files, commit) == datetime(2026, 1, 3, tzinfo=UTC)
    assert last_change(repository.folder, files[:1], commit) == datetime(2026, 1, 1, tzinfo=UTC)
    assert last_change(repository.folder, [Path("never")], commit) == commit.time


def test_a_version_carries_the_commit_time_and_id(repository):
    """The same commit gives the same tag wherever and whenever it is built."""
    sha = repository.commit("apps/a")
    repository.git("commit", "--quiet", "--amend", "--no-edit", "--date=2026-11-23T04:50:00+02:00")
    commit = read(repository.folder)
    time = datetime.fromtimestamp(int(repository.git("show", "-s", "--format=%ct")), UTC)
    assert commit.sha != sha
    assert commit.tag == f"{time:%Y%m%d-%H%M%S}-{commit.sha[:7]}"
    assert commit.created == time.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert not commit.dirty


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(1, 10**9))
def test_tags_sort_as_their_commits(time, later):
    """Text order is time order, and every tag is one that a registry takes."""
    time = time.replace(tzinfo=UTC, microsecond=0)
    first = Commit("f" * 40, time, False).tag
    second = Commit("0" * 40, time + timedelta(seconds=later), False).tag
    assert first < second
    assert len(first) == 23


def test_uncommitted_changes_mark_the_version_and_results_do_not_count(repository):
    """A changed or a new file makes a build dirty; the output folder does not."""
    repository.commit("apps/a")
    (repository.folder / "out").mkdir()
    (repository.folder / "out" / "x.tar").touch()
    assert not read(repository.folder).dirty
    (repository.folder / "apps" / "new").touch()
    assert read(repository.folder).tag.endswith("-dirty")


def test_a_folder_without_commit_is_refused(tmp_path):
    """No repository, no version."""
    with pytest.raises(InvalidInput, match="no commit to build"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (BUMP, True),
        ("x\n\nSource-Commit: 0123abc\nBuild: 7\n", True),
        ("x\n\nSource-Commit: see below\n", False),
        ("Source-Commit: 0123abc is quoted\n\nbody\n", False),
        ("x\n\nSource-Commit: 0123abc\n\nand more prose\n", False),
        ("change", False),
    ],
)
def test_a_bump_is_known_by_its_trailer(message, expected):
    """Only the last paragraph counts, and only a whole commit id."""
    assert is_bump(message, "Source-Commit") is expected


def test_a_bump_only_commit_does_not_build(repository):
    """The loop ends here, should a bump ever be pushed to the source repository."""
    base = repository.commit("apps/a")
    repository.commit("overlays/dev/k.yaml", BUMP)
    assert only_bumps(repository.folder, None, PATTERNS, "Source-Commit")
    assert only_bumps(repository.folder, base, PATTERNS, "Source-Commit")


def test_a_source_change_builds_whatever_its_message_says(repository):
    """A trailer does not hide a change of the application, nor does a bump on top of one."""
    base = repository.commit("README.md")
    repository.commit("apps/a", BUMP)
    assert not only_bumps(repository.folder, None, PATTERNS, "Source-Commit")
    repository.commit("overlays/dev/k.yaml", BUMP)
    assert not only_bumps(repository.folder, base, PATTERNS, "Source-Commit")


def test_a_start_that_is_gone_does_not_stop_the_build(repository):
    """After a forced push the earlier tip may not exist: then HEAD alone decides."""
    repository.commit("apps/a")
    assert not only_bumps(repository.folder, "f" * 40, PATTERNS, "Source-Commit")


def test_patterns_cross_folders():
    """`apps/*` means everything below apps."""
    assert touches(["docs/x", "apps/board/backend/a.py"], PATTERNS)
    assert touches(["Makefile"], PATTERNS)
    assert not touches(["docs/Makefile", "README.md"], PATTERNS)
