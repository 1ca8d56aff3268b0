"""The image that runs can be made again from its commit, byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from slipway.platform import config, pipeline

from .conftest import Platform, slipway


@pytest.mark.timeout(900)
def test_a_second_build_from_nothing_gives_the_digest_that_runs(platform: Platform, tmp_path: Path) -> None:
    """Built from a fresh clone into empty storage: no layer is shared with the pipeline's build."""
    running = platform.version("dev")
    clone = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", platform.remote("source"), clone], check=True)
    subprocess.run(["git", "-C", clone, "checkout", "-q", running["commit"]], check=True)
    env = {
        **os.environ,
        **config.mirrors(),
        "SLIPWAY_BUILDAH_ROOT": str(tmp_path / "buildah"),
        "SLIPWAY_PYTHON_IMAGE": f"oci-archive:{pipeline.base_image(platform.state)}",
    }
    done = slipway("ci", "build", "--image", "board-backend", "--json", cwd=clone, env=env)
    assert done.returncode == 0, done.stderr
    built = json.loads((clone / "out" / "board-backend.json").read_text())
    assert built["digest"] == running["digest"]
