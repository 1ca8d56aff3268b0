"""The border to Argo CD's API: what an application runs, and whether that may be called live and healthy."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote, urlsplit

from slipway.errors import InvalidInput
from slipway.registry.references import Reference, parse
from slipway.rest import Rest
from slipway.writing.lineage import parse_time

SERVER, TOKEN = "ARGOCD_SERVER", "ARGOCD_AUTH_TOKEN"
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_LOGIN = f"set {TOKEN} to the token of an account that may get applications"


@dataclass(frozen=True)
class Application:
    """An Application as Argo CD last saw it; times are UTC. What Argo CD does not tell is empty or None."""

    name: str
    path: str | None
    target: str | None
    sync: str | None
    revision: str | None
    health: str | None
    healthy_since: datetime | None
    deployed: datetime | None
    operating: bool
    errors: tuple[str, ...]
    images: tuple[str, ...]
    deployed_revision: str | None = None
    compared: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """Since when it has been healthy with what it runs now: not before its last sync ended."""
        if self.healthy_since is None:
            return None
        return max(self.healthy_since, self.deployed or self.healthy_since)

    def unsettled(self) -> str | None:
        """Why it may not be called live and healthy; None when it may."""
        if self.errors:
            return self.errors[0]
        if self.operating:
            return "a sync is running"
        if self.sync != "Synced" or not self.revision:
            return f"it is {self.sync or 'of unknown sync'}"
        if self.health != "Healthy":
            return f"it is {self.health or 'of unknown health'}"
        return None

    def differs(self, wanted: Iterable[Reference]) -> str | None:
        """How the images that its Pods run differ from these; None when exactly these digests run."""
        running: dict[str, set[str | None]] = {}
        for text in self.images:
            try:
                reference = parse(text)
            except InvalidInput:
                continue
            running.setdefault(reference.name, set()).add(reference.digest)
        for reference in wanted:
            digests = running.get(reference.name, set())
            if reference.digest not in digests:
                return f"no Pod of it runs {reference}"
            if others := digests - {reference.digest}:
                other = next(iter(others)) or "one without a digest"
                return f"Pods of it run another {reference.short} beside {reference.digest}: {other}"
        return None


@dataclass(frozen=True)
class Operation:
    """The last sync, or the one that runs; `phase` is Running, Succeeded, Failed, Error or Terminating."""

    phase: str
    message: str
    revision: str | None
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True)
class Pod:
    """A Pod; `images` are (name, digest), `reason` is what the kubelet or Argo CD says of it."""

    name: str
    healthy: bool
    reason: str
    images: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Rollout:
    """A workload that makes Pods of these images; `done` when only the newest Pods run, all of them ready.

    `problem` is why it is degraded, empty when it is not.
    """

    name: str
    desired: int
    done: bool
    images: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Observed:
    """An Application with its workloads and Pods; `can_sync` is None when Argo CD did not tell."""

    app: Application
    operation: Operation | None
    workloads: tuple[Rollout, ...]
    pods: tuple[Pod, ...]
    can_sync: bool | None

    def rollouts(self, names: Collection[str]) -> list[Rollout]:
        """The workloads that run one of these images."""
        return [one for one in self.workloads if set(one.images) & set(names)]

    def desired(self, names: Collection[str]) -> int:
        """How many Pods with one of these images there should be."""
        return sum(one.desired for one in self.rollouts(names))


class ArgoCD:
    """Argo CD's server; it is only ever asked."""

    def __init__(self, server: str, token: str, *, patience: float = 60):
        url = server if "://" in server else f"https://{server}"
        headers = {"Authorization": f"Bearer {token}"}
        name = f"Argo CD ({urlsplit(url).netloc.rpartition('@')[2]})"
        self._rest = Rest(f"{url.rstrip('/')}/api/v1", headers, name=name, login=_LOGIN, patience=patience)

    def applications(self) -> list[dict]:
        """Every application as the API's JSON; raises as `application`."""
        return self._rest.ask("GET", "/applications").json().get("items") or []

    def application(self, name: str) -> Application:
        """One application; raises `RemoteRefused` without the right to see it, `Unreachable` without an answer."""
        return parse_application(self._rest.ask("GET", f"/applications/{quote(name, safe='')}").json())

    def observe(self, name: str) -> Observed:
        """One application with all that decides whether it is live; raises as `application`."""
        path = f"/applications/{quote(name, safe='')}"
        data = self._rest.ask("GET", path).json()
        nodes = self._rest.ask("GET", f"{path}/resource-tree").json().get("nodes") or []
        windows = self._rest.ask("GET", f"{path}/syncwindows").json()
        workloads = [self._workload(path, node) for node in nodes if node.get("kind") in _WORKLOADS]
        pods = [_pod(node) for node in nodes if node.get("kind") == "Pod"]
        can_sync = windows.get("canSync", False) if windows else None
        return Observed(parse_application(data), _operation(data), tuple(workloads), tuple(pods), can_sync)

    def _workload(self, path: str, node: dict) -> Rollout:
        """A workload as it is in the cluster; one that just went is done, and wants nothing."""
        asked = {"namespace": node.get("namespace", ""), "resourceName": node["name"], "kind": node["kind"]}
        asked |= {"version": node.get("version", "v1"), "group": node.get("group", "")}
        answer = self._rest.ask("GET", f"{path}/resource", 404, params=asked)
        if answer.status_code == 404:
            return Rollout(node["name"], 0, True, ())
        health = _part(node, "health")
        problem = health.get("message") or "degraded" if health.get("status") == "Degraded" else ""
        return replace(_rollout(json.loads(answer.json()["manifest"])), problem=problem)


