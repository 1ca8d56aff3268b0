"""The cluster is lost with all that it holds; forge and registry are not. `slipway up` brings back what Git says."""

from __future__ import annotations

import shutil
import time

import httpx
import pytest
from slipway.kustomization.images import read_images
from slipway.platform import argocd, config, network
from slipway.platform.supervisor import Supervisor

from .conftest import Platform, eventually, slipway

pytestmark = pytest.mark.long


def lose_the_cluster(platform: Platform) -> None:
    """End the node and empty its disk: etcd, Argo CD, images and the databases are gone, as with a lost machine."""
    Supervisor(platform.state / "supervisor").halt("node")
    node = platform.state / "node"
    for child in node.iterdir():
        if child != network.namespace(platform.state):
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    assert [child.name for child in node.iterdir()] == [network.namespace(platform.state).name]


def heads(platform: Platform) -> dict[str, str]:
    """The newest commit of what is deployed from, and of what that is built from."""
    with platform.api("developer") as api:
        where = f"/repos/{config.ORGANISATION}"
        return {
            name: api.get(f"{where}/{name}/branches/main").raise_for_status().json()["commit"]["id"]
            for name in ("deploy", "source")
        }


def named(platform: Platform, environment: str) -> dict[str, str | None]:
    """What Git says that an environment runs: digest by image."""
    path = f"overlays/{environment}/board/kustomization.yaml"
    text, _ = platform.read("deploy", path)
    return {entry.name: entry.digest for entry in read_images(text.encode(), path=path)}


def running(platform: Platform, environment: str) -> dict[str, str]:
    """What the environment's Pods run, as the kubelet pulled it: digest by image. PostgreSQL is imported, not pulled."""
    pods = platform.cluster.get("--namespace", environment, "pods", "-l", "app.kubernetes.io/part-of=board")
    images = {
        status["imageID"]
        for pod in pods["items"]
        for status in pod["status"].get("containerStatuses", [])
        if "@" in status["imageID"]
    }
    assert len(images) == len({image.partition("@")[0] for image in images}), images
    return dict(image.split("@") for image in images)


def told(platform: Platform, environment: str) -> dict[str, str]:
    """The deployments that an environment's board knows: by id, which they are."""
    with platform.board(environment) as board:
        answer = board.get("/deployments", params={"limit": 200}).raise_for_status()
    parts = ("environment", "application", "revision", "kind", "state", "started_at")
    return {one["id"]: " ".join(str(one[part]) for part in parts) for one in answer.json()["items"]}


def knows_again(platform: Platform, environment: str, known: dict[str, str]) -> bool:
    """Whether its board knows all that it knew; raises ValueError that names what is missing."""
    now = told(platform, environment)
    if missing := sorted(name for one, name in known.items() if one not in now):
        raise ValueError(f"missing: {missing}")
    return True


def uid(platform: Platform) -> str:
    """What no other cluster has."""
    return platform.cluster.get("namespace", "kube-system")["metadata"]["uid"]


@pytest.mark.timeout(1500)
def test_a_lost_cluster_is_back_at_the_digests_in_git(platform: Platform) -> None:
    """Another cluster, the same digests, no commit by anybody; the boards know again what they knew."""
    assert (
        slipway("up").returncode == 0
    )  # whatever is to be published is, so that the cluster alone is measured
    platform.quiet()
    for environment in config.ENVIRONMENTS:
        platform.settled(f"{environment}-board")
    versions = {environment: platform.version(environment) for environment in config.ENVIRONMENTS}
    before = (heads(platform), {environment: named(platform, environment) for environment in versions})
    known = {environment: told(platform, environment) for environment in versions}
    assert all(known.values())
    lost = uid(platform)

    lose_the_cluster(platform)
    with pytest.raises(httpx.HTTPError):
        platform.version("prod")
    began = time.monotonic()
    done = slipway("up")
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    print(f"a lost cluster served every environment again {seconds:.0f} s after `slipway up` began")

    assert uid(platform) != lost
    for environment in versions:
        platform.settled(f"{environment}-board")
        assert platform.version(environment) == versions[environment]
        eventually(
            lambda here=environment: running(platform, here) == named(platform, here),
            120,
            f"{environment} runs the digests in Git",
        )
        eventually(
            lambda here=environment: knows_again(platform, here, known[here]),
            120,
            f"the board of {environment} knows what it knew",
        )
    assert (
        heads(platform),
        {environment: named(platform, environment) for environment in versions},
    ) == before


@pytest.mark.timeout(900)
def test_a_push_reaches_the_new_cluster_too(platform: Platform) -> None:
    """Webhooks, tokens and signatures fit the cluster that came after the lost one."""
    commit = platform.push_a_change("The first change after the cluster was lost")
    platform.wait_built(commit)
    platform.wait_live("dev", commit)
    with httpx.Client(base_url=argocd.URL, timeout=15) as api:
        login = {"Authorization": f"Bearer {platform.secrets.get(argocd.TOKEN)}"}
        assert api.get("/api/v1/applications/dev-board", headers=login).status_code == 200
