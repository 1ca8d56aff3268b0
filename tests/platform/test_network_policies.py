"""The NetworkPolicies in Git are enforced: what none of them allows does not arrive, and what one allows does.

Each refusal has its counterpart: the same port of the same Pod answers somebody who is allowed, or answers the
same client as soon as a policy says so.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from slipway.platform import config

from .conftest import Platform, eventually

STRANGERS = "strangers"
"""A namespace of the test's own, without policies."""
KNOCK = (
    "import socket, sys\n"
    "for address in sys.argv[1:]:\n"
    "    host, port = address.rsplit(':', 1)\n"
    "    try:\n"
    "        socket.create_connection((host, int(port)), 3).close()\n"
    "        print(address)\n"
    "    except OSError as exc:\n"
    "        print(exc, file=sys.stderr)\n"
)
"""A program that prints those of its addresses that take a connection."""


@dataclass(frozen=True)
class Client:
    """A Pod that knocks at doors."""

    platform: Platform
    namespace: str
    pod: str

    def reaches(self, *addresses: str) -> set[str]:
        """Those of the addresses (`host:port`) that take a TCP connection within 3 s."""
        command = ("exec", self.pod, "--", "python3", "-c", KNOCK, *addresses)
        return set(self.platform.cluster.kubectl("--namespace", self.namespace, *command).stdout.split())


def client(platform: Platform, namespace: str, name: str) -> Client:
    """One of an application's Pods."""
    return Client(platform, namespace, platform.pods(namespace, name)[0]["metadata"]["name"])


def address(platform: Platform, namespace: str, name: str, port: int) -> str:
    """A port of another of an application's Pods, if it has several: no Service stands between."""
    return f"{platform.pods(namespace, name)[-1]['status']['podIP']}:{port}"


@pytest.fixture(scope="module")
def doors(platform: Platform) -> dict[str, str]:
    """Everything that somebody here may open, by name; each of them listens."""
    for environment in config.ENVIRONMENTS:
        platform.settled(f"{environment}-board")
    found = {
        f"{environment}'s {part}": address(platform, environment, f"board-{part}", port)
        for environment in ("dev", "prod")
        for part, port in (("frontend", 8501), ("backend", 8000), ("postgres", 5432))
    }
    return found | {
        "Argo CD": address(platform, "argocd", "argocd-server", 8080),
        "Argo CD's Redis": address(platform, "argocd", "argocd-redis", 6379),
        "the forge": f"{config.HOST}:{config.FORGE_PORT}",
        "the registry": f"{config.HOST}:{config.REGISTRY_PORT}",
        "the AWS API": f"{config.HOST}:{config.AWS_PORT}",
        "the pipeline": f"{config.HOST}:{config.PIPELINE_PORT}",
        "the Kubernetes API": f"{config.NODE}:6443",
    }


@pytest.fixture(scope="module")
def stranger(platform: Platform) -> Iterator[Client]:
    """A Pod of the frontend's image in a namespace without policies."""
    image = platform.pods("dev", "board-frontend")[0]["spec"]["containers"][0]["image"]
    container = {
        "name": "stranger",
        "image": image,
        "command": ["python3", "-c", "import time; time.sleep(3600)"],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "namespace": STRANGERS, "labels": {"who": "stranger"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STRANGERS}}
    platform.cluster.apply("\n---\n".join(map(json.dumps, (namespace, pod))), manager="slipway-test")
    try:
        platform.cluster.wait("--namespace", STRANGERS, "pod/stranger", "--for=condition=Ready", seconds=120)
        yield Client(platform, STRANGERS, "stranger")
    finally:
        platform.cluster.kubectl("delete", "namespace", STRANGERS, "--wait=false", "--ignore-not-found")


def opened(client: Client, doors: dict[str, str]) -> set[str]:
    """The names of the doors that open to the client."""
    reached = client.reaches(*doors.values())
    return {name for name, where in doors.items() if where in reached}


