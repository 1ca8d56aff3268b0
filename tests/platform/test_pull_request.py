"""People change deployments through pull requests, and in no other way."""

from __future__ import annotations

import subprocess
from pathlib import Path

from slipway.platform import config

from .conftest import Platform, eventually

OVERLAY = "overlays/dev/board/kustomization.yaml"


def test_a_merged_pull_request_deploys(platform: Platform) -> None:
    """A pull request that edits an overlay is in the cluster after the merge, with no other action."""
    platform.quiet()
    text, _ = platform.read("deploy", OVERLAY)
    value = str(len(text))
    edited = text + (
        "patches:\n- target:\n    kind: Deployment\n    name: board-frontend\n  patch: |-\n"
        "    - op: add\n      path: /metadata/annotations/example.org~1seen\n"
        f'      value: "{value}"\n'
    )
    message, mark, unmark = (
        "dev: leave a mark on the frontend",
        platform.branch("mark"),
        platform.branch("unmark"),
    )
    platform.write("developer", "deploy", OVERLAY, edited, message, new_branch=mark).raise_for_status()
    platform.merge(platform.pull_request(mark, message))

    def marked() -> bool:
        found = platform.cluster.get("--namespace", "dev", "deployment", "board-frontend")
        return found["metadata"]["annotations"].get("example.org/seen") == value

    eventually(marked, 90, "the annotation from the pull request is in the cluster")
    platform.write("developer", "deploy", OVERLAY, text, "dev: take the mark away", new_branch=unmark)
    platform.merge(platform.pull_request(unmark, "dev: take the mark away"))
    platform.settled("dev-board")


def test_a_push_straight_to_main_by_the_wrong_user_is_refused(platform: Platform, tmp_path: Path) -> None:
    """Branch protection holds on git's own road, not only in the API."""
    clone = tmp_path / "deploy"
    subprocess.run(["git", "clone", "-q", platform.remote("deploy"), clone], check=True)
    (clone / "overlays" / "dev" / "sneaked-in").write_text("x")
    git = ["git", "-C", clone, "-c", "user.name=d", "-c", "user.email=d@slipway.invalid"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "straight to main"], check=True)
    askpass = tmp_path / "askpass"
    askpass.write_text('#!/bin/sh\ncase "$1" in User*) echo developer;; *) echo "$PASSWORD";; esac\n')
    askpass.chmod(0o700)
    env = {
        "GIT_ASKPASS": str(askpass),
        "PASSWORD": platform.secrets.get("forge-developer"),
        "PATH": "/usr/bin:/bin",
    }
    pushed = subprocess.run([*git, "push", "origin", "HEAD:main"], env=env, capture_output=True, text=True)
    assert pushed.returncode != 0
    assert "protected branch" in pushed.stderr
    with platform.api("operator") as api:
        path = f"/repos/{config.ORGANISATION}/deploy/contents/overlays/dev/sneaked-in"
        assert api.get(path).status_code == 404