def open_argocd(server: str | None = None) -> ArgoCD:
    """Argo CD at `server` or ARGOCD_SERVER, with the token in ARGOCD_AUTH_TOKEN; raises `InvalidInput`."""
    server, token = server or os.environ.get(SERVER), os.environ.get(TOKEN)
    if not server:
        fix = f"give --argocd or set {SERVER}; or --from-git to take Git's word for what runs"
        raise InvalidInput("it is not known which Argo CD to ask", fix=fix)
    if not token:
        raise InvalidInput(f"{TOKEN} is not set", fix=_LOGIN)
    return ArgoCD(server, token)


def parse_application(data: dict) -> Application:
    """An Application from the API's JSON; several sources count as none that is known."""
    spec, status = _part(data, "spec"), _part(data, "status")
    source = {} if spec.get("sources") else _part(spec, "source")
    sync, health = _part(status, "sync"), _part(status, "health")
    history = status.get("history") or [{}]
    phase = _part(status, "operationState").get("phase")
    conditions = [c for c in status.get("conditions") or [] if str(c.get("type")).endswith("Error")]
    return Application(
        name=_part(data, "metadata").get("name") or "",
        path=source.get("path"),
        target=source.get("targetRevision"),
        sync=sync.get("status"),
        revision=sync.get("revision"),
        health=health.get("status"),
        healthy_since=parse_time(health.get("lastTransitionTime")),
        deployed=parse_time(history[-1].get("deployedAt")),
        operating=bool(data.get("operation")) or phase in ("Running", "Terminating"),
        errors=tuple(f"{c['type']}: {c.get('message', '')}".strip() for c in conditions),
        images=tuple(_part(status, "summary").get("images") or ()),
        deployed_revision=history[-1].get("revision"),
        compared=parse_time(status.get("reconciledAt")),
    )


def _operation(data: dict) -> Operation | None:
    state = _part(_part(data, "status"), "operationState")
    if not state:
        return None
    revision = _part(state, "syncResult").get("revision") or _part(_part(state, "operation"), "sync").get(
        "revision"
    )
    times = (parse_time(state.get(key)) for key in ("startedAt", "finishedAt"))
    return Operation(state.get("phase") or "", state.get("message") or "", revision, *times)


def _pod(node: dict) -> Pod:
    health = _part(node, "health")
    told = {item.get("name"): item.get("value") for item in node.get("info") or []}
    status = told.get("Status Reason") or health.get("status") or "no status"
    ready = f", {told['Containers']} containers ready" if told.get("Containers") else ""
    reason = f"{status}{ready}" + (f": {health['message']}" if health.get("message") else "")
    images = []
    for text in node.get("images") or []:
        with suppress(InvalidInput):
            reference = parse(text)
            images.append((reference.name, reference.digest))
    return Pod(node["name"], health.get("status") == "Healthy", reason, tuple(images))


def _rollout(live: dict) -> Rollout:
    """From the object in the cluster; what the controller has not looked at since it changed is not done."""
    metadata, spec, status = _part(live, "metadata"), _part(live, "spec"), _part(live, "status")
    if live.get("kind") == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        updated, every = status.get("updatedNumberScheduled", 0), status.get("currentNumberScheduled", 0)
        ready = status.get("numberReady", 0)
    else:
        desired = spec.get("replicas", 1)
        updated, every = status.get("updatedReplicas", 0), status.get("replicas", 0)
        ready = status.get("readyReplicas", 0)
    seen = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    template = _part(_part(spec, "template"), "spec")
    images = []
    for container in [*(template.get("initContainers") or []), *(template.get("containers") or [])]:
        with suppress(InvalidInput):
            images.append(parse(container.get("image") or "").name)
    done = seen and updated == every == ready == desired
    return Rollout(metadata.get("name") or "", desired, done, tuple(images))


def _part(data: dict, key: str) -> dict:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
