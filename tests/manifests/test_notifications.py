"""Notifications, run by the pinned Argo CD itself against a cluster and receivers on loopback."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from notifications_lab import APPLICATION, FRONTEND, NEW, OLD, PROJECT, REVISION, Lab, Request
from rendering import CLUSTERS, ENVIRONMENTS, argocd_install, one
from slipway import toolchain
from slipway.dora.event_log import parse_log
from slipway.dora.events import Event
from slipway.proc import run

EVENTS = ("on-sync-running", "on-deployed", "on-sync-failed", "on-health-degraded")
TOKEN_OF = {"event-log": "event-log-token", "forge": "forge-token"}


class ArgoCD:
    """`argocd admin notifications` with our configuration, for one Application."""

    def __init__(self, folder: Path, lab: Lab, application: dict):
        self.lab, self.application = lab, application
        lab.put("appprojects", PROJECT)
        self.options = ["--namespace", "argocd"]
        for option, file in lab.write_files(folder).items():
            self.options += [f"--{option}", str(file)]

    def notify(self, template: str, recipient: str) -> Request:
        """Send, and return the one request that came."""
        self._run("template", "notify", template, "dev-board", "--recipient", recipient)
        (received,) = self.lab.received
        self.lab.received.clear()
        return received

    def fires(self, trigger: str) -> bool:
        """Whether the trigger's condition holds for the Application."""
        last = self._run("trigger", "run", trigger, "dev-board").strip().splitlines()[-1].split()[-1]
        assert last in ("true", "false"), last
        return last == "true"

    def _run(self, *arguments: str) -> str:
        self.lab.put("applications", self.application)
        argv = [toolchain.tool("argocd"), "admin", "notifications", *arguments, *self.options]
        result = run(argv, timeout=30)
        assert "level=error" not in result.stderr and '"level":"error"' not in result.stderr, result.stderr
        return result.stdout


@pytest.fixture
def application() -> dict:
    """The Application as the cluster has it; a test may change it."""
    return copy.deepcopy(APPLICATION)


@pytest.fixture
def argocd(tmp_path, application) -> Iterator[ArgoCD]:
    """Argo CD with our notifications."""
    with Lab().running() as lab:
        yield ArgoCD(tmp_path, lab, application)


@pytest.mark.parametrize("board", [f"board-{name}" for name in ENVIRONMENTS])
def test_every_board_gets_the_event_as_agreed(argocd, board):
    """Path, token and fields are those the backend takes; the event's name comes from the subscription."""
    service, method, path, token, event = argocd.notify("event", f"{board}:on-deployed")
    assert (service, method, path, token) == (board, "POST", "/api/events", "Bearer for-the-board")
    assert event == {
        "event": "on-deployed",
        "application": "board",
        "environment": "dev",
        "revision": REVISION,
        "images": [NEW, FRONTEND],
        "sync": "Synced",
        "health": "Healthy",
        "message": 'successfully "synced"',
        "started_at": "2026-01-01T12:00:00Z",
        "finished_at": "2026-01-01T12:00:05Z",
        "health_changed_at": "2026-01-01T12:01:00Z",
    }


@pytest.mark.parametrize("event", EVENTS)
def test_the_log_gets_the_event_that_the_boards_get(argocd, event):
    """A new file of the forge's repository, whose contents are the JSON that the boards get, and a fact."""
    _, method, path, token, body = argocd.notify("event", f"event-log:{event}")
    assert (method, token) == ("PUT", "token for-the-log")
    assert re.fullmatch(
        r"/api/v1/repos/slipway/events/contents/dev/board/"
        rf"\d{{4}}-\d\d/\d{{8}}T\d{{6}}Z-{event}-{REVISION[:12]}-[0-9a-f]{{8}}\.json",
        path,
    )
    assert (body.pop("branch"), body.pop("message")) == ("main", f"dev-board: {event}, {REVISION[:12]}")
    content = base64.b64decode(body.pop("content"))
    assert body == {}
    posted = argocd.notify("event", f"board-dev:{event}").body
    assert json.loads(content) == posted
    assert parse_log([(path, content)]) == ([Event.model_validate(posted).fact()], [])


def test_a_repeated_delivery_is_another_file(argocd):
    """No delivery is refused because an earlier one of the same event arrived."""
    assert len({argocd.notify("event", "event-log:on-deployed").path for _ in range(2)}) == 2


def test_an_event_of_a_running_sync_has_no_end(argocd, application):
    """What has not happened yet is null, not a made-up value."""
    del application["status"]["operationState"]["finishedAt"]
    assert argocd.notify("event", "board-dev:on-sync-running").body["finished_at"] is None


def test_a_degraded_application_that_was_never_synced_is_reported(argocd, application):
    """Without an operation, the revision is the one compared and the images are those that run."""
    del application["status"]["operationState"]
    event = argocd.notify("event", "board-dev:on-health-degraded").body
    assert (event["revision"], event["images"]) == ("e" * 40, [OLD, NEW, FRONTEND])


