"""Notifications, run by the pinned Argo CD itself against a cluster and receivers on loopback."""

from __future__ import annotations

import copy
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from rendering import ENVIRONMENTS, argocd_install, one
from slipway import paths, toolchain
from slipway.proc import run

EVENTS = ("on-sync-running", "on-deployed", "on-sync-failed", "on-health-degraded")
BACKEND = "r.example.com/slipway/board-backend"
FRONTEND = "r.example.com/slipway/board-frontend:main-2@sha256:" + "c" * 64
OLD, NEW = f"{BACKEND}:main-1@sha256:" + "a" * 64, f"{BACKEND}:main-2@sha256:" + "b" * 64

APPLICATION = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {
        "name": "dev-board",
        "namespace": "argocd",
        "labels": {"application": "board", "environment": "dev"},
    },
    "spec": {
        "project": "dev",
        "source": {"repoURL": "http://forge.example.com/slipway/deploy.git", "path": "overlays/dev/board"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "dev"},
    },
    "status": {
        "sync": {"status": "Synced", "revision": "e" * 40},
        "health": {"status": "Healthy", "lastTransitionTime": "2026-01-01T12:01:00Z"},
        "summary": {"images": [OLD, NEW, FRONTEND]},
        "operationState": {
            "phase": "Succeeded",
            "message": 'successfully "synced"',
            "startedAt": "2026-01-01T12:00:00Z",
            "finishedAt": "2026-01-01T12:00:05Z",
            "syncResult": {
                "revision": "d" * 40,
                "resources": [
                    {"kind": "Deployment", "name": "board-backend", "status": "Synced", "images": [NEW, NEW]},
                    {"kind": "Deployment", "name": "gone", "status": "Pruned", "images": ["gone:1"]},
                ],
            },
        },
    },
}
"""Synced and healthy again, while a Pod with the old image drains and the frontend was not touched."""


class Handler(BaseHTTPRequestHandler):
    """A cluster that holds one Application, and a receiver that remembers what is posted to it."""

    def do_GET(self) -> None:
        known = {"applications/dev-board": self.server.application, "appprojects/dev": PROJECT}
        found = known.get(self.path.partition("/namespaces/argocd/")[2])
        self._answer(200 if found else 404, found or {"kind": "Status", "code": 404})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers["Authorization"], json.loads(body)))
        self._answer(200, {})

    def _answer(self, status: int, body: dict) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "dev", "namespace": "argocd"},
    "spec": {},
}


class ArgoCD:
    """`argocd admin notifications` with our configuration, every receiver's address turned to loopback."""

    def __init__(self, folder: Path, server: ThreadingHTTPServer):
        self.server = server
        url = f"http://127.0.0.1:{server.server_port}"
        config = copy.deepcopy(one(argocd_install("local"), "ConfigMap", "argocd-notifications-cm"))
        for key, value in config["data"].items():
            if key.startswith("service."):
                service = yaml.safe_load(value)
                host = service["url"].split("/")[2]
                config["data"][key] = yaml.safe_dump(
                    service | {"url": service["url"].replace(f"http://{host}", url)}
                )
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "argocd-notifications-secret"},
            "stringData": {"board-events-token": "for-the-board", "forge-token": "for-the-forge"},
        }
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "loopback",
            "clusters": [{"name": "loopback", "cluster": {"server": url}}],
            "users": [{"name": "loopback", "user": {}}],
            "contexts": [{"name": "loopback", "context": {"cluster": "loopback", "user": "loopback"}}],
        }
        self.options = ["--namespace", "argocd"]
        for option, document in (("config-map", config), ("secret", secret), ("kubeconfig", kubeconfig)):
            file = folder / f"{option}.yaml"
            file.write_text(yaml.safe_dump(document))
            self.options += [f"--{option}", str(file)]

    def notify(self, template: str, recipient: str) -> tuple[str, str, dict]:
        """Send, and return path, Authorization header and body of the one request that came."""
        self._run("template", "notify", template, "dev-board", "--recipient", recipient)
        (received,) = self.server.received
        self.server.received.clear()
        return received

    def fires(self, trigger: str) -> bool:
        """Whether the trigger's condition holds for the Application."""
        last = self._run("trigger", "run", trigger, "dev-board").strip().splitlines()[-1].split()[-1]
        assert last in ("true", "false"), last
        return last == "true"

    def _run(self, *arguments: str) -> str:
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.application, server.received = application, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield ArgoCD(tmp_path, server)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("board", [f"board-{name}" for name in ENVIRONMENTS])
def test_every_board_gets_the_event_as_agreed(argocd, board):
    """Path, token and fields are those the backend takes; the event's name comes from the subscription."""
    path, token, event = argocd.notify("release-board", f"{board}:on-deployed")
    assert (path, token) == ("/api/events", "Bearer for-the-board")
    assert event == {
        "event": "on-deployed",
        "application": "board",
        "environment": "dev",
        "revision": "d" * 40,
        "images": [NEW, FRONTEND],
        "sync": "Synced",
        "health": "Healthy",
        "message": 'successfully "synced"',
        "started_at": "2026-01-01T12:00:00Z",
        "finished_at": "2026-01-01T12:00:05Z",
    }


