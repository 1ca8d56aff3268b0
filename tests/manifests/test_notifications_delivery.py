"""Which events are delivered, how often and to whom, as decided by the pinned Argo CD's own controller."""

from __future__ import annotations

import base64
import copy
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from notifications_lab import APPLICATION, PROJECT, Lab, Request
from rendering import ENVIRONMENTS, load
from slipway import toolchain
from slipway.dora.attempts import Failure, Histories, attempts
from slipway.dora.event_log import parse_log
from slipway.dora.history import DeployHistory

BOARDS = [f"board-{name}" for name in ENVIRONMENTS]


class Controller:
    """A running notifications controller, and the Application that it watches."""

    def __init__(self, folder: Path, lab: Lab):
        self.lab, self.log = lab, folder / "controller.log"
        self.application = copy.deepcopy(APPLICATION)
        files = lab.write_files(folder)
        lab.put("configmaps", load(files["config-map"]))
        lab.put("secrets", load(files["secret"]))
        lab.put("appprojects", PROJECT)
        program = folder / "argocd-notifications"
        program.symlink_to(toolchain.tool("argocd"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--kubeconfig", files["kubeconfig"], "--metrics-port", str(port), "--namespace", "argocd"]
        env = os.environ | {"KUBE_FEATURE_WatchListClient": "false"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen([program, *options], stdout=log, stderr=log, env=env)

    def now(self, health: tuple[str, str] | None = None, **operation: str) -> None:
        """Let the Application change, and wait until the controller has seen it; times are `mm:ss` after noon."""
        status = self.application["status"]
        if health:
            status["health"] = {"status": health[0], "lastTransitionTime": _at(health[1])}
        for key, value in operation.items():
            status["operationState"][key] = value if key == "phase" else _at(value)
        annotations = self.lab.objects.get(("applications", "dev-board"), {"metadata": {}})["metadata"]
        self.application["metadata"]["annotations"] = annotations.get("annotations", {})
        seen = self._processed()
        self.lab.put("applications", self.application)
        _wait(lambda: self._processed() > seen)
        # What the controller notes at the Application has it looked at once more.
        quiet = self._processed()
        while time.sleep(0.3) or self._processed() > quiet:
            quiet = self._processed()

    def _processed(self) -> int:
        assert self.process.poll() is None, self.log.read_text()
        return self.log.read_text().count("Processing completed")

    def told(self, service: str) -> list[str]:
        """The events that a receiver got, each with its time of health."""
        bodies = [request.body for request in self.lab.received if request.service == service]
        if service == "event-log":
            bodies = [json.loads(base64.b64decode(body["content"])) for body in bodies]
        return [f"{body['event']} {body['health_changed_at'][14:19]}" for body in bodies]

    def failure(self) -> Failure | None:
        """What the figures make of the log: how the one deployment failed and when that was over."""
        log = [request for request in self.lab.received if request.service == "event-log"]
        facts, unreadable = parse_log((r.path, base64.b64decode(r.body["content"])) for r in log)
        assert not unreadable
        (attempt,) = attempts(facts, Histories(DeployHistory([])))
        return attempt.failure

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


def _at(minute: str) -> str:
    return f"2026-01-01T12:{minute}Z"


def _wait(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _down(*services: str) -> Callable[[Request], bool]:
    return lambda request: request.service in services


@pytest.fixture
def controller(tmp_path) -> Iterator[Controller]:
    """The controller, before any Application exists."""
    with Lab().running() as lab:
        running = Controller(tmp_path, lab)
        try:
            yield running
        finally:
            running.end()


def test_an_event_reaches_the_log_and_every_board_once(controller):
    """However often the Application is looked at; and what a deployment is made of comes in its order."""
    controller.now(("Healthy", "00:00"), phase="Running")
    controller.now(("Progressing", "00:05"), phase="Succeeded")
    controller.now(("Healthy", "00:30"))
    controller.now()
    for receiver in ("event-log", *BOARDS):
        assert controller.told(receiver) == ["on-sync-running 00:00", "on-deployed 00:30"], receiver
    assert [r.body["state"] for r in controller.lab.received if r.service == "forge"] == [
        "pending",
        "success",
    ]


def test_boards_that_are_down_keep_no_event_from_the_log_and_are_given_up(controller):
    """The log comes first and does not wait for them; when they are back, they read there what they missed."""
    controller.lab.refuse = _down(*BOARDS)
    controller.now(("Healthy", "00:30"))
    assert controller.told("event-log") == ["on-deployed 00:30"]
    assert sorted(controller.lab.refused) == sorted(BOARDS * 2)
    controller.lab.refuse = _down()
    controller.now()
    assert controller.told("board-dev") == []
    controller.now(("Degraded", "05:00"))
    assert controller.told("board-dev") == ["on-health-degraded 05:00"]


def test_a_forge_that_is_away_for_a_moment_loses_nothing(controller):
    """The delivery is repeated until it is taken, and then no more."""
    controller.lab.refuse = lambda request: request.service == "event-log" and len(controller.lab.refused) < 2
    controller.now(("Healthy", "00:30"))
    assert controller.lab.refused == ["event-log", "event-log"]
    assert controller.told("event-log") == controller.told("board-dev") == ["on-deployed 00:30"]


def test_each_end_of_a_degradation_is_reported(controller):
    """Also without a sync, and more than once for one revision."""
    controller.now(("Healthy", "00:30"))
    controller.now(("Degraded", "05:00"))
    controller.now(("Progressing", "06:00"))
    controller.now(("Healthy", "07:00"))
    controller.now(("Degraded", "08:00"))
    controller.now(("Healthy", "09:00"))
    assert controller.told("event-log") == [
        "on-deployed 00:30",
        "on-health-degraded 05:00",
        "on-deployed 07:00",
        "on-health-degraded 08:00",
        "on-deployed 09:00",
    ]
    failure = controller.failure()
    assert (failure.reason, f"{failure.at:%M:%S}", f"{failure.recovered:%M:%S}") == (
        "degraded",
        "05:00",
        "07:00",
    )


def test_a_pod_that_is_replaced_is_no_deployment(controller):
    """Healthy again after Progressing alone: nobody was without service."""
    controller.now(("Healthy", "00:30"))
    controller.now(("Progressing", "05:00"))
    controller.now(("Healthy", "05:20"))
    assert controller.told("event-log") == ["on-deployed 00:30"]
    assert controller.failure() is None


def test_a_revision_that_inherits_a_degraded_health_can_fail_itself(controller):
    """The health before the sync is reported with its own time; what the new revision does is a new event."""
    controller.now(("Degraded", "00:00"), phase="Succeeded", startedAt="01:00", finishedAt="01:05")
    controller.now(("Progressing", "01:10"))
    controller.now(("Degraded", "03:10"))
    assert controller.told("event-log") == ["on-health-degraded 00:00", "on-health-degraded 03:10"]
    failure = controller.failure()
    assert (f"{failure.at:%M:%S}", failure.recovered) == ("03:10", None)


def test_the_sync_that_repairs_a_failed_one_is_reported(controller):
    """A revision that was deployed, could not be synced again, and then could; and all that once more."""
    controller.now(("Healthy", "00:30"))
    for minute in (5, 7):
        controller.now(phase="Failed", startedAt=f"0{minute}:00", finishedAt=f"0{minute}:05")
        controller.now(phase="Succeeded", startedAt=f"0{minute + 1}:00", finishedAt=f"0{minute + 1}:05")
    events = ["on-deployed", "on-sync-failed", "on-deployed", "on-sync-failed", "on-deployed"]
    assert [told.split()[0] for told in controller.told("event-log")] == events
    failure = controller.failure()
    assert (f"{failure.at:%M:%S}", f"{failure.recovered:%M:%S}") == ("05:05", "06:05")
