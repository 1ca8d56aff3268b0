"""Users notice nothing while new versions roll out, however many; three in prod: test_write_path.py."""

from __future__ import annotations

import pytest

from .conftest import Platform
from .load import LONGEST, check_unnoticed, constant_load


@pytest.mark.long
@pytest.mark.timeout(LONGEST)
def test_no_request_fails_during_rollouts(platform: Platform, request: pytest.FixtureRequest) -> None:
    """Rollouts by pushed commits, each with the drain of the old Pods: no failed request."""
    platform.settled("dev-board")
    with constant_load(platform, "dev") as counted:
        for number in range(request.config.getoption("--rollouts")):
            commit = platform.push_a_change(f"Rollout {number + 1} under load")
            platform.wait_built(commit)
            platform.wait_live("dev", commit)
            platform.wait_drained("dev")
    check_unnoticed(counted)
