"""Argo CD on the local platform: its own install manifest through this repository's settings, and its secrets."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway import kustomize, paths, toolchain
from slipway.errors import Unreachable
from slipway.kubectl import Cluster
from slipway.platform import config
from slipway.platform.forge import ARGOCD, RECORDER
from slipway.platform.groundwork import secret
from slipway.platform.secrets import Secrets

NAMESPACE = "argocd"
MANAGER = "slipway-argocd"
"""Owns the fields that are applied, whichever command applies them."""
URL = f"http://{config.NODE}:30080"
WEBHOOK_URLS = (f"{URL}/api/webhook",)
TOKEN = "argocd-token"
"""The secret with a token of the account `slipway`, which can only read."""
BOARD_TOKEN = "argocd-board-token"
"""The same of the account `board`."""


def installation(kind: str, workspace: Path) -> str:
    """Argo CD's own manifest, of the pinned release, with our settings for a kind of cluster."""
    folder = paths.CHECKOUT / "argocd" / "install" / kind
    if kind == "local":
        manifest = toolchain.share("cluster", "argocd/install.yaml")
        return kustomize.build_with([manifest], [folder], workspace, NAMESPACE)
    return kustomize.build_offline(folder, toolchain.share("render", "argocd/ha-install.yaml"), workspace)


def environments(kind: str) -> str:
    """The projects and ApplicationSets of a kind of cluster."""
    return kustomize.build(paths.CHECKOUT / "argocd" / "clusters" / kind)


def install(cluster: Cluster, state: Path) -> None:
    """Apply Argo CD's own manifest with the local settings."""
    cluster.apply(installation("local", state / "argocd"), manager=MANAGER)
    _give_secrets(cluster, Secrets(state))


def _give_secrets(cluster: Cluster, secrets: Secrets) -> None:
    """The webhook's secret, and what notifications need to reach the board, its log and the forge."""
    part_of = {"app.kubernetes.io/part-of": "argocd"}
    values = {
        "forge-token": secrets.get(f"forge-{ARGOCD}-token"),
        "event-log-token": secrets.get(f"forge-{RECORDER}-token"),
        "board-events-token": secrets.get("board-events"),
    }
    objects = [
        secret(NAMESPACE, "argocd-secret", {"webhook.gogs.secret": secrets.get("argocd-webhook")}, part_of),
        secret(NAMESPACE, "argocd-notifications-secret", values, part_of),
    ]
    cluster.apply("\n---\n".join(map(json.dumps, objects)), manager="slipway-secrets")


def deploy(cluster: Cluster) -> None:
    """Hand the environments over to Argo CD: projects and ApplicationSets."""
    cluster.apply(environments("local"), manager=MANAGER)


def wait(cluster: Cluster, seconds: int = 600, *, tokens: bool = True) -> None:
    """Wait until Argo CD's own workloads are available; without tokens notifications do not start, and are left out."""
    which = "--all" if tokens else "--selector=app.kubernetes.io/name!=argocd-notifications-controller"
    cluster.wait("--namespace", NAMESPACE, "--for=condition=Available", "deployment", which, seconds=seconds)
    cluster.rolled_out(NAMESPACE, "statefulset/argocd-application-controller", seconds)


def make_tokens(cluster: Cluster, secrets: Secrets) -> None:
    """Have Argo CD issue the tokens that `slipway promote` and the board ask it with."""
    found = cluster.get("--namespace", NAMESPACE, "secret", "argocd-initial-admin-secret")
    password = base64.b64decode(found["data"]["password"]).decode()
    try:
        for account, name in (("slipway", TOKEN), ("board", BOARD_TOKEN)):
            secrets.put(name, _issue(password, account))
    except httpx.HTTPError as exc:
        raise Unreachable(f"Argo CD issued no token: {exc}", fix="repeat `slipway up`") from exc


# An available server is reached through the node's port only once kube-proxy has written its rules.
@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_delay(60),
    wait=wait_fixed(0.5),
    reraise=True,
)
def _issue(password: str, account: str) -> str:
    with httpx.Client(base_url=f"{URL}/api/v1", timeout=30) as api:
        session = api.post("/session", json={"username": "admin", "password": password})
        login = {"Authorization": f"Bearer {session.raise_for_status().json()['token']}"}
        issued = api.post(f"/account/{account}/token", json={"name": "slipway"}, headers=login)
        return issued.raise_for_status().json()["token"]
