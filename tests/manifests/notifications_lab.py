"""A cluster and receivers on loopback, for Argo CD's notifications to run against as the repository sets them."""

from __future__ import annotations

import base64
import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml
from rendering import argocd_install, one

BACKEND = "r.example.com/slipway/board-backend"
FRONTEND = "r.example.com/slipway/board-frontend:main-2@sha256:" + "c" * 64
OLD, NEW = f"{BACKEND}:main-1@sha256:" + "a" * 64, f"{BACKEND}:main-2@sha256:" + "b" * 64
REVISION = "d" * 40

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
        "reconciledAt": "2026-01-01T13:00:00Z",
        "operationState": {
            "phase": "Succeeded",
            "message": 'successfully "synced"',
            "startedAt": "2026-01-01T12:00:00Z",
            "finishedAt": "2026-01-01T12:00:05Z",
            "syncResult": {
                "revision": REVISION,
                "resources": [
                    {"kind": "Deployment", "name": "board-backend", "status": "Synced", "images": [NEW, NEW]},
                    {"kind": "Deployment", "name": "gone", "status": "Pruned", "images": ["gone:1"]},
                ],
            },
        },
    },
}
"""Synced and healthy again, while a Pod with the old image drains and the frontend was not touched."""

PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "dev", "namespace": "argocd"},
    "spec": {},
}

EMPTY = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationList"}
"""The list without anything in it: there may be no Application yet."""

TOKENS = {
    "board-events-token": "for-the-board",
    "event-log-token": "for-the-log",
    "forge-token": "for-the-forge",
}


class Request(NamedTuple):
    """What a receiver got; `service` is the one that Argo CD sent it by."""

    service: str
    method: str
    path: str
    authorization: str
    body: dict


class Lab:
    """One server for the Kubernetes API and for every receiver; `refuse` decides who answers 503.

    `received` are the requests that were answered well, in their order, `refused` the services of the others.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict] = {}
        self.received: list[Request] = []
        self.refused: list[str] = []
        self.refuse: Callable[[Request], bool] = lambda request: False
        self.changed = threading.Condition()
        self._changes: list[tuple[str, dict]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.lab = self
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.closed = False

    @contextmanager
    def running(self) -> Iterator[Lab]:
        """Serve for the time of a block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            with self.changed:
                self.closed = True
                self.changed.notify_all()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def put(self, resource: str, document: dict) -> None:
        """Store an object as a new version, and tell who watches."""
        with self.changed:
            name = document["metadata"]["name"]
            kind = "MODIFIED" if (resource, name) in self.objects else "ADDED"
            version = str(len(self._changes) + 1)
            stored = copy.deepcopy(document)
            stored["metadata"] |= {
                "resourceVersion": version,
                "namespace": "argocd",
                "uid": f"{resource}/{name}",
            }
            self.objects[resource, name] = stored
            self._changes.append((resource, {"type": kind, "object": stored}))
            self.changed.notify_all()

    def watch(self, resource: str, since: int) -> Iterator[dict]:
        """Changes of a kind of object after a version, until the end."""
        while True:
            with self.changed:
                while not self.closed and len(self._changes) <= since:
                    self.changed.wait()
                if self.closed:
                    return
                new, since = self._changes[since:], len(self._changes)
            yield from (change for changed, change in new if changed == resource)

    @property
    def version(self) -> str:
        """The version of the newest change."""
        return str(len(self._changes))

    def write_files(self, folder: Path) -> dict[str, Path]:
        """Our notifications' ConfigMap, its Secret and a kubeconfig as files, every receiver's address being here."""
        config = copy.deepcopy(one(argocd_install("local"), "ConfigMap", "argocd-notifications-cm"))
        for key, value in config["data"].items():
            if key.startswith("service."):
                service = yaml.safe_load(value)
                address = f"{self.url}/{key.split('.')[2]}{urlsplit(service['url']).path}"
                config["data"][key] = yaml.safe_dump(service | {"url": address})
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "argocd-notifications-secret"},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in TOKENS.items()},
        }
        context = {"cluster": "loopback", "user": "loopback", "namespace": "argocd"}
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "loopback",
            "clusters": [{"name": "loopback", "cluster": {"server": self.url}}],
            "users": [{"name": "loopback", "user": {}}],
            "contexts": [{"name": "loopback", "context": context}],
        }
        files = {}
        for name, document in (("config-map", config), ("secret", secret), ("kubeconfig", kubeconfig)):
            files[name] = folder / f"{name}.yaml"
            files[name].write_text(yaml.safe_dump(document))
        return files


class Handler(BaseHTTPRequestHandler):
    """Lists, watches and patches objects of the namespace `argocd`; everything else is a receiver."""

    def do_GET(self) -> None:
        lab: Lab = self.server.lab
        address = urlsplit(self.path)
        resource, _, name = address.path.partition("/namespaces/argocd/")[2].partition("/")
        query = parse_qs(address.query)
        if name:
            found = lab.objects.get((resource, name))
            return self._answer(200 if found else 404, found or {"kind": "Status", "code": 404})
        if query.get("watch"):
            self._start(200)
            for change in lab.watch(resource, int(query["resourceVersion"][0])):
                self.wfile.write(json.dumps(change).encode() + b"\n")
            return None
        items = [found for (kind, _), found in lab.objects.items() if kind == resource]
        listed = {"apiVersion": items[0]["apiVersion"], "kind": items[0]["kind"] + "List"} if items else EMPTY
        return self._answer(200, listed | {"metadata": {"resourceVersion": lab.version}, "items": items})

    def do_PATCH(self) -> None:
        lab: Lab = self.server.lab
        resource, name = self.path.partition("?")[0].split("/")[-2:]
        given = self._read()["metadata"]["annotations"]
        stored = copy.deepcopy(lab.objects[resource, name])
        kept = stored["metadata"].get("annotations", {}) | given
        stored["metadata"]["annotations"] = {k: v for k, v in kept.items() if v is not None}
        lab.put(resource, stored)
        self._answer(200, lab.objects[resource, name])

    def do_POST(self) -> None:
        lab: Lab = self.server.lab
        _, service, path = self.path.split("/", 2)
        request = Request(service, self.command, f"/{path}", self.headers["Authorization"], self._read())
        if lab.refuse(request):
            lab.refused.append(service)
            return self._answer(503, {})
        lab.received.append(request)
        return self._answer(201, {})

    do_PUT = do_POST

    def _read(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _start(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()

    def _answer(self, status: int, body: dict) -> None:
        self._start(status)
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""
