"""`slipway bootstrap` on a real cluster: nothing to do where Argo CD is, and Argo CD again where it was lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from slipway.platform import config

from . import faults
from .conftest import Platform, slipway


def bootstrap(platform: Platform, *more: str) -> subprocess.CompletedProcess[str]:
    """The command on the embedded cluster, which has to be named."""
    context = platform.cluster.kubectl("config", "current-context").stdout.strip()
    where = ("--kubeconfig", str(platform.state / "kubeconfig"), "--context", context)
    return slipway("bootstrap", *where, "--json", *more)


def done(platform: Platform, *more: str) -> dict:
    """A run that must pass."""
    ended = bootstrap(platform, "--kind", "local", *more)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def pods(platform: Platform) -> dict[str, set[str]]:
    """The Pods of every environment that are not on their way out, by what no other Pod has."""
    return {
        environment: {pod["metadata"]["uid"] for pod in platform.pods(environment)}
        for environment in config.ENVIRONMENTS
    }


def test_a_cluster_of_another_kind_is_refused(platform: Platform) -> None:
    """kubeadm's is not EKS, whatever the context is called."""
    ended = bootstrap(platform, "--kind", "eks")
    assert ended.returncode == 2 and "is no cluster of the kind eks" in ended.stderr


def test_where_argocd_is_there_is_nothing_to_do(platform: Platform) -> None:
    """What `slipway up` applied is what the command applies, to the last field; a dry run says the same."""
    assert slipway("up").returncode == 0
    for more in (("--dry-run",), ()):
        told = done(platform, *more)
        assert (told["created"], told["changed"]) == ([], []) and len(told["unchanged"]) > 50


@pytest.fixture
def complete(platform: Platform) -> Iterator[None]:
    """Afterwards Argo CD has its secrets and tokens again, and Git says what it said before."""
    yield
    slipway("up")
    faults.commit(platform, "")


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("complete")
def test_a_lost_argocd_is_back_and_no_pod_noticed(platform: Platform) -> None:
    """Its namespace is gone, kinds and all that it knew; applications go on, and are not made anew by the new one.

    What the new one deploys before it has the tokens to tell anybody is in the event log once it has.
    """
    assert slipway("up").returncode == 0
    platform.quiet()
    for environment in config.ENVIRONMENTS:
        platform.settled(f"{environment}-board")
    before = pods(platform)
    platform.cluster.kubectl("delete", "namespace", "argocd", "--timeout=180s", timeout=200)
    for environment in config.ENVIRONMENTS:
        assert platform.version(environment)["environment"] == environment

    assert "Deployment.apps/argocd-server" in done(platform, "--dry-run")["created"]
    assert not platform.cluster.exists("namespace", "argocd")
    began = time.monotonic()
    created = done(platform)["created"]
    seconds = time.monotonic() - began
    print(f"a lost Argo CD was installed again in {seconds:.0f} s")
    assert "Deployment.apps/argocd-server" in created
    told = done(platform)
    assert (told["created"], told["changed"]) == ([], [])

    for environment in config.ENVIRONMENTS:
        platform.settled(f"{environment}-board")
    assert pods(platform) == before

    note = f"deployed before anybody could be told, {time.time_ns()}"
    faults.commit(platform, note)
    platform.compared("dev-board")
    platform.settled("dev-board")
    ended = slipway("up")  # what External Secrets does on EKS: secrets and tokens
    assert ended.returncode == 0, ended.stderr
    faults.delivered(platform, note, 180)
    exit_code, verdicts = platform.live(platform.version("prod")["commit"], "--env", "prod")
    assert exit_code == 0, verdicts
