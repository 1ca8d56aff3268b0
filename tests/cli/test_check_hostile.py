"""`slipway check` on a pull request that means harm: every mistake is named, and the rest is still checked."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from slipway import paths

from tests.unit import hostile_repo

SLIPWAY = Path(sys.prefix) / "bin" / "slipway"
NAMED_WITHIN = 10.0
"""Seconds of processor time for one overlay."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], float]:
    """The verb on a repository with every mistake, and the processor time that it took."""
    root = hostile_repo.build(tmp_path_factory.mktemp("hostile"), hostile_repo.MISTAKES)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "tools").symlink_to(paths.cache() / "tools")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = [SLIPWAY, "check", "--json", "--repo", str(root)]
    env = {**os.environ, "SLIPWAY_CACHE": str(cache)}
    ended = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def findings(done) -> list[dict]:
    """What was found."""
    assert done[0].returncode == 1, done[0].stderr
    return json.loads(done[0].stdout)["findings"]


@pytest.mark.parametrize("mistake", hostile_repo.MISTAKES)
def test_every_mistake_is_named(done, mistake: str) -> None:
    """With its rule, and a file that belongs to it."""
    text = f"overlays/dev/{mistake}/"
    named = {one["rule"] for one in findings(done) if one["file"].startswith((text, "base/"))}
    assert named & hostile_repo.expected(mistake)


def test_the_other_overlay_is_still_checked(done) -> None:
    """It is valid, and so are the objects of Argo CD; what was not rendered counts as skipped."""
    report = json.loads(done[0].stdout)
    assert report["counts"] == {"valid": 2, "invalid": 0, "skipped": len(hostile_repo.MISTAKES)}
    assert not [
        one for one in report["findings"] if "innocent" in one["file"] and one["rule"] == "render-failed"
    ]


def test_the_whole_takes_no_longer_than_its_worst_overlays(done) -> None:
    """Two use up what they are allowed; all others together take a few seconds."""
    assert done[1] < len(hostile_repo.EXHAUSTING) * NAMED_WITHIN + 10


def test_nothing_was_started_and_nothing_told(done) -> None:
    """The programs of the fixtures would leave a file; the links lead to the users of this machine."""
    assert not Path("/tmp/slipway-was-here").exists()
    assert "root:x:0:0" not in done[0].stdout + done[0].stderr
