"""`slipway new app hello`, a commit and one publication: served through the load balancer, with nothing else done."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from slipway import paths
from slipway.errors import CommandFailed
from slipway.platform import config
from slipway.platform.forge import BOT, PUBLISHER

from .conftest import Platform, eventually, measured

HELLO = ("hello", "streamlit")
OTHERS = (("hello-api", "fastapi"), ("hello-program", "container"))
FINALIZER = "resources-finalizer.argocd.argoproj.io"


class Clone:
    """A clone of this checkout with a `slipway` of its own: what is published is the checkout that it lies in."""

    def __init__(self, folder: Path, platform: Platform):
        self.folder, self.platform = folder, platform
        subprocess.run(["git", "clone", "--quiet", paths.CHECKOUT, folder], check=True)
        self.start = self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=developer", "-c", "user.email=developer@slipway.invalid"]
        argv = ["git", "-C", self.folder, *identity, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def slipway(self, *arguments: str, user: str = "developer") -> str:
        env = {
            **os.environ,
            "PYTHONPATH": str(self.folder / "scripts"),
            "SLIPWAY_GIT_USERNAME": user,
            "SLIPWAY_GIT_PASSWORD": self.platform.secrets.get(f"forge-{user}"),
        }
        argv = [paths.PYTHON, "-m", "slipway.cli", *arguments]
        done = subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add(self, *applications: tuple[str, str]) -> str:
        """Scaffold applications and commit them; the commit."""
        for name, kind in applications:
            self.slipway("new", "app", name, "--kind", kind)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Add {', '.join(name for name, _ in applications)}")
        return self.git("rev-parse", "HEAD")

    def publish(self, revision: str = "HEAD") -> str:
        """Publish both halves, each with the login that may; the source repository's commit."""
        said = {}
        for half, user in (("deploy", PUBLISHER), ("source", "developer")):
            remote = self.platform.remote(half)
            out = self.slipway(
                "pair", "publish", f"--{half}", remote, "--revision", revision, "--json", user=user
            )
            said |= {one["half"]: one for one in json.loads(out)}
        return said["source"]["commit"]

    def changed(self, since: str, folder: str) -> str:
        """The files below a folder that the clone's commits changed."""
        return self.git("diff", "--name-only", since, "HEAD", "--", folder)


