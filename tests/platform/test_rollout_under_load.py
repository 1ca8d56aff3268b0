"""Users notice nothing while new versions roll out."""

from __future__ import annotations

import json

import pytest

from .conftest import Platform, eventually
from .load import LONGEST, RATE, SOCKETS, constant_load


@pytest.mark.timeout(LONGEST)
def test_no_request_fails_during_rollouts(platform: Platform, request: pytest.FixtureRequest) -> None:
    """Three rollouts by pushed commits: no failed request, every lost WebSocket is back within 5 s."""
    rollouts = request.config.getoption("--rollouts")
    platform.settled("dev-board")
    with constant_load(platform, "dev") as counted:
        for number in range(rollouts):
            commit = platform.push_a_change(f"Rollout {number + 1} under load")
            platform.wait_built(commit)
            platform.wait_live("dev", commit)
            platform.settled("dev-board")
            wait_until_old_pods_are_gone(platform)
    print(json.dumps(counted))
    assert counted["requests"] > 0.8 * RATE * counted["seconds"], "the load generator did not keep its rate"
    assert counted["sockets_opened"] >= SOCKETS, "the WebSockets never opened"
    assert counted["sockets_lost"] > 0, "no WebSocket saw a Pod end: the rollouts did not happen"
    assert counted["failures"] == 0, counted["first_failures"]
    assert len(counted["reconnect_seconds"]) == counted["sockets_lost"], "a WebSocket did not come back"
    assert max(counted["reconnect_seconds"]) <= 5


def wait_until_old_pods_are_gone(platform: Platform) -> None:
    """The drain of the old Pods is part of the rollout."""

    def gone() -> bool:
        pods = platform.cluster.get("--namespace", "dev", "pods")["items"]
        return not any(pod["metadata"].get("deletionTimestamp") for pod in pods)

    eventually(gone, 180, "old Pods have drained")
