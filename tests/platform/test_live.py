"""`slipway live` tells the truth about the real Argo CD, while a rollout goes well and while one fails."""

from __future__ import annotations

import json
import os

import httpx
from slipway.platform import argocd

from .conftest import Platform, eventually, slipway
from .test_broken_image import BREAK, OVERLAY


def ask(platform: Platform, what: str, *more: str) -> tuple[int, list[dict]]:
    """Exit code and verdicts."""
    env = {
        **os.environ,
        "SLIPWAY_DEPLOY_REPO": platform.remote("deploy"),
        "ARGOCD_SERVER": argocd.URL,
        "ARGOCD_AUTH_TOKEN": platform.secrets.get(argocd.TOKEN),
    }
    done = slipway("live", what, "--json", *more, env=env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["verdicts"]


def test_what_runs_is_live_everywhere_and_what_never_was_is_not(platform: Platform) -> None:
    """The commit that dev serves, its image by digest, and an image that nobody built."""
    platform.settled("dev-board")
    served = platform.version("dev")
    code, verdicts = ask(platform, served["commit"], "--env", "dev")
    assert (code, [one["state"] for one in verdicts]) == (0, ["live"])
    name = served["image"].partition(":")[0]
    code, verdicts = ask(platform, f"{name}@{served['digest']}", "--env", "dev")
    assert (code, verdicts[0]["state"], verdicts[0]["ready"]) == (0, "live", 2)
    assert ask(platform, f"{name}:never-built", "--env", "dev")[0] == 3
    assert ask(platform, "f" * 40)[0] == 5


def test_a_push_is_followed_until_it_is_live(platform: Platform) -> None:
    """Not built, then rolling, then live; when it says live, the load balancer serves it."""
    commit = platform.push_a_change("Follow me")
    assert ask(platform, commit, "--env", "dev")[1][0]["state"] == "not-built"
    platform.wait_built(commit)
    code, verdicts = ask(platform, commit, "--env", "dev", "--wait", "--timeout", "300")
    assert (code, verdicts[0]["state"]) == (0, "live"), verdicts
    answers = {httpx.get(f"{platform.urls['dev']}/version").json()["commit"] for _ in range(20)}
    assert answers == {commit}


def test_a_broken_rollout_and_a_broken_overlay_are_named(platform: Platform) -> None:
    """Degraded with the Pod, render failed with kustomize's words; the revert is live again."""
    good, _ = platform.read("deploy", OVERLAY)

    def write(text: str, message: str) -> str:
        answer = platform.write("slipway-bot", "deploy", OVERLAY, text, message).raise_for_status()
        return answer.json()["commit"]["sha"]

    broken = write(good + BREAK, "dev: never ready")
    code, verdicts = ask(platform, broken, "--env", "dev", "--wait", "--timeout", "180")
    assert (code, verdicts[0]["state"]) == (1, "degraded"), verdicts
    assert any(pod["name"].startswith("board-backend-") for pod in verdicts[0]["pods"])
    unrendered = write(good.replace("resources:\n", "resources:\n- missing.yaml\n"), "dev: no such file")
    code, verdicts = ask(platform, unrendered, "--env", "dev", "--wait", "--timeout", "120")
    assert (code, verdicts[0]["state"]) == (1, "render-failed") and "missing.yaml" in verdicts[0]["text"]
    healed = write(good, "dev: as before")
    assert ask(platform, healed, "--env", "dev", "--wait", "--timeout", "180")[0] == 0
    eventually(lambda: ask(platform, broken, "--env", "dev")[1][0]["state"] == "live", 60, "all is well")
