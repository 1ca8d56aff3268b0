"""The local platform makes every Secret that what it deploys reads, which on EKS come from elsewhere."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import yaml
from rendering import ENVIRONMENTS, argocd_install, environment, of_kind, one
from slipway.kubectl import Cluster
from slipway.platform import argocd, groundwork
from slipway.platform.secrets import Secrets


class Recorded(Cluster):
    """A cluster that keeps what is applied to it."""

    def __init__(self) -> None:
        super().__init__(Path("none"))
        self.objects: list[dict] = []

    def apply(self, manifest: str, manager: str = "slipway") -> None:
        self.objects += [document for document in yaml.load_all(manifest, yaml.CSafeLoader) if document]

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """What is in a Secret, which may have been applied in parts."""
        data: dict[str, str] = {}
        for found in of_kind(self.objects, "Secret"):
            if (found["metadata"].get("namespace"), found["metadata"]["name"]) == (namespace, name):
                data |= found.get("data", {})
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Secrets:
    """The secrets of a platform to be."""
    return Secrets(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def cluster(secrets) -> Recorded:
    """A cluster that was given everything but the application."""
    recorded, state = Recorded(), secrets.folder.parent
    groundwork.apply(recorded, state)
    argocd.install(recorded, state)
    groundwork.give_access(recorded, secrets, "for-argocd")
    return recorded


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_pod_finds_every_secret_that_it_reads(cluster, name):
    """Each key of each Secret; a Pod that misses one does not start."""
    read = set()
    for workload in of_kind(environment(name), "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        for container in pod.get("initContainers", []) + pod["containers"]:
            sources = [variable.get("valueFrom", {}) for variable in container["env"]]
            read |= {
                (s["secretKeyRef"]["name"], s["secretKeyRef"]["key"]) for s in sources if "secretKeyRef" in s
            }
    assert ("board-access", "argocd-token") in read
    for secret, key in read:
        assert cluster.secret(name, secret)[key], (secret, key)


def test_notifications_find_every_token_that_they_send(cluster):
    """Each name after a dollar is a key of the Secret; a misspelt one would be sent as it stands."""
    data = one(argocd_install("local"), "ConfigMap", "argocd-notifications-cm")["data"]
    wanted = {k for key in data if key.startswith("service.") for k in re.findall(r"\$([\w-]+)", data[key])}
    assert wanted == cluster.secret("argocd", "argocd-notifications-secret").keys()


def test_the_forges_administrator_stays_on_the_machine(cluster, secrets):
    """No Secret of the cluster holds its token or its password."""
    given = {value for s in of_kind(cluster.objects, "Secret") for value in s.get("data", {}).values()}
    for name in ("forge-token", "forge-slipway-admin"):
        assert base64.b64encode(secrets.get(name).encode()).decode() not in given


def test_what_is_read_and_what_is_written_have_tokens_of_their_own(cluster):
    """Who may read the board can neither post an event nor write the log."""
    access = cluster.secret("prod", "board-access")
    tokens = [access["read-token"], access["git-password"], access["argocd-token"]]
    tokens += cluster.secret("argocd", "argocd-notifications-secret").values()
    assert len(set(tokens)) == len(tokens) == 6
