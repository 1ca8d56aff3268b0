"""Files of a work tree by content, found again at the cost of a stat each."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from slipway.gate import worktree
from slipway.gate.worktree import blob_id, scan

LATER = 3 * 10**9


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few files, a link, and folders that hold no manifests."""
    for name in (
        "base/web/deployment.yaml",
        "overlays/dev/web/kustomization.yaml",
        ".git/config",
        "a/.cache/x",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {name}")
    (tmp_path / "base" / "link").symlink_to("web")
    (tmp_path / "base" / ".argocd-source.yaml").write_text("{}")
    return tmp_path


def test_every_file_is_listed_with_the_id_that_git_gives_it(tree: Path) -> None:
    """Hidden folders are left out, hidden files are not; a link is what it points to, not what is there."""
    found = scan(tree, {}, time.time_ns())
    assert sorted(found.ids) == [
        "base/.argocd-source.yaml",
        "base/link",
        "base/web/deployment.yaml",
        "overlays/dev/web/kustomization.yaml",
    ]
    file = tree / "base/web/deployment.yaml"
    hashed = subprocess.run(["git", "hash-object", file], capture_output=True, text=True, check=True).stdout
    assert found.ids["base/web/deployment.yaml"] == hashed.strip()
    assert found.ids["base/link"] == blob_id(b"web")
    assert found.id_of("base/web") == "folder"
    assert found.id_of("base/none") == ""


def test_a_second_look_reads_no_file(tree: Path) -> None:
    """Stamps are enough."""
    first = scan(tree, {}, time.time_ns() + LATER)
    second = scan(tree, first.stamps, time.time_ns() + LATER)
    assert (first.hashed, second.hashed) == (4, 0)
    assert second.ids == first.ids


def test_a_change_of_equal_length_is_seen(tree: Path) -> None:
    """Also when the time of change was set back."""
    file = tree / "base/web/deployment.yaml"
    first = scan(tree, {}, time.time_ns() + LATER)
    times = file.stat()
    file.write_text(file.read_text().upper())
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert scan(tree, first.stamps, time.time_ns() + LATER).ids != first.ids


def test_what_has_just_changed_is_read_again_next_time(tree: Path) -> None:
    """Two changes within one tick of the file system's clock leave the same stamp."""
    assert scan(tree, {}, time.time_ns()).stamps == {}


def test_a_file_that_is_too_large_is_not_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It still changes when it changes."""
    monkeypatch.setattr(worktree, "LARGEST", 4)
    found = scan(tree, {}, time.time_ns())
    assert found.ids["base/web/deployment.yaml"].startswith("unread-")