def test_the_backend_accepts_the_event(argocd):
    """The application's own schema takes what Argo CD sends."""
    event = argocd.notify("release-board", "board-prod:on-deployed")[2]
    code = "import sys, board_backend.schema as s; print(s.EventIn.model_validate_json(sys.stdin.read()).revision)"
    backend = {"PYTHONPATH": str(paths.CHECKOUT / "apps" / "board" / "backend")}
    accepted = run([sys.executable, "-c", code], input=json.dumps(event), env=backend)
    assert accepted.stdout.strip() == event["revision"]


def test_an_event_of_a_running_sync_has_no_end(argocd, application):
    """What has not happened yet is null, not a made-up value."""
    del application["status"]["operationState"]["finishedAt"]
    assert argocd.notify("release-board", "board-dev:on-sync-running")[2]["finished_at"] is None


def test_a_degraded_application_that_was_never_synced_is_reported(argocd, application):
    """Without an operation, the revision is the one compared and the images are those that run."""
    del application["status"]["operationState"]
    event = argocd.notify("release-board", "board-dev:on-health-degraded")[2]
    assert (event["revision"], event["images"]) == ("e" * 40, [OLD, NEW, FRONTEND])


@pytest.mark.parametrize("state", ["pending", "success", "failure"])
def test_the_forge_gets_a_status_on_the_commit_that_was_synced(argocd, state):
    """On the deploy repository's commit, under a context per Application."""
    path, token, status = argocd.notify("commit-status", f"forge:{state}")
    assert path == f"/api/v1/repos/slipway/deploy/statuses/{'d' * 40}"
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


def test_every_event_goes_to_every_board_and_to_the_forge():
    """Each environment's page shows all environments; every commit gets its status."""
    data = one(argocd_install("local"), "ConfigMap", "argocd-notifications-cm")["data"]
    status = {"on-sync-running": "pending", "on-deployed": "success"}
    for subscription in yaml.safe_load(data["subscriptions"]):
        (event,) = subscription["triggers"]
        expected = {f"board-{name}:{event}" for name in ENVIRONMENTS} | {
            f"forge:{status.get(event, 'failure')}"
        }
        assert set(subscription["recipients"]) == expected
    assert [s["triggers"][0] for s in yaml.safe_load(data["subscriptions"])] == list(EVENTS)


@pytest.mark.parametrize("cluster", ["local", "eks"])
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


@pytest.mark.parametrize("cluster", ["local", "eks"])
def test_tokens_stay_in_the_secret(cluster):
    """Services name keys of the Secret; the log level is one at which headers are not printed."""
    resources = argocd_install(cluster)
    data = one(resources, "ConfigMap", "argocd-notifications-cm")["data"]
    for key in (key for key in data if key.startswith("service.webhook.")):
        headers = {h["name"]: h["value"] for h in yaml.safe_load(data[key])["headers"]}
        assert headers["Authorization"].split(" $")[1] in ("board-events-token", "forge-token")
    settings = one(resources, "ConfigMap", "argocd-cmd-params-cm")["data"]
    assert settings["notificationscontroller.log.level"] == "info"
