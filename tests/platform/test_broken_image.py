"""An image that never becomes ready does no harm, is called a failure, is heard of in time, and is healed by a revert."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from slipway.platform import config, monitoring

from .conftest import Platform, eventually, slipway

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
RAISED = 150
"""Seconds from Degraded to the alert: its minute, a scrape, an evaluation, and their delays on a busy machine."""
CLEARED = 150
"""Seconds from Healthy to the end of the alert, and of the notification: the same without the minute."""


class Recorder(BaseHTTPRequestHandler):
    """A receiver of notifications; keeps every alert in the server's list `heard`."""

    def do_POST(self) -> None:
        """One notification of Alertmanager."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard += [alert | {"receiver": body["receiver"]} for alert in body["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def listening(file: Path) -> Iterator[list[dict]]:
    """Have the running Alertmanager notify this process, too; its own configuration comes back afterwards."""
    before = file.read_text()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.heard = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    document = yaml.safe_load(before)
    for receiver in document["receivers"]:
        url = f"http://127.0.0.1:{server.server_port}/"
        receiver["webhook_configs"] = [{"url": url, "send_resolved": True}]
    try:
        file.write_text(yaml.safe_dump(document))
        httpx.post(f"{config.ALERTMANAGER_URL}/-/reload").raise_for_status()
        yield server.heard
    finally:
        file.write_text(before)
        httpx.post(f"{config.ALERTMANAGER_URL}/-/reload").raise_for_status()
        server.shutdown()
        server.server_close()


def firing(name: str) -> list[monitoring.Alert]:
    """The alerts of that name that Alertmanager has."""
    return [alert for alert in monitoring.firing() or [] if alert.name == name]


def deliver(platform: Platform, text: str, message: str) -> None:
    """Change dev's overlay as a developer does, by a pull request."""
    branch = platform.branch("broken")
    platform.write("developer", "deploy", OVERLAY, text, message, new_branch=branch).raise_for_status()
    platform.merge(platform.pull_request(branch, message))


def state_of(platform: Platform, revision: str) -> str:
    """The combined commit status in the forge."""
    with platform.api("operator") as api:
        return api.get(f"/repos/{config.ORGANISATION}/deploy/commits/{revision}/status").json()["state"]


@dataclass
class Story:
    """What was seen while the broken image was in dev, and after it had gone."""

    before: list[monitoring.Alert]
    live: tuple[int, list[dict]] = (0, [])
    statuses: list[int] = field(default_factory=list)
    alerts: list[monitoring.Alert] = field(default_factory=list)
    status: str = ""
    heard: list[dict] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(platform: Platform) -> Iterator[Story]:
    """A merged pull request breaks dev's backend, another one mends it; what is waited for comes, or all fails."""
    good, _ = platform.read("deploy", OVERLAY)
    try:
        yield told_from(platform, good)
    finally:
        if platform.read("deploy", OVERLAY)[0] != good:
            deliver(platform, good, "dev: the backend that never answered is gone")
        platform.settled("dev-board")


def told_from(platform: Platform, good: str) -> Story:
    """The story, from the change of an overlay whose text is `good` to its end."""
    start = platform.settled("dev-board")["status"]["sync"]["revision"]
    seen = Story(firing("ArgoCDDegraded"))

    def reached(health: str, after: str) -> str | None:
        found = platform.application("dev-board")["status"]
        revision = found["sync"]["revision"]
        return revision if found["health"]["status"] == health and revision != after else None

    with listening(platform.state / "monitoring" / "alertmanager.yaml") as heard:
        deliver(platform, good + BREAK, "dev: a backend that never answers")
        broken = eventually(lambda: reached("Degraded", start), 180, "Argo CD calls the rollout degraded")
        degraded = time.monotonic()
        seen.live = platform.live(broken, "--env", "dev")
        seen.statuses = [
            httpx.get(f"{platform.urls['dev']}/version", timeout=5).status_code for _ in range(50)
        ]
        eventually(
            lambda: state_of(platform, broken) in ("failure", "error"),
            60,
            "the forge calls the commit failed",
        )
        seen.alerts = eventually(lambda: firing("ArgoCDDegraded"), RAISED, "the alert is raised")
        print(f"raised {time.monotonic() - degraded:.0f} s after Degraded")
        eventually(lambda: told(heard, "firing"), 60, "a person is told")
        seen.status = slipway("status").stdout

        deliver(platform, good, "dev: the backend that never answered is gone, and so is its alert")
        healed = eventually(lambda: reached("Healthy", broken), 240, "Argo CD calls the revert healthy")
        healthy = time.monotonic()
        eventually(
            lambda: state_of(platform, healed) == "success", 90, "the forge calls the revert a success"
        )
        eventually(lambda: not firing("ArgoCDDegraded"), CLEARED, "the alert is cleared")
        print(f"cleared {time.monotonic() - healthy:.0f} s after Healthy")
        eventually(lambda: told(heard, "resolved"), CLEARED, "a person is told that it is over")
        seen.heard = list(heard)
    return seen


def told(heard: list[dict], status: str) -> list[dict]:
    """The notifications of the alert in this state."""
    return [a for a in heard if a["labels"]["alertname"] == "ArgoCDDegraded" and a["status"] == status]


def test_the_old_pods_serve_while_the_new_ones_never_get_ready(story: Story) -> None:
    """Users see nothing of it."""
    assert story.statuses == [200] * 50


def test_live_calls_it_degraded_and_names_the_pod(story: Story) -> None:
    """With exit code 1, from the commit in the deploy repository."""
    code, verdicts = story.live
    assert (code, verdicts[0]["state"]) == (1, "degraded"), verdicts
    assert any(pod["name"].startswith("board-backend-") for pod in verdicts[0]["pods"])


def test_one_alert_is_raised_for_the_one_application_that_broke(story: Story) -> None:
    """Nothing is said of the other environments, and nothing was said before."""
    assert story.before == []
    (alert,) = story.alerts
    assert alert.severity == "critical"
    assert alert.labels == {"environment": "dev", "name": "dev-board"}


def test_the_alert_leads_to_its_runbook(platform: Platform, story: Story) -> None:
    """A section that is there, and that `slipway status` names too."""
    (alert,) = story.alerts
    page, _, section = alert.runbook.partition("#")
    runbooks, _ = platform.read("deploy", page.partition("/deploy/src/branch/main/")[2])
    assert section in [line[3:].lower() for line in runbooks.splitlines() if line.startswith("## ")]
    assert "ArgoCDDegraded" in story.status and alert.runbook in story.status.replace("\n", "")


def test_people_are_told_of_one_alert_and_that_it_is_over(story: Story) -> None:
    """One receiver, both ends of the story, dev alone; a second telling would be of the same alert."""
    for status in ("firing", "resolved"):
        assert {a["labels"]["environment"] for a in told(story.heard, status)} == {"dev"}
        assert len({(a["fingerprint"], a["startsAt"]) for a in told(story.heard, status)}) == 1
    assert len({a["receiver"] for a in told(story.heard, "firing")}) == 1
