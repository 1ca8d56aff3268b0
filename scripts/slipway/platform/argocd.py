"""Argo CD on the local platform: its own install manifest through this repository's settings, and its secrets."""

from __future__ import annotations

import json
from pathlib import Path

from slipway import kustomize, paths, toolchain
from slipway.kubectl import Cluster
from slipway.platform import config
from slipway.platform.groundwork import secret
from slipway.platform.secrets import Secrets

NAMESPACE = "argocd"
URL = f"http://{config.NODE}:30080"
WEBHOOK_URLS = (f"{URL}/api/webhook",)


def install(cluster: Cluster, state: Path) -> None:
    """Apply Argo CD's own manifest with the local settings."""
    cluster.apply(
        kustomize.build_with(
            [toolchain.share("cluster", "argocd/install.yaml")],
            [paths.CHECKOUT / "argocd" / "install" / "local"],
            state / "argocd",
            NAMESPACE,
        ),
        manager="slipway-argocd",
    )
    _give_secrets(cluster, Secrets(state))


def _give_secrets(cluster: Cluster, secrets: Secrets) -> None:
    """The webhook's secret, and what notifications need to reach the board and the forge."""
    part_of = {"app.kubernetes.io/part-of": "argocd"}
    values = {"forge-token": secrets.get("forge-token"), "board-events-token": secrets.get("board-events")}
    objects = [
        secret(NAMESPACE, "argocd-secret", {"webhook.gogs.secret": secrets.get("argocd-webhook")}, part_of),
        secret(NAMESPACE, "argocd-notifications-secret", values, part_of),
    ]
    cluster.apply("\n---\n".join(map(json.dumps, objects)), manager="slipway-secrets")


def deploy(cluster: Cluster) -> None:
    """Hand the environments over to Argo CD: projects and ApplicationSets."""
    manifest = kustomize.build(paths.CHECKOUT / "argocd" / "clusters" / "local")
    cluster.apply(manifest, manager="slipway-argocd")


def wait(cluster: Cluster, seconds: int = 180) -> None:
    """Wait until Argo CD's own workloads are available."""
    cluster.wait(
        "--namespace", NAMESPACE, "--for=condition=Available", "deployment", "--all", seconds=seconds
    )
    cluster.kubectl(
        *("--namespace", NAMESPACE, "rollout", "status", "statefulset/argocd-application-controller"),
        f"--timeout={seconds}s",
        timeout=seconds + 15,
    )
