"""What a cluster holds before Git is applied to it: namespaces, secrets and volumes, none of which is in Git.

On EKS the secrets come from External Secrets and the volumes from RDS and EBS.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from slipway.kubectl import Cluster
from slipway.platform import config
from slipway.platform.forge import BOARD
from slipway.platform.images import UID
from slipway.platform.secrets import Secrets

STORAGE_CLASS = "slipway-local"
BOARD_READ = "board-read"
"""The secret with the token that the board's API is read with."""


def apply(cluster: Cluster, state: Path) -> None:
    """Make or repair the groundwork of every environment."""
    secrets = Secrets(state)
    objects = [_storage_class()]
    for environment in config.ENVIRONMENTS:
        objects += [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": environment}},
            secret(environment, "board-database", _database(secrets, environment)),
            secret(environment, "board-events", {"token": secrets.get("board-events")}),
            _volume(state, environment),
        ]
    cluster.apply("\n---\n".join(map(json.dumps, objects)), manager="slipway-groundwork")


def give_access(cluster: Cluster, secrets: Secrets, argocd_token: str) -> None:
    """Give the board of every environment what it reads Git and Argo CD with, and what it is read with itself."""
    values = {
        "read-token": secrets.get(BOARD_READ),
        "git-username": BOARD,
        "git-password": secrets.get(f"forge-{BOARD}-token"),
        "argocd-token": argocd_token,
    }
    objects = [secret(environment, "board-access", values) for environment in config.ENVIRONMENTS]
    cluster.apply("\n---\n".join(map(json.dumps, objects)), manager="slipway-access")


def secret(namespace: str, name: str, values: dict[str, str], labels: dict[str, str] | None = None) -> dict:
    """A Secret object."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def _database(secrets: Secrets, environment: str) -> dict[str, str]:
    password = secrets.get(f"database-{environment}")
    return {
        "username": "board",
        "password": password,
        "database": "board",
        "url": f"postgresql+psycopg://board:{password}@board-postgres:5432/board",
    }


def _storage_class() -> dict:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "reclaimPolicy": "Retain",
    }


def _volume(state: Path, environment: str) -> dict:
    """A folder of the node for the environment's PostgreSQL, which alone may claim it."""
    folder = state / "node" / "volumes" / environment
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.chown(folder, UID, UID)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"board-{environment}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": environment, "name": "data-board-postgres-0"},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
