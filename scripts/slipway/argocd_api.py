"""The border to Argo CD's API: what an application runs, and whether that may be called live and healthy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

from slipway.errors import InvalidInput
from slipway.registry.references import Reference, parse
from slipway.rest import Rest
from slipway.writing.lineage import parse_time

SERVER, TOKEN = "ARGOCD_SERVER", "ARGOCD_AUTH_TOKEN"
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


class ArgoCD:
    """Argo CD's server; it is only ever asked."""

    def __init__(self, server: str, token: str):
        url = server if "://" in server else f"https://{server}"
        headers = {"Authorization": f"Bearer {token}"}
        name = f"Argo CD ({urlsplit(url).netloc.rpartition('@')[2]})"
        self._rest = Rest(f"{url.rstrip('/')}/api/v1", headers, name=name, login=_LOGIN)

    def application(self, name: str) -> Application:
        """One application; raises `RemoteRefused` without the right to see it, `Unreachable` without an answer."""
        return parse_application(self._rest.ask("GET", f"/applications/{quote(name, safe='')}").json())


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
    )


def _part(data: dict, key: str) -> dict:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
