"""`down` removes what is ours, and only that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from slipway.errors import StateError
from slipway.platform import down
from slipway.platform.down import MARK, end_leftovers, leftovers, refuse_unknown_folder
from slipway.platform.supervisor import runs


def test_a_folder_that_is_not_ours_is_refused_untouched(tmp_path: Path) -> None:
    """SLIPWAY_STATE=/home by mistake deletes nobody's files."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StateError, match="is not a platform's state directory"):
        refuse_unknown_folder(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_processes_are_found_by_their_mark_and_ended_and_others_are_not(tmp_path: Path) -> None:
    """A service that outlived its supervisor is ours; the same program without the mark is not."""
    code = "import time; time.sleep(60)"
    ours = subprocess.Popen([sys.executable, "-c", code], env={MARK: str(tmp_path)})
    other = subprocess.Popen([sys.executable, "-c", code], env={MARK: str(tmp_path / "another")})
    try:
        assert leftovers(tmp_path) == [ours.pid]
        end_leftovers(tmp_path)
        assert not runs(ours.pid)
        assert runs(other.pid)
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_files_that_were_not_there_before_go_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What buildah left behind is removed only where this machine had none, with folders that are then empty."""
    new, old = tmp_path / "etc/cni/lock", tmp_path / "lib/containers/cache"
    monkeypatch.setattr(down, "LEFT_BY_BUILDAH", (new, old))
    old.parent.mkdir(parents=True)
    old.write_text("somebody's")
    down.note_absent(tmp_path)
    new.parent.mkdir(parents=True)
    new.touch()
    down.note_absent(tmp_path)
    down.remove_absent(tmp_path)
    assert not (tmp_path / "etc").exists()
    assert old.read_text() == "somebody's"
