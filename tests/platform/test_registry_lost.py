"""The registry is lost with every image. What Git names is built again from its commits, to the same digests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from slipway.kustomization.images import read_images
from slipway.platform import config, pipeline, registry
from slipway.platform.supervisor import Supervisor

from . import faults
from .conftest import Platform, eventually, slipway
from .load import constant_load

pytestmark = pytest.mark.long
STAGES = (["build"], ["scan", "--update-db"], ["push"], ["sign"])


def lose_the_registry(platform: Platform) -> None:
    """Another one in its place, which has nothing."""
    supervisor = Supervisor(platform.state / "supervisor")
    supervisor.halt("registry")
    shutil.rmtree(platform.state / "registry")
    registry.prepare(platform.state)
    supervisor.run("registry")
    registry.wait()


def clone(platform: Platform, repository: str, folder: Path, commit: str = "main") -> Path:
    """What an operator has of a repository."""
    subprocess.run(["git", "clone", "--quiet", platform.remote(repository), folder], check=True)
    subprocess.run(["git", "-C", folder, "checkout", "--quiet", commit], check=True)
    return folder


def lacking(deploy: Path) -> set[str]:
    """What `slipway retention` says that Git needs and the registry lacks: references with tag and digest."""
    done = slipway("retention", "--from", deploy, "--json", env=os.environ | config.mirrors())
    kept = [one for place in json.loads(done.stdout)["repositories"] for one in place["kept"]]
    return {one["reference"] for one in kept if not one["present"]}


def commits(references: set[str]) -> set[str]:
    """The commits that images were built from, as their tags end."""
    return {reference.partition("@")[0].rpartition("-")[2] for reference in references}


def named(deploy: Path) -> set[str]:
    """What the environments run by Git."""
    files = sorted(deploy.glob("overlays/*/board/kustomization.yaml"))
    assert len(files) == len(config.ENVIRONMENTS)
    return {
        str(entry.reference) for file in files for entry in read_images(file.read_bytes(), path=str(file))
    }


def bring_back(platform: Platform, source: Path) -> set[str]:
    """Run the pipeline's stages by hand on a checkout, and no bump; the references of what they pushed."""
    env = {
        **os.environ,
        **config.mirrors(),
        "SLIPWAY_PYTHON_IMAGE": f"oci-archive:{pipeline.base_image(platform.state)}",
        "COSIGN_KEY": str(pipeline.signing_key(platform.secrets)),
        "COSIGN_PASSWORD": platform.secrets.get("cosign-password"),
    }
    for stage in STAGES:
        done = slipway("ci", *stage, cwd=source, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    pushed = [json.loads(file.read_text()) for file in (source / "out" / "digests").glob("*.json")]
    return {f"{one['image']}:{one['tag']}@{one['digest']}" for one in pushed}


def pulled_anew(platform: Platform, image: str) -> bool:
    """Take the image from the node and one of dev's Pods away; whether the next Pod got it from the registry."""
    there = faults.ctr(platform, "images", "ls", "--quiet").splitlines()
    faults.ctr(platform, "images", "rm", *(one for one in there if one.endswith(image.partition("@")[2])))
    before = {pod["metadata"]["name"] for pod in platform.pods("dev", "board-backend")}
    platform.cluster.kubectl("--namespace", "dev", "delete", "pod", min(before), "--wait=false")

    def fresh() -> set[str]:
        return {pod["metadata"]["name"] for pod in platform.pods("dev", "board-backend")} - before

    (name,) = eventually(fresh, 60, "another Pod is there")
    ready = ("wait", "pod", name, "--for=condition=Ready", "--timeout=120s")
    platform.cluster.kubectl("--namespace", "dev", *ready)
    events = platform.cluster.get(
        "--namespace", "dev", "events", f"--field-selector=involvedObject.name={name}"
    )
    return any("Successfully pulled image" in event["message"] for event in events["items"])


@pytest.mark.timeout(1500)
def test_a_lost_registry_has_again_what_git_needs(platform: Platform, tmp_path: Path) -> None:
    """Built from the commits that the tags name, signed, pulled; no overlay changes, and no user notices."""
    platform.quiet()
    deploy = clone(platform, "deploy", tmp_path / "deploy")
    assert lacking(deploy) == set()

    with constant_load(platform, "prod") as counted:
        lose_the_registry(platform)
        began = time.monotonic()
        lost = lacking(deploy)
        assert named(deploy) <= lost
        back: set[str] = set()
        for commit in sorted(commits(lost)):
            back |= bring_back(platform, clone(platform, "source", tmp_path / commit, commit))
        assert lost <= back, "a commit was built to another digest"
        assert lacking(deploy) == set()
        print(
            f"{len(lost)} images of {len(commits(lost))} commits were back after {time.monotonic() - began:.0f} s"
        )
        (image,) = {one for one in lost if one.endswith(platform.version("dev")["digest"])}
        assert pulled_anew(platform, image), "the Pod started from what the node had"
    assert (counted["failures"], counted["sockets_lost"]) == (0, 0), counted
    platform.settled("dev-board")
