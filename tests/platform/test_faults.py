"""The platform heals by itself, users notice nothing, and nothing is lost, whatever is killed.

`make test` has the faults that are quick; `make faults` has them all.
"""

from __future__ import annotations

import errno
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from .conftest import Platform, eventually
from .faults import ENVIRONMENT, FAULTS, Fault, Row, commit, delivered, kept, no_room, record, version
from .load import RATE, SOCKETS, constant_load

HEALS = 300
"""Seconds; far more than any of them takes on a busy machine."""
SETTLES = 600
"""Seconds. What Argo CD compared while a webhook was away is unknown to it until it polls again: four minutes."""
ON = 5
"""Seconds for which the load goes on when all is over."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The faults that `--faults` names."""
    if "fault" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("--faults")
    if asked == "quick":
        chosen = [fault for fault in FAULTS if fault.quick]
    elif asked == "all":
        chosen = list(FAULTS)
    else:
        chosen = [fault for fault in FAULTS if any(word in fault.name for word in asked.split(","))]
    assert chosen, f"no fault is named like {asked}"
    metafunc.parametrize("fault", chosen, ids=[fault.name for fault in chosen])


@pytest.fixture(scope="module", autouse=True)
def _no_other_delivery(platform: Platform):
    """What `up` has just published is live, and no older Pod is left; Git says afterwards what it said before."""
    platform.quiet()
    platform.wait_drained(ENVIRONMENT)
    yield
    eventually(lambda: commit(platform, ""), 60, "the note of the fault tests is gone")
    platform.settled(f"{ENVIRONMENT}-board")


def test_a_full_disk_is_full_and_afterwards_as_before(tmp_path: Path) -> None:
    """The registry's fault is a real one: reads pass, each write ends with ENOSPC, and nothing of it stays."""
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "old").write_text("kept")
    with no_room(folder, tmp_path / "full"):
        assert (folder / "deep" / "old").read_text() == "kept"
        for file in (folder / "new", folder / "deep" / "old"):
            with pytest.raises(OSError) as refused:
                file.write_text("more")
            assert refused.value.errno == errno.ENOSPC
    assert [file.name for file in tmp_path.rglob("*")] == ["data", "deep", "old"]
    (folder / "deep" / "old").write_text("more")


@pytest.mark.timeout(2 * HEALS + 3 * SETTLES)
def test_the_platform_heals_by_itself_and_loses_nothing(platform: Platform, fault: Fault) -> None:
    """Under load no request fails, a commit made at once is delivered, and all that was there is there."""
    for environment in platform.urls:
        platform.settled(f"{environment}-board", SETTLES)
    before = kept(platform)
    note = f"{fault.name}, {time.time_ns()}"
    with constant_load(platform, ENVIRONMENT) as counted, ThreadPoolExecutor(1) as beside:
        over = fault.inject(platform)
        started = time.monotonic()
        delivery = beside.submit(delivered, platform, note, HEALS)
        eventually(over, HEALS, f"{fault.name}, and heals by itself", every=0.2)
        healed = time.monotonic() - started
        delivers = delivery.result()
        time.sleep(ON)
    for environment in platform.urls:
        platform.settled(f"{environment}-board", SETTLES)
    lost = before.lost(kept(platform))
    row = Row(
        fault=fault.name,
        requests=counted["requests"],
        failed=counted["failures"],
        heals=round(healed, 1),
        delivers=delivers,
        lost=lost,
        first_failures=counted["first_failures"],
        date=f"{datetime.now(UTC):%-d %B %Y}",
        commit=version(),
    )
    record(row)
    print(row)
    assert lost == []
    assert counted["requests"] > 0.8 * RATE * counted["seconds"], "the load generator did not keep its rate"
    assert counted["sockets_opened"] >= SOCKETS, "the WebSockets never opened"
    assert fault.excuse or counted["failures"] == 0, counted["first_failures"]
    assert counted["failures"] <= RATE * (healed + ON), "requests failed for longer than the fault lasted"
