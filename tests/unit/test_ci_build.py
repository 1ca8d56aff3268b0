"""The build stage with the real buildah: what the archive holds, and that it is the same every time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slipway.errors import CommandFailed, InvalidInput, MachineError
from slipway.pipeline import archive, config
from slipway.pipeline.build import Buildah, Request, build, builder, compression, host_secrets, request
from slipway.pipeline.commit import Commit
from slipway.pipeline.records import Output

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fixtures" / "pipelines"))
from image_layout import make_archive  # noqa: E402

COMMIT = Commit("abcdef0" + "1" * 33, datetime(2026, 11, 23, 4, 50, tzinfo=UTC), False)
DOCKERFILE = """ARG PYTHON_IMAGE=registry.invalid/none:1
FROM ${PYTHON_IMAGE}
ARG GIT_COMMIT
ARG VERSION
ARG CREATED
ARG SOURCE_URL
COPY apps /app
LABEL org.opencontainers.image.revision="${GIT_COMMIT}" \\
      org.opencontainers.image.version="${VERSION}" \\
      org.opencontainers.image.created="${CREATED}" \\
      org.opencontainers.image.source="${SOURCE_URL}"
USER 10001:10001
"""


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Path:
    """buildah's storage, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("buildah")
    yield folder
    subprocess.run(
        ["buildah", f"--root={folder}/root", f"--runroot={folder}/run", "rm", "--all"], capture_output=True
    )
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(tmp_path, storage, monkeypatch) -> Path:
    """A source tree with one image whose base is an archive; no network is needed."""
    make_archive(tmp_path / "base.tar", {"etc/base": "base"})
    monkeypatch.setenv("SLIPWAY_BUILDAH_ROOT", str(storage))
    monkeypatch.setenv("SLIPWAY_PYTHON_IMAGE", f"oci-archive:{tmp_path / 'base.tar'}")
    folder = tmp_path / "project"
    (folder / "apps").mkdir(parents=True)
    (folder / "apps" / "main.py").write_text("print('hello')\n")
    (folder / "images" / "board-backend").mkdir(parents=True)
    (folder / "images" / "board-backend" / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture(scope="module")
def settings() -> config.Config:
    return config.load(ROOT / "ci" / "pipeline.yaml")


def make(settings: config.Config, project: Path, out: Path, commit: Commit = COMMIT):
    return build(settings, "board-backend", commit, project, Output(out), lambda line: None)


def test_build_leaves_an_archive_and_its_record(settings, project, tmp_path):
    """Name, tag, digest, revision and time in the record; labels in the image; the archive checks out."""
    record = make(settings, project, tmp_path / "out")
    opened = archive.read(tmp_path / "out" / "board-backend.tar")
    opened.verify()
    assert record == Output(tmp_path / "out").built("board-backend")
    assert record.image == "111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway/board-backend"
    assert (record.tag, record.digest) == ("20261123-045000-abcdef0", opened.digest)
    assert opened.labels() == {
        "org.opencontainers.image.revision": COMMIT.sha,
        "org.opencontainers.image.version": "20261123-045000-abcdef0",
        "org.opencontainers.image.created": "2026-11-23T04:50:00Z",
        "org.opencontainers.image.source": settings.source,
    }


@pytest.mark.parametrize("kind", ["gzip", "none"])
def test_the_same_commit_gives_the_same_digest(settings, project, tmp_path, monkeypatch, kind):
    """Built twice, the second time with empty storage and younger files; with and without compression."""
    monkeypatch.setenv("SLIPWAY_BUILD_COMPRESSION", kind)
    first = make(settings, project, tmp_path / "one").digest
    monkeypatch.setenv("SLIPWAY_BUILDAH_ROOT", str(tmp_path / "empty"))
    (project / "apps" / "main.py").touch()
    assert make(settings, project, tmp_path / "two").digest == first


def test_an_image_that_says_it_is_another_commit_is_refused(settings, project, tmp_path):
    """buildah would take the labels of the last build from its cache; what comes out is looked at."""
    make(settings, project, tmp_path / "one")
    with pytest.raises(InvalidInput, match=f"revision is {COMMIT.sha}, not {'f' * 40}") as caught:
        make(settings, project, tmp_path / "two", Commit("f" * 40, COMMIT.time, False))
    assert caught.value.path == project / "images" / "board-backend" / "Dockerfile"
    assert not list((tmp_path / "two").glob("*.tar"))


def test_layers_are_left_as_they_are_where_the_registry_is_near():
    """Behind a plain HTTP mirror, or when asked for; a word that is not known is refused."""
    near = {"SLIPWAY_REGISTRY_MIRRORS": "registry.example=http://127.0.0.1:5000"}
    assert compression("registry.example/app", near) == "none"
    assert compression("registry.example/app", near | {"SLIPWAY_BUILD_COMPRESSION": "gzip"}) == "gzip"
    assert compression("other.example/app", near) == "gzip"
    with pytest.raises(InvalidInput, match="SLIPWAY_BUILD_COMPRESSION is 'lzma'"):
        compression("other.example/app", {"SLIPWAY_BUILD_COMPRESSION": "lzma"})


def test_a_new_build_forgets_what_was_said_of_the_old_one(settings, project, tmp_path):
    """A scan of an earlier archive is no scan of this one."""
    output = Output(tmp_path / "out")
    make(settings, project, output.folder)
    output.put_scan("board-backend", {"verdict": "pass"}, {})
    make(settings, project, output.folder)
    with pytest.raises(InvalidInput, match="was not scanned"):
        output.scan("board-backend", "any")


def test_a_failing_build_leaves_nothing(settings, project, tmp_path):
    """buildah's own words are in the error; no archive and no record are there to go on with."""
    (project / "images" / "board-backend" / "Dockerfile").write_text(DOCKERFILE + "COPY missing /app\n")
    with pytest.raises(CommandFailed, match="missing"):
        make(settings, project, tmp_path / "out")
    with pytest.raises(InvalidInput, match="was not built"):
        Output(tmp_path / "out").built("board-backend")
    assert not list((tmp_path / "out").glob("*.tar"))


def test_a_build_does_not_fail_because_another_one_tidies_up(tmp_path):
    """buildah cannot list images while a neighbour removes its own; then none is removed here."""
    asked, program = tmp_path / "asked", tmp_path / "buildah"
    program.write_text(f'#!/bin/sh\necho "$1" >> {asked}\necho x/y:1 x/y:2 x/y:3 x/y:4\nexit 125\n')
    program.chmod(0o755)
    builds = Buildah({"SLIPWAY_BUILDAH_ROOT": str(tmp_path)})
    builds.command = [str(program)]
    builds._forget("x/y")
    assert asked.read_text() == "images\n"


def test_old_images_do_not_pile_up(settings, project, tmp_path, monkeypatch):
    """buildah's storage keeps the newest three of a name."""
    monkeypatch.setenv("SLIPWAY_BUILDAH_ROOT", str(tmp_path / "own"))
    tags = []
    for second in range(5):
        (project / "apps" / "main.py").write_text(f"print({second})\n")
        (project / "images" / "board-backend" / "Dockerfile").write_text(
            DOCKERFILE.replace("/app", f"/app{second}")
        )
        commit = Commit(f"{second}" * 40, COMMIT.time.replace(second=second), False)
        tags.append(make(settings, project, tmp_path / "out", commit).tag)
    root = ["buildah", f"--root={tmp_path}/own/root", f"--runroot={tmp_path}/own/run"]
    listed = subprocess.run(
        [*root, "images", "--format={{.Tag}}"], capture_output=True, text=True
    ).stdout.split()
    assert sorted(t for t in listed if t != "<none>") == tags[-3:]


def test_a_missing_dockerfile_is_named(settings, project, tmp_path):
    """With its path, before buildah is started."""
    (project / "images" / "board-backend" / "Dockerfile").unlink()
    with pytest.raises(InvalidInput, match="Dockerfile of board-backend is missing"):
        make(settings, project, tmp_path / "out")


def test_ca_bundle_and_pip_settings_go_in_as_secrets_only(settings, tmp_path):
    """As files by id, where they exist; never as build arguments, which stay in the image's history."""
    (tmp_path / "ca.pem").touch()
    (tmp_path / "pip.conf").touch()
    env = {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    wanted = request(settings, "board-backend", COMMIT, tmp_path, env)
    assert wanted.secrets == {"ca": tmp_path / "ca.pem", "pip": tmp_path / "pip.conf"}
    assert f"--secret=id=ca,src={tmp_path / 'ca.pem'}" in wanted.options()
    assert not any("pip.conf" in o or "ca.pem" in o for o in wanted.options() if o.startswith("--build-arg"))
    assert host_secrets({"SSL_CERT_FILE": "/none", "PIP_CONFIG_FILE": "/none"}) == {}


def test_without_a_base_of_its_own_the_dockerfile_decides(settings, tmp_path):
    """PYTHON_IMAGE is passed only where SLIPWAY_PYTHON_IMAGE says so."""
    assert "PYTHON_IMAGE" not in request(settings, "board-backend", COMMIT, tmp_path, {}).arguments
    wanted: Request = request(
        settings, "board-backend", COMMIT, tmp_path, {"SLIPWAY_PYTHON_IMAGE": "localhost/python:3"}
    )
    assert "--build-arg=PYTHON_IMAGE=localhost/python:3" in wanted.options()


def test_a_machine_without_builder_is_told_what_to_install(tmp_path):
    """Neither buildah nor an engine: one line with the command."""
    with pytest.raises(MachineError, match="neither buildah nor a running Docker engine") as caught:
        builder({"PATH": str(tmp_path)})
    assert "apt-get install" in caught.value.fix