def test_the_frontend_reaches_its_backend_and_nothing_else(platform: Platform, doors: dict[str, str]) -> None:
    """Not the database behind it, not another environment, not the forge, not Argo CD, not the cluster."""
    assert opened(client(platform, "dev", "board-frontend"), doors) == {"dev's backend"}


def test_the_backend_reaches_what_the_board_reads_and_nothing_else(
    platform: Platform, doors: dict[str, str]
) -> None:
    """Its database, the forge, the registry, Argo CD; neither AWS nor the pipeline nor another environment's."""
    allowed = {"dev's postgres", "the forge", "the registry", "Argo CD"}
    assert opened(client(platform, "dev", "board-backend"), doors) == allowed


def test_a_stranger_reaches_only_what_has_no_policy(stranger: Client, doors: dict[str, str]) -> None:
    """A Pod of a namespace that nobody hardened: Argo CD's login page, what the machine serves, and no environment."""
    assert opened(stranger, doors) == {
        "Argo CD",
        "the forge",
        "the registry",
        "the AWS API",
        "the pipeline",
        "the Kubernetes API",
    }


def test_names_are_found_where_only_the_name_server_may_be_asked(platform: Platform) -> None:
    """By the Service's name; what kube-proxy translates is judged by where it leads."""
    frontend, backend = (client(platform, "dev", f"board-{part}") for part in ("frontend", "backend"))
    assert frontend.reaches("board-backend:80", "board-postgres:5432") == {"board-backend:80"}
    assert backend.reaches("board-postgres:5432") == {"board-postgres:5432"}


def test_the_load_balancer_is_let_in(platform: Platform) -> None:
    """From the machine's end of the link, and from there only: the users are served by every environment."""
    for environment, url in platform.urls.items():
        assert httpx.get(f"{url}/version", timeout=5).status_code == 200, environment


@contextlib.contextmanager
def admitted(platform: Platform) -> Iterator[None]:
    """A policy that lets the stranger in to dev's backend, taken away again afterwards."""
    metadata = {"name": "admit-a-stranger", "namespace": "dev"}
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": STRANGERS}},
        "podSelector": {"matchLabels": {"who": "stranger"}},
    }
    spec = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "board-backend"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [peer], "ports": [{"port": "http"}]}],
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }
    platform.cluster.apply(json.dumps(policy), manager="slipway-test")
    try:
        yield
    finally:
        platform.cluster.kubectl("--namespace", "dev", "delete", "networkpolicy", metadata["name"])


def test_a_policy_opens_the_door_and_its_end_closes_it(
    platform: Platform, stranger: Client, doors: dict[str, str]
) -> None:
    """It is the policies that keep the stranger out, and a change of them is in force at once."""
    door = address(platform, "dev", "board-backend", 8000)
    assert stranger.reaches(door) == set()
    with admitted(platform):
        eventually(lambda: stranger.reaches(door) == {door}, 15, "the policy lets the stranger in")
        assert stranger.reaches(doors["dev's postgres"]) == set()
    eventually(lambda: stranger.reaches(door) == set(), 15, "without the policy the stranger is out")


def test_policies_hold_while_the_engine_is_away(platform: Platform, stranger: Client) -> None:
    """Its rules are the kernel's: killed, it leaves nothing open, and it comes back by itself."""
    door = address(platform, "dev", "board-backend", 8000)
    (engine,) = platform.pods("kube-system", "kube-router")
    name = engine["metadata"]["name"]
    platform.cluster.kubectl(
        "--namespace", "kube-system", "delete", "pod", name, "--grace-period=0", "--force"
    )
    for _ in range(10):
        assert stranger.reaches(door) == set()

    def back() -> bool:
        now = platform.pods("kube-system", "kube-router")
        ready = [c["status"] for p in now for c in p["status"].get("conditions", []) if c["type"] == "Ready"]
        return [p["metadata"]["name"] for p in now] != [name] and ready == ["True"]

    eventually(back, 90, "the engine is back")
    assert stranger.reaches(door) == set()
