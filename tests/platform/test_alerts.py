"""The real Prometheus sees the real platform, and a broken rollout is heard of in time."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from slipway.platform import config, monitoring

from .conftest import Platform, eventually, slipway
from .test_broken_image import BREAK, OVERLAY

RAISED = 150
"""Seconds from Degraded to the alert: its minute, a scrape, an evaluation, and their delays on a busy machine."""
CLEARED = 150
"""Seconds from Healthy to the end of the alert, and of the notification: the same without the minute."""
ONLY_ONCE_IT_FAILED = {
    "argocd_git_fetch_fail_total",
    "argocd_git_lsremote_fail_total",
    "slipway_build_started_timestamp_seconds",
}
"""Metrics without a series until there is something to count, or while no build runs."""
ELSEWHERE = {"cloudwatch", "jenkins"}


def prometheus(path: str, **parameters: str) -> dict:
    """What Prometheus' API answers."""
    answer = httpx.get(f"{config.PROMETHEUS_URL}/api/v1/{path}", params=parameters, timeout=10)
    return answer.raise_for_status().json()["data"]


def test_every_source_is_scraped(platform: Platform) -> None:
    """API server, kubelet, Argo CD's five components, boards, load balancer, pipeline and gate; nothing is refused."""

    def all_up() -> list[dict] | None:
        targets = prometheus("targets", state="active")["activeTargets"]
        return targets if targets and all(target["health"] == "up" for target in targets) else None

    targets = eventually(all_up, 120, "every target is up")
    jobs = {target["labels"]["job"] for target in targets}
    listed = yaml.safe_load((monitoring.SOURCE / "metrics.yaml").read_text())
    assert jobs == set(listed) - ELSEWHERE
    components = {t["labels"]["component"] for t in targets if t["labels"]["job"] == "argocd"}
    assert components == {
        "application-controller",
        "applicationset-controller",
        "notifications-controller",
        "repo-server",
        "server",
    }
    boards = {t["labels"]["environment"] for t in targets if t["labels"]["job"] == "board"}
    assert boards == set(config.ENVIRONMENTS)


def test_every_metric_that_a_rule_reads_is_there(platform: Platform) -> None:
    """Under that very name; what comes from AWS and Jenkins cannot be."""
    listed = yaml.safe_load((monitoring.SOURCE / "metrics.yaml").read_text())
    wanted = {name for source in set(listed) - ELSEWHERE for name in listed[source]["metrics"]}

    def missing() -> set[str]:
        return wanted - ONLY_ONCE_IT_FAILED - set(prometheus("label/__name__/values"))

    eventually(lambda: not missing() or None, 90, "every metric has a series")
    recorded = {name for name in prometheus("label/__name__/values") if name.startswith("slipway:")}
    assert recorded >= {
        "slipway:application_info",
        "slipway:board_requests:rate5m",
        "slipway:load_balancer_requests:rate5m",
        "slipway:load_balancer_healthy_targets",
        "slipway:memory_of_limit:ratio",
        "slipway:pipeline_last_success_timestamp_seconds",
    }
    environments = {r["metric"]["environment"] for r in found("slipway:load_balancer_healthy_targets")}
    assert environments == set(config.ENVIRONMENTS)
    assert all(float(r["value"][1]) >= 1 for r in found("slipway:load_balancer_healthy_targets"))


def found(expression: str) -> list[dict]:
    """The series of an expression now."""
    return prometheus("query", query=expression)["result"]


@pytest.mark.parametrize(
    "what", ["get secrets", "create pods", "get nodes --subresource=proxy", "list configmaps"]
)
def test_prometheus_account_may_not(platform: Platform, what: str) -> None:
    """The API server itself says so."""
    account = f"system:serviceaccount:{monitoring.NAMESPACE}:{monitoring.ACCOUNT}"
    arguments = ("auth", "can-i", *what.split(), "--all-namespaces", "--as", account)
    assert platform.cluster.kubectl(*arguments, check=False).stdout.strip() == "no"


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


def firing(name: str) -> monitoring.Alert | None:
    """The alert of that name on the board of dev, if Alertmanager has it."""
    alerts = monitoring.firing() or []
    return next((a for a in alerts if a.name == name and a.labels["environment"] == "dev"), None)


def test_a_broken_rollout_raises_the_alert_and_its_repair_clears_it(platform: Platform) -> None:
    """People hear of it once, with the runbook; nothing is said of the other environments."""
    good, _ = platform.read("deploy", OVERLAY)
    platform.settled("dev-board")
    assert firing("ArgoCDDegraded") is None
    with listening(platform.state / "monitoring" / "alertmanager.yaml") as heard:
        deliver(platform, good + BREAK, "dev: a backend that never answers, to be heard of")
        eventually(
            lambda: platform.application("dev-board")["status"]["health"]["status"] == "Degraded",
            180,
            "Argo CD calls the rollout degraded",
        )
        degraded = time.monotonic()
        alert = eventually(lambda: firing("ArgoCDDegraded"), RAISED, "the alert is raised")
        print(f"raised {time.monotonic() - degraded:.0f} s after Degraded")
        assert alert.severity == "critical"
        assert alert.labels == {"environment": "dev", "name": "dev-board"}
        page, _, section = alert.runbook.partition("#")
        runbooks, _ = platform.read("deploy", page.partition("/deploy/src/branch/main/")[2])
        assert section in [line[3:].lower() for line in runbooks.splitlines() if line.startswith("## ")]
        mine = [a for a in monitoring.firing() or [] if a.name == "ArgoCDDegraded"]
        assert [a.labels["name"] for a in mine] == ["dev-board"]
        eventually(lambda: told(heard, "firing"), 60, "a person is told")
        shown = slipway("status").stdout
        assert "ArgoCDDegraded" in shown and alert.runbook in shown.replace("\n", "")

        deliver(platform, good, "dev: the backend that never answered is gone, and so is its alert")
        eventually(
            lambda: platform.application("dev-board")["status"]["health"]["status"] == "Healthy",
            240,
            "Argo CD calls the repair healthy",
        )
        healthy = time.monotonic()
        eventually(lambda: firing("ArgoCDDegraded") is None, CLEARED, "the alert is cleared")
        print(f"cleared {time.monotonic() - healthy:.0f} s after Healthy")
        eventually(lambda: told(heard, "resolved"), CLEARED, "a person is told that it is over")
    platform.settled("dev-board")


def deliver(platform: Platform, text: str, message: str) -> None:
    """Change dev's overlay as a developer does, by a pull request."""
    branch = platform.branch("alert")
    platform.write("developer", "deploy", OVERLAY, text, message, new_branch=branch).raise_for_status()
    platform.merge(platform.pull_request(branch, message))


def told(heard: list[dict], status: str) -> list[dict]:
    """The notifications of the alert in this state."""
    return [a for a in heard if a["labels"]["alertname"] == "ArgoCDDegraded" and a["status"] == status]
