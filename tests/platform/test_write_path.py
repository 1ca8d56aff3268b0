"""One build on its way through all environments: bump, promote, roll back, hold, release, by the commands alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from slipway.kustomization.images import read_images
from slipway.platform import argocd, config, pipeline

from .conftest import Platform, eventually, slipway
from .load import check_unnoticed, constant_load

POLICY = "overlays/prod/environment.yaml"


def overlay(environment: str) -> str:
    """The file whose images run in the environment."""
    return f"overlays/{environment}/board/kustomization.yaml"


def digests(platform: Platform, environment: str) -> set[str | None]:
    """What Git names for an environment."""
    text = platform.read("deploy", overlay(environment))[0]
    return {entry.digest for entry in read_images(text.encode(), path=overlay(environment))}


class Operator:
    """The commands as an operator runs them, and the one thing that is done in the forge: merging."""

    def __init__(self, platform: Platform):
        self.platform = platform
        self.env = {
            **os.environ,
            **config.mirrors(),
            "SLIPWAY_DEPLOY_REPO": platform.remote("deploy"),
            "SLIPWAY_GIT_USERNAME": "slipway-bot",
            "SLIPWAY_GIT_PASSWORD": platform.secrets.get("forge-slipway-bot"),
            "ARGOCD_SERVER": argocd.URL,
            "ARGOCD_AUTH_TOKEN": platform.secrets.get(argocd.TOKEN),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command."""
        return slipway(*arguments, "--json", env=self.env)

    def done(self, *arguments: str) -> dict:
        """One command that must pass; its JSON."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def refused(self, *arguments: str) -> str:
        """One command that a rule must refuse; its error."""
        ended = self.run(*arguments)
        assert ended.returncode == 3, ended.stdout + ended.stderr
        return json.loads(ended.stdout)["message"]

    def merged(self, *arguments: str) -> dict:
        """One command that opens a pull request, which is then merged."""
        answer = self.done(*arguments)
        assert answer["pull_request"]["state"] == "open", answer
        self.platform.merge(answer["pull_request"]["number"])
        return answer


def wait_running(platform: Platform, environment: str) -> None:
    """Wait until Argo CD, which `promote` asks, knows that the Pods of the last version have gone."""
    wanted = digests(platform, environment)

    def alone() -> bool:
        found = platform.settled(f"{environment}-board")["status"]["summary"].get("images", [])
        return {i.rpartition("@")[2] for i in found if "/board-" in i} == wanted

    eventually(alone, 240, f"only what Git names runs in {environment}")


@pytest.fixture
def operator(platform: Platform) -> Iterator[Operator]:
    """An operator of an environment whose policy asks for no soak; the policy is as it was afterwards."""
    text, _ = platform.read("deploy", POLICY)
    yield Operator(platform)
    now, _ = platform.read("deploy", POLICY)
    if now != text:
        change_policy(platform, text, "prod: soak as before")


def change_policy(platform: Platform, text: str, title: str) -> None:
    """Bring a change of prod's policy in, as people do: by a pull request."""
    branch = f"policy-{abs(hash(text))}"
    platform.write("developer", "deploy", POLICY, text, title, new_branch=branch).raise_for_status()
    platform.merge(platform.pull_request(branch, title))


@pytest.mark.timeout(1800)
def test_a_build_goes_to_prod_and_back_and_to_prod_again(platform: Platform, operator: Operator) -> None:
    """Bump, promote directly, promote by pull request, roll back, hold, release: one digest all the way.

    Prod's users notice none of its three rollouts.
    """
    platform.quiet()
    before = platform.version("prod")["commit"]
    commit = ahead(platform)
    platform.wait_live("dev", commit)
    wait_running(platform, "dev")
    digest = platform.version("dev")["digest"]

    assert operator.done("promote", "board", "--to", "staging")["commit"]
    platform.wait_live("staging", commit)
    wait_running(platform, "staging")

    assert "long enough at" in operator.refused("promote", "board", "--to", "prod")
    policy, _ = platform.read("deploy", POLICY)
    assert "soak: 30m" in policy
    change_policy(platform, policy.replace("soak: 30m", "soak: 1s"), "prod: no soak")

    with constant_load(platform, "prod") as counted:
        operator.merged("promote", "board", "--to", "prod")
        assert platform.wait_live("prod", commit)["digest"] == digest
        assert digests(platform, "dev") == digests(platform, "staging") == digests(platform, "prod")

        operator.merged("rollback", "board", "--env", "prod", "--reason", "it loses orders")
        platform.wait_live("prod", before)
        held = operator.refused("promote", "board", "--to", "prod")
        assert "board is held in prod since" in held and "it loses orders" in held

        operator.merged("release", "board", "--env", "prod")
        operator.merged("promote", "board", "--to", "prod")
        assert platform.wait_live("prod", commit)["digest"] == digest
        platform.wait_drained("prod")
    check_unnoticed(counted)


def ahead(platform: Platform) -> str:
    """A source commit that only dev runs: what an earlier test brought there, or else a new one."""
    running = platform.version("dev")["commit"]
    if running not in {platform.version(environment)["commit"] for environment in ("staging", "prod")}:
        return running
    commit = platform.push_a_change("Something for prod")
    platform.wait_built(commit)
    return commit


@pytest.mark.long
def test_the_next_build_waits_on_the_hold_and_says_so(platform: Platform, operator: Operator) -> None:
    """A hold in dev stops the pipeline at its last stage; after the release the build of the next commit is live."""
    operator.done("rollback", "board", "--env", "dev", "--reason", "held for the test")
    held = platform.push_a_change("This one has to wait")
    build = platform.wait_ended(held)
    assert build["status"] == "failed"
    assert "board is held in dev since" in pipeline.log_tail(build["number"], 40)

    operator.done("release", "board", "--env", "dev")
    commit = platform.push_a_change("This one goes live")
    platform.wait_built(commit)
    platform.wait_live("dev", commit)