@pytest.fixture(scope="module")
def clone(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone; afterwards the repositories hold what they held, and the cluster none of the applications."""
    made = Clone(tmp_path_factory.mktemp("new-app") / "checkout", platform)
    try:
        yield made
    finally:
        _withdraw(platform, made)


@pytest.fixture(scope="module")
def served(platform: Platform, clone: Clone) -> dict:
    """The application from the command to the first answer: the source commit, and the seconds it took."""
    clone.add(HELLO)
    began = time.monotonic()
    commit = clone.publish()
    answer = eventually(lambda: _version(platform, "hello", commit), 420, "hello is served")
    return {"commit": commit, "seconds": time.monotonic() - began, "answer": answer}


def _version(platform: Platform, name: str, commit: str) -> dict | None:
    """What an application answers, once ten answers in a row are of the commit."""
    url = f"{platform.urls['dev']}/{name}/version"
    answers = [httpx.get(url, timeout=5).raise_for_status().json() for _ in range(10)]
    return answers[0] if all(answer["commit"] == commit for answer in answers) else None


def _withdraw(platform: Platform, clone: Clone) -> None:
    """Take the applications out of Git, then out of the cluster, which by itself keeps what a folder left behind."""
    names = [name for name, _ in (HELLO, *OTHERS)]
    with platform.api(BOT) as api:
        for name in names:
            # The bump changed this file, which publishing would not take away over its head.
            path = f"/repos/{config.ORGANISATION}/deploy/contents/overlays/dev/{name}/kustomization.yaml"
            found = api.get(path)
            if found.status_code == 200:
                body = {"sha": found.json()["sha"], "branch": "main", "message": f"dev: {name} is withdrawn"}
                api.request("DELETE", path, json=body).raise_for_status()
    clone.publish(clone.start)  # whose build and rollout nobody has to wait for here: `Platform.quiet`
    applications = [f"{environment}-{name}" for environment in config.ENVIRONMENTS for name in names]
    eventually(lambda: _forgotten(platform, applications), 300, "Argo CD forgets the applications", every=5)


def _forgotten(platform: Platform, applications: list[str]) -> bool:
    """Delete the Applications with all that they made; True when none is there any more.

    An ApplicationSet makes one again as long as it knows the folder from its last look at Git.
    """
    there = [
        name for name in applications if platform.cluster.exists("--namespace", "argocd", "application", name)
    ]
    patch = json.dumps({"metadata": {"finalizers": [FINALIZER]}})
    for name in there:
        one = ("--namespace", "argocd", "application", name)
        with contextlib.suppress(CommandFailed):
            platform.cluster.kubectl("patch", *one, "--type=merge", f"--patch={patch}")
            platform.cluster.kubectl("delete", *one, "--wait=false")
    return not there


def test_one_publication_makes_it_live(served: dict) -> None:
    """Image built, scanned, pushed and signed, overlay bumped, Argo CD's Application made, Pods behind the path."""
    print(f"hello answered {served['seconds']:.0f} s after the publication began")
    assert served["answer"]["version"] != "dev"


def test_its_page_and_its_health_are_below_the_path_and_its_metrics_are_not(
    platform: Platform, served: dict
) -> None:
    """The page is its own and not the board's, which answers everywhere else."""
    url = f"{platform.urls['dev']}/hello"
    assert httpx.get(url, follow_redirects=True, timeout=5).status_code == 200
    assert httpx.get(f"{url}/_stcore/health", timeout=5).text == "ok"
    assert httpx.get(f"{url}/_stcore/metrics", timeout=5).status_code == 404
    assert platform.version("dev")["commit"], "the board is served as before"


def test_no_file_of_argo_cd_was_changed(clone: Clone, served: dict) -> None:
    """The ApplicationSets of the environments found the overlays."""
    assert clone.changed(clone.start, "overlays")
    assert clone.changed(clone.start, "argocd") == ""


def test_environments_that_have_no_release_have_no_pods(platform: Platform, served: dict) -> None:
    """Argo CD calls them healthy: they wait for a promotion, and nothing tries to pull `unreleased`."""
    for environment in ("staging", "prod"):
        one = ("--namespace", "argocd", "application", f"{environment}-hello")
        eventually(lambda one=one: platform.cluster.exists(*one), 90, f"{one[-1]} is there")
        platform.settled(one[-1])
        pods = platform.cluster.get(
            "--namespace", environment, "pods", "--selector=app.kubernetes.io/name=hello"
        )
        assert pods["items"] == []


def test_nobody_is_alarmed_that_they_have_no_pods(platform: Platform, served: dict) -> None:
    """Their target groups are empty, which Prometheus has seen more than once, and no alert is even pending."""
    groups = 'slipway:load_balancer_healthy_targets{target_group=~"k8s-(staging|prod)-hello-.+"}'
    seen = f"count_over_time({groups}[5m]) >= 3 and {groups} == 0"
    eventually(lambda: len(measured(seen)) == 2, 120, "the empty target groups are in the figures")
    assert measured('ALERTS{alertname="LoadBalancerNoTargets"}') == []


@pytest.mark.long
def test_every_other_kind_is_served_too(platform: Platform, clone: Clone, served: dict) -> None:
    """An API and a plain program, both in one push, beside the page."""
    clone.add(*OTHERS)
    commit = clone.publish()
    platform.wait_built(commit)
    for name, _ in OTHERS:
        eventually(lambda name=name: _version(platform, name, commit), 180, f"{name} is served")
        answer = httpx.get(f"{platform.urls['dev']}/{name}", timeout=5)
        assert "Hello, world." in answer.text
