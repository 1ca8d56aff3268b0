"""An image that never becomes ready does no harm, is called a failure, and is healed by a revert."""

from __future__ import annotations

import httpx
from slipway.platform import config

from .conftest import Platform, eventually

OVERLAY = "overlays/dev/board/kustomization.yaml"
BREAK = """patches:
- target:
    kind: Deployment
    name: board-backend
  patch: |-
    - op: add
      path: /metadata/annotations/slipway.dev~1waive-rollout-deadlines
      value: a test must not wait longer; until 2099-01-01
    - op: replace
      path: /spec/progressDeadlineSeconds
      value: 20
    - op: add
      path: /spec/template/spec/containers/0/args
      value: [python, -c, "import time; time.sleep(3600)"]
"""


def test_the_old_pods_serve_the_result_is_failed_and_a_revert_heals(platform: Platform) -> None:
    """The new Pods start and never get ready: users see nothing, the forge and Argo CD say what is wrong."""
    good, _ = platform.read("deploy", OVERLAY)
    before = platform.settled("dev-board")["status"]["sync"]["revision"]
    message, broken_branch, healing = (
        "dev: a backend that never answers",
        platform.branch("broken"),
        platform.branch("heal"),
    )
    written = platform.write("developer", "deploy", OVERLAY, good + BREAK, message, new_branch=broken_branch)
    written.raise_for_status()
    platform.merge(platform.pull_request(broken_branch, message))

    def degraded() -> dict | None:
        found = platform.application("dev-board")["status"]
        return (
            found if found["health"]["status"] == "Degraded" and found["sync"]["revision"] != before else None
        )

    broken = eventually(degraded, 180, "Argo CD calls the rollout degraded")["sync"]["revision"]
    code, verdicts = platform.live(broken, "--env", "dev")
    assert (code, verdicts[0]["state"]) == (1, "degraded"), verdicts
    assert any(pod["name"].startswith("board-backend-") for pod in verdicts[0]["pods"])
    statuses = [httpx.get(f"{platform.urls['dev']}/version", timeout=5).status_code for _ in range(50)]
    assert statuses == [200] * 50
    eventually(
        lambda: state_of(platform, broken) in ("failure", "error"), 60, "the forge calls the commit failed"
    )

    platform.write(
        "developer", "deploy", OVERLAY, good, "Revert the backend that never answers", new_branch=healing
    )
    platform.merge(platform.pull_request(healing, "Revert the backend that never answers"))
    eventually(
        lambda: platform.application("dev-board")["status"]["sync"]["revision"] != broken,
        120,
        "Argo CD sees the revert",
    )
    healed = platform.settled("dev-board")["status"]["sync"]["revision"]
    eventually(lambda: state_of(platform, healed) == "success", 90, "the forge calls the revert a success")


def state_of(platform: Platform, revision: str) -> str:
    """The combined commit status in the forge."""
    with platform.api("operator") as api:
        return api.get(f"/repos/{config.ORGANISATION}/deploy/commits/{revision}/status").json()["state"]
