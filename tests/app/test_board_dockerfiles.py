"""What the images of the board promise, read from their Dockerfiles."""

from __future__ import annotations

import json
import re

import pytest
from board_testing import BOARD

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


def test_the_context_leaves_out_what_differs_between_checkouts():
    """Byte code and history would make the same commit two images."""
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {".git", ".venv", "**/__pycache__", "**/*.pyc", "tests"} <= set(ignored)
