"""What the images of the board promise, read from their Dockerfiles."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from board_testing import BOARD
from slipway.proc import run

ROOT = BOARD.parents[1]


@pytest.fixture(params=["backend", "frontend"])
def stages(request) -> list[str]:
    """The text of each stage of a Dockerfile, comments left out, continued lines joined."""
    text = (ROOT / "images" / f"board-{request.param}" / "Dockerfile").read_text()
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", "")
    return re.split(r"(?m)^(?=FROM )", text)


def test_the_base_is_an_argument_with_a_pinned_default(stages):
    """Both ends of the build stand on the same interpreter."""
    assert re.fullmatch(r"ARG PYTHON_IMAGE=\S+:\S+@sha256:[0-9a-f]{64}\n+", stages[0])
    assert stages[1].startswith("FROM ${PYTHON_IMAGE} AS ") and stages[-1].startswith(
        "FROM ${PYTHON_IMAGE}\n"
    )


def test_the_runtime_is_a_numbered_user_with_a_plain_command(stages):
    """Kubernetes can check a number; SIGTERM reaches the process itself."""
    runtime = stages[-1]
    assert "USER 10001:10001\n" in runtime and "HOME=/tmp" in runtime
    command = json.loads(re.search(r"(?m)^CMD (.*)$", runtime)[1])
    assert command[0] == "python"
    assert "RUN" not in runtime, "whatever runs in the runtime stage leaves its traces in it"


def test_dependencies_are_locked_and_their_secrets_stay_out(stages):
    """Only what the lock file names, byte for byte; the index's CA and configuration come in as mounts."""
    dependencies = stages[1]
    assert "--require-hashes" in dependencies and "--only-binary :all:" in dependencies
    assert {"--mount=type=secret,id=ca", "--mount=type=secret,id=pip"} <= set(dependencies.split())
    assert "unchecked-hash" in dependencies and "PYTHONHASHSEED=0" in dependencies
    assert "GIT_COMMIT" not in dependencies
    assert "${LAYERS_TIME}" in dependencies, "layers of another time would be reused, and keep that time"


def test_a_commit_changes_the_last_layers_only_and_always(stages):
    """The arguments come after everything large, and reach a file, without which buildah would reuse old labels."""
    application, runtime = stages[2], stages[-1]
    arguments = ("GIT_COMMIT", "VERSION", "CREATED", "SOURCE_URL")
    written = re.search(r'(?m)^RUN .*echo "(.*)" > /app/BUILD$', application)[1]
    assert all(f"${{{name}}}" in written for name in arguments)
    assert runtime.index("COPY --from=application") < min(runtime.index(f"ARG {name}") for name in arguments)
    assert "BOARD_COMMIT=${GIT_COMMIT} BOARD_VERSION=${VERSION}" in runtime
    for label in ("revision", "version", "created", "source"):
        assert f"org.opencontainers.image.{label}=" in runtime


ALONE = """
import importlib, pathlib, pkgutil, sys
import board_backend, slipway
for found in pkgutil.walk_packages(board_backend.__path__, "board_backend."):
    if not found.name.startswith("board_backend.migrations"):
        importlib.import_module(found.name)
print(pathlib.Path(slipway.__file__).parent.parent)
"""


def copied(dockerfile: str, folder: Path) -> Path:
    """What the stage of the application copies from the repository, below `folder`."""
    for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", dockerfile.replace("\\\n", "")):
        *sources, target = line.split()
        for source in sources:
            place = folder / target.lstrip("/")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place = place / Path(source).name if target.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    return folder / "app"


def test_the_backend_runs_with_nothing_but_what_its_image_copies(tmp_path):
    """Every module is imported, and a database migrated, with these files alone on the path."""
    app = copied((ROOT / "images" / "board-backend" / "Dockerfile").read_text(), tmp_path)
    env = {"PYTHONPATH": str(app), "BOARD_DATABASE_URL": f"sqlite:///{tmp_path}/x.sqlite3"}
    assert run([sys.executable, "-c", ALONE], cwd=tmp_path, env=env).stdout.strip() == str(app)
    done = run([sys.executable, "-m", "board_backend", "migrate"], cwd=tmp_path, env=env)
    assert "schema upgraded" in done.stdout
    assert not list(app.glob("slipway/commands")) and not list(app.glob("slipway/platform"))


def test_the_context_leaves_out_what_differs_between_checkouts():
    """Byte code and history would make the same commit two images."""
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {".git", ".venv", "**/__pycache__", "**/*.pyc", "tests"} <= set(ignored)