@pytest.mark.parametrize("state", ["pending", "success", "failure"])
def test_the_forge_gets_a_status_on_the_commit_that_was_synced(argocd, state):
    """On the deploy repository's commit, under a context per Application."""
    _, _, path, token, status = argocd.notify("commit-status", f"forge:{state}")
    assert path == f"/api/v1/repos/slipway/deploy/statuses/{REVISION}"
    assert token == "token for-the-forge"
    assert status == {
        "context": "argocd/dev-board",
        "state": state,
        "description": "Synced, Healthy",
        "target_url": "http://10.250.1.2:30080/applications/dev-board",
    }


@pytest.mark.parametrize(
    ("phase", "health", "changed", "fired"),
    [
        ("Succeeded", "Healthy", "12:01:00", "on-deployed"),
        ("Succeeded", "Healthy", "11:00:00", "on-deployed"),
        ("Succeeded", "Progressing", "12:00:02", None),
        ("Succeeded", "Degraded", "12:05:00", "on-health-degraded"),
        ("Running", "Healthy", "11:00:00", "on-sync-running"),
        ("Failed", "Healthy", "11:00:00", "on-sync-failed"),
        ("Error", "Healthy", "11:00:00", "on-sync-failed"),
    ],
)
def test_each_state_fires_its_one_trigger(argocd, application, phase, health, changed, fired):
    """A sync that ran is not yet a deployment, and a failure is never reported as one."""
    application["status"]["operationState"]["phase"] = phase
    application["status"]["health"] = {"status": health, "lastTransitionTime": f"2026-01-01T{changed}Z"}
    assert [trigger for trigger in EVENTS if argocd.fires(trigger)] == ([fired] if fired else [])


def test_every_event_goes_to_the_log_first_then_to_every_board_and_to_the_forge():
    """Each environment's page shows all environments, every commit gets its status, and the log waits for neither."""
    data = one(argocd_install("local"), "ConfigMap", "argocd-notifications-cm")["data"]
    status = {"on-sync-running": "pending", "on-deployed": "success"}
    for subscription in yaml.safe_load(data["subscriptions"]):
        (event,) = subscription["triggers"]
        first, *others = subscription["recipients"]
        assert first == f"event-log:{event}"
        boards = {f"board-{name}:{event}" for name in ENVIRONMENTS}
        assert set(others) == boards | {f"forge:{status.get(event, 'failure')}"}
    assert [s["triggers"][0] for s in yaml.safe_load(data["subscriptions"])] == list(EVENTS)


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_what_is_sent_to_exists(cluster):
    """Subscriptions name services and triggers that are defined, triggers name templates that are."""
    data = one(argocd_install(cluster), "ConfigMap", "argocd-notifications-cm")["data"]
    services = {key.split(".")[2] for key in data if key.startswith("service.")}
    templates = {key.split(".", 1)[1] for key in data if key.startswith("template.")}
    for subscription in yaml.safe_load(data["subscriptions"]):
        assert {recipient.split(":")[0] for recipient in subscription["recipients"]} <= services
        for trigger in subscription["triggers"]:
            for condition in yaml.safe_load(data[f"trigger.{trigger}"]):
                assert set(condition["send"]) <= templates
                assert condition["oncePer"]


def test_boards_are_called_by_their_services_name():
    """Each address is the backend's Service in the environment's namespace, and none outside the cluster."""
    data = one(argocd_install("local"), "ConfigMap", "argocd-notifications-cm")["data"]
    for name in ENVIRONMENTS:
        assert (
            yaml.safe_load(data[f"service.webhook.board-{name}"])["url"] == f"http://board-backend.{name}.svc"
        )


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_log_is_tried_longer_than_a_board(cluster):
    """What is given up is in no log, and for minutes; a board that is down holds nobody up for long."""
    data = one(argocd_install(cluster), "ConfigMap", "argocd-notifications-cm")["data"]
    log = yaml.safe_load(data["service.webhook.event-log"])
    assert log["url"].endswith("/repos/slipway/events/contents")
    waits = [min(2**n, log["retryWaitMax"] / 1e9) for n in range(log["retryMax"])]
    assert 120 < sum(waits) < 300
    for name in ENVIRONMENTS:
        assert yaml.safe_load(data[f"service.webhook.board-{name}"])["retryMax"] == 1


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_tokens_stay_in_the_secret(cluster):
    """Services name keys of the Secret; the log level is one at which headers are not printed."""
    resources = argocd_install(cluster)
    data = one(resources, "ConfigMap", "argocd-notifications-cm")["data"]
    for key in (key for key in data if key.startswith("service.webhook.")):
        headers = {h["name"]: h["value"] for h in yaml.safe_load(data[key])["headers"]}
        assert headers["Authorization"].split(" $")[1] == TOKEN_OF.get(
            key.split(".")[2], "board-events-token"
        )
    settings = one(resources, "ConfigMap", "argocd-cmd-params-cm")["data"]
    assert settings["notificationscontroller.log.level"] == "info"
