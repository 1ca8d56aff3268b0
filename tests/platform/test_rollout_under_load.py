"""Users notice nothing while new versions roll out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import Platform, eventually
from .load import RATE, SOCKETS, TOKEN

LONGEST = 3 * 3600


@contextmanager
def constant_load(platform: Platform, environment: str) -> Iterator[dict]:
    """Load from a process of its own; what it counted is in the dictionary after the block."""
    argv = [sys.executable, "-m", "tests.platform.load", platform.urls[environment], str(LONGEST)]
    env = {**os.environ, TOKEN: platform.read_token}
    counted: dict = {}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield counted
        finally:
            process.terminate()
            printed, _ = process.communicate(timeout=60)
    counted.update(json.loads(printed))


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
