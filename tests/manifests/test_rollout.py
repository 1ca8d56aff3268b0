"""A rollout behind the load balancer loses no request: the numbers and their order."""

from __future__ import annotations

import json

import pytest
from rendering import Resource, annotations, of_kind, one, string_map
from slipway import paths

ALB = "alb.ingress.kubernetes.io/"
STOP = 20
"""Seconds that the applications may need after SIGTERM; both stop earlier."""

APPLICATIONS = ("board-backend", "board-frontend")


@pytest.fixture(params=APPLICATIONS)
def deployment(request, resources) -> Resource:
    """A Deployment that the load balancer sends requests to."""
    return one(resources, "Deployment", request.param)


@pytest.fixture
def service(deployment, resources) -> Resource:
    """The Service in front of it."""
    return one(resources, "Service", deployment["metadata"]["name"])


@pytest.fixture
def balancing(service, resources) -> dict[str, str]:
    """The load balancer's annotations that hold for the Service: its own beat the Ingress's."""
    return annotations(one(resources, "Ingress", "board"), ALB) | annotations(service, ALB)


@pytest.fixture
def container(deployment) -> dict:
    """The application's container."""
    return deployment["spec"]["template"]["spec"]["containers"][0]


def seconds_asleep(handler: dict) -> int:
    """How long a preStop handler sleeps, by Kubernetes' own action or by a command."""
    if "sleep" in handler:
        return handler["sleep"]["seconds"]
    program, seconds = handler["exec"]["command"]
    assert program == "sleep"
    return int(seconds)


def test_pod_outlives_its_deregistration(deployment, container, balancing):
    """A Pod serves until the load balancer is done with it, then has time to stop before it is killed."""
    drained = int(string_map(balancing["target-group-attributes"])["deregistration_delay.timeout_seconds"])
    asleep = seconds_asleep(container["lifecycle"]["preStop"])
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drained < asleep
    assert asleep + STOP < grace


def test_no_old_pod_goes_before_a_new_one_is_ready(deployment, place):
    """Capacity never sinks during a rollout, and a new Pod must hold for a while to count; locally all come at once."""
    spec = deployment["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": {"eks": 1, "local": "100%"}[place[1]]},
    }
    assert spec["replicas"] >= 2
    assert spec["minReadySeconds"] >= 5


def test_progress_deadline_leaves_time_for_one_new_pod(deployment, container, balancing):
    """A slow start and the readiness gate are not taken for a failure."""
    start = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    gate = 15 + int(balancing["healthcheck-interval-seconds"]) * int(balancing["healthy-threshold-count"])
    assert (
        deployment["spec"]["progressDeadlineSeconds"] > start + gate + deployment["spec"]["minReadySeconds"]
    )


def test_readiness_gate_can_be_injected(resources, service, deployment, balancing):
    """The controller's three conditions: the Namespace's label, targets by address, a Service on the Ingress."""
    (namespace,) = of_kind(resources, "Namespace")
    assert namespace["metadata"]["labels"]["elbv2.k8s.aws/pod-readiness-gate-inject"] == "enabled"
    assert balancing["target-type"] == "ip"
    (rule,) = one(resources, "Ingress", "board")["spec"]["rules"]
    behind = {path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert service["metadata"]["name"] in behind


def test_deployments_come_after_all_they_stand_on(resources):
    """Namespace < Services, Ingress, database < Deployments: a gate is injected only when the Pod is made."""

    def wave(resource: Resource) -> int:
        return int(annotations(resource).get("argocd.argoproj.io/sync-wave", "0"))

    first = max(map(wave, of_kind(resources, "Namespace")))
    middle = [
        wave(r)
        for r in of_kind(resources, "Service", "Ingress", "StatefulSet", "ExternalSecret", "NetworkPolicy")
    ]
    assert first < min(middle)
    assert max(middle) < min(map(wave, of_kind(resources, "Deployment")))


def test_services_select_the_pods_and_name_their_port(deployment, service, container):
    """Selector, labels and port names agree, so that no Service has an empty set of endpoints."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_ingress_sends_to_ports_that_exist(resources):
    """Every path leads to a port of a Service, or to an action that is defined."""
    ingress = one(resources, "Ingress", "board")
    services = {
        s["metadata"]["name"]: {p["name"] for p in s["spec"]["ports"]} for s in of_kind(resources, "Service")
    }
    for path in ingress["spec"]["rules"][0]["http"]["paths"]:
        target = path["backend"]["service"]
        if target["port"]["name"] == "use-annotation":
            assert (
                json.loads(annotations(ingress, ALB)[f"actions.{target['name']}"])["type"] == "fixed-response"
            )
        else:
            assert target["port"]["name"] in services[target["name"]]


def test_load_balancer_asks_what_the_readiness_probe_asks(container, balancing):
    """Kubernetes and the load balancer never disagree on who is ready."""
    assert balancing["healthcheck-path"] == container["readinessProbe"]["httpGet"]["path"]
    assert int(balancing["healthcheck-timeout-seconds"]) < int(balancing["healthcheck-interval-seconds"])


def test_liveness_does_not_depend_on_the_database(resources):
    """A database that is away must not restart every backend."""
    (container,) = one(resources, "Deployment", "board-backend")["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_sessions_stick_to_their_pod(resources):
    """Streamlit with more than one replica needs a cookie that leads back to the same Pod."""
    attributes = string_map(
        annotations(one(resources, "Service", "board-frontend"), ALB)["target-group-attributes"]
    )
    assert attributes["stickiness.enabled"] == "true"
    assert attributes["stickiness.type"] == "lb_cookie"
    assert int(attributes["stickiness.lb_cookie.duration_seconds"]) > 0


def test_idle_timeout_is_between_ping_and_keep_alive(resources):
    """WebSocket pings keep the load balancer's connection; it never reuses one that the application closed."""
    attributes = string_map(annotations(one(resources, "Ingress", "board"), ALB)["load-balancer-attributes"])
    idle = int(attributes["idle_timeout.timeout_seconds"])
    apps = paths.CHECKOUT / "apps" / "board"
    assert _constant(apps / "frontend/board_frontend/server.py", "PING") < idle
    for server in ("backend/board_backend/server.py", "frontend/board_frontend/server.py"):
        assert idle < _constant(apps / server, "KEEP_ALIVE")
        assert _constant(apps / server, "GRACEFUL_SHUTDOWN") <= STOP


def _constant(file, name: str) -> int:
    """The value of `NAME = number` in a module."""
    (line,) = [line for line in file.read_text().splitlines() if line.startswith(f"{name} = ")]
    return int(line.split("=")[1])


def test_evictions_take_one_pod_at_a_time(deployment, resources):
    """A node drain leaves one replica, and a broken Pod does not hold the drain up."""
    budget = one(resources, "PodDisruptionBudget", deployment["metadata"]["name"])["spec"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] == 1 < deployment["spec"]["replicas"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_replicas_spread_without_counting_old_pods(deployment):
    """New Pods spread over zones and nodes by themselves, and a full zone does not block a rollout."""
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert {c["topologyKey"] for c in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for constraint in spread:
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert constraint["matchLabelKeys"] == ["pod-template-hash"]
        assert constraint["labelSelector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]


def test_inbound_cidrs_are_not_given_beside_security_groups(resources):
    """With security groups of our own they would be ignored in silence."""
    given = annotations(one(resources, "Ingress", "board"), ALB)
    assert given["security-groups"] == "slipway-alb"
    assert "inbound-cidrs" not in given
