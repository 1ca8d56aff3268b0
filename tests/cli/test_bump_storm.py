"""Many writers at once on a real forge: nothing is lost, nothing comes twice, nothing older on top.

Fifteen in `make test`, a hundred in `make soak`.
"""

import random
import time

import pytest
from slipway.kustomization.images import read_images

from tests.cli.bump_lab import HOST, Registry, invoke
from tests.cli.storm_lab import (
    APPS,
    CuttingProxy,
    Gitea,
    RejectingProxy,
    app_of,
    fleet,
    is_straight,
    storm,
    written,
)

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def gitea(tmp_path_factory):
    with Gitea(tmp_path_factory.mktemp("gitea")) as lab:
        yield lab


@pytest.fixture(scope="module")
def registry():
    with Registry() as lab:
        yield lab


@pytest.fixture
def env(gitea, registry, tmp_path):
    return gitea.login | {"SLIPWAY_REGISTRY_MIRRORS": registry.mirrors, "DOCKER_CONFIG": str(tmp_path)}


@pytest.fixture
def writers(request) -> int:
    """How many write at once."""
    return request.config.getoption("--writers")


@pytest.fixture
def images(registry, writers):
    """One image for each writer, and one that others compete for, all in the registry as v1."""
    names, _ = fleet(HOST, writers + 1)
    return {image: registry.push(image, "v1") for image in names}


@pytest.fixture
def deploy(gitea, writers):
    return gitea.repository(f"deploy-{time.monotonic_ns()}", fleet(HOST, writers + 1)[1])


def order(image: str, tag: str = "v1", *more: str) -> list[str]:
    """The arguments of one writer."""
    return [f"{image}=:{tag}", "--app", app_of(image), *more]


def pins(deploy) -> dict[str, tuple[str, str]]:
    """Tag and digest of every image on the branch."""
    files = [deploy.read(f"overlays/dev/app-{n}/kustomization.yaml").encode() for n in range(APPS)]
    return {e.name: (e.tag, e.digest) for data in files for e in read_images(data, path="")}


def assert_each_landed_once(deploy, before: int, ends, images) -> None:
    """Every writer ended well, its commit is on a straight branch exactly once, and its image is in the file."""
    assert [end.code for end in ends] == [0] * len(ends), [end.err for end in ends if end.code]
    said = sorted((end.commit, end.order[0].replace("=:", ":")) for end in ends)
    assert sorted(written(deploy)) == said and deploy.count == before + len(ends)
    assert is_straight(deploy)
    found = pins(deploy)
    assert {image: found[image] for image in images} == {i: ("v1", digest) for i, digest in images.items()}


def test_B1_B5_many_writers_lose_nothing(registry, deploy, env, images, writers):
    """An image of each lands at once in a straight line; of a fifth as many builds of one more, none on top of a newer."""
    *own, contested = images
    competitors = writers // 5
    for build in range(1, competitors + 1):
        registry.push(contested, f"b{build}", created=f"2026-11-23T10:{build:02}:00Z")
    builds = {f"b{build}": build for build in range(1, competitors + 1)}
    orders = [order(image) for image in own]
    orders += [order(contested, tag, "--build", str(build)) for tag, build in builds.items()]
    random.Random(5).shuffle(orders)
    before = deploy.count
    ends = storm(orders, deploy.url, env)

    rivals = [end for end in ends if end.order[0].startswith(contested)]
    landed = [
        builds[tag] for _, image in written(deploy) for tag in [image.rpartition(":")[2]] if tag in builds
    ]
    assert landed == sorted(set(landed)) and landed[-1] == competitors
    assert pins(deploy)[contested][0] == f"b{competitors}"
    assert sorted(end.code for end in rivals) == [0] * len(landed) + [3] * (competitors - len(landed))
    lost = [end for end in rivals if end.code == 3]
    assert all("older: build number" in end.err and '"Superseded"' in end.out for end in lost)
    winners = [end for end in ends if end not in lost]
    assert_each_landed_once(deploy, before, winners, {image: images[image] for image in own})


def test_every_third_push_fails_and_connections_are_cut_at_random(gitea, deploy, env, images, writers):
    """Pushes answered with an error, closed, or landed with the answer lost, behind a line that breaks: once each.

    One connection in six is reset after a random number of bytes on the way to the remote that fails every third push.
    """
    before, images = deploy.count, dict(list(images.items())[:writers])
    with RejectingProxy(gitea.url) as rejecting, CuttingProxy(rejecting.url, seed=11) as cutting:
        ends = storm(map(order, images), deploy.url.replace(gitea.url, cutting.url), env)
    assert_each_landed_once(deploy, before, ends, images)
    assert min(rejecting.faults) >= writers // 12, rejecting.faults
    assert cutting.cuts >= writers // 2, cutting.cuts


def test_B3_declining_hook_is_asked_once(deploy, env, images):
    """A hook of the forge that declines is asked once; its text is shown, and the code is 4."""
    log = deploy.path / "hooks/pre-receive.d/lab.log"
    hook = log.with_name("lab")
    hook.write_text(f"#!/bin/sh\necho run >> {log}\necho 'only on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = invoke("bump", "--repo", deploy.url, "--env", "dev", *order(next(iter(images))), **env)
    assert done.returncode == 4 and "only on Mondays" in done.stderr and "hook declined" in done.stderr
    assert log.read_text() == "run\n" and "pushed" not in done.stdout


def test_B3_protected_branch_is_asked_once(gitea, deploy, env, images):
    """A branch that the forge protects is not tried again; the forge's own words are shown."""
    name, before = deploy.path.stem, deploy.tip
    gitea.api("POST", f"/repos/slipway-bot/{name}/branch_protections", rule_name="main", enable_push=False)
    done = invoke("bump", "--repo", deploy.url, "--env", "dev", *order(next(iter(images))), **env)
    assert done.returncode == 4 and "protected branch main" in done.stderr, done.stderr
    assert deploy.tip == before
