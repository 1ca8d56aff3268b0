"""`down` removes what is ours, and only that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from slipway.errors import StateError
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
