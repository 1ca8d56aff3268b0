"""What several rules ask of an overlay, worked out once: who selects whom, what the load balancer sends where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from slipway.gate.overlay import Object, Overlay
from slipway.registry.references import NOTHING

ALB = "alb.ingress.kubernetes.io/"
SERVERS = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds whose Pods run until they are told to stop."""
PROPAGATION = 5
"""Seconds until every node and load balancer has heard that a Pod is leaving."""
STOP = 20
"""Seconds that an application may need after SIGTERM."""
_STREAMLIT = "/_stcore/"


@dataclass(frozen=True)
class Route:
    """One path of an Ingress: the Service it names, and the Ingress."""

    ingress: Object
    path: str
    path_type: str
    service: str
    port: object


class Facts:
    """The connections between an overlay's objects."""

    def __init__(self, overlay: Overlay):
        self.overlay = overlay
        self._services: dict[int, list[Object]] = {}
        self._reached: dict[int, list[tuple[Object, Object, object]]] = {}

    @cached_property
    def services(self) -> dict[tuple[str, str], Object]:
        """Services by namespace and name."""
        return {(one.namespace, one.name): one for one in self.overlay.of_kind("Service")}

    @cached_property
    def servers(self) -> list[Object]:
        """Deployments, StatefulSets and DaemonSets."""
        return self.overlay.of_kind(*SERVERS)

    @cached_property
    def deployments(self) -> list[Object]:
        """The Deployments that a Service sends requests to."""
        return [one for one in self.overlay.of_kind("Deployment") if self.services_of(one)]

    @cached_property
    def routes(self) -> list[Route]:
        """Every path of every Ingress that the AWS load balancer controller handles."""
        return [route for ingress in self.load_balancers for route in routes(ingress)]

    @cached_property
    def load_balancers(self) -> list[Object]:
        """The Ingresses that the AWS load balancer controller handles."""
        return [one for one in self.overlay.of_kind("Ingress") if is_alb(one)]

    def services_of(self, workload: Object) -> list[Object]:
        """The Services that select a workload's Pods."""
        known = self._services.get(id(workload))
        if known is None:
            labels, namespace = pod_labels(workload), workload.namespace
            known = self._services[id(workload)] = [
                service
                for (where, _), service in self.services.items()
                if where == namespace and matches_labels(selector_of(service), labels)
            ]
        return known

    def balanced(self, workload: Object) -> list[tuple[Object, Object]]:
        """The Ingresses and Services by which the load balancer reaches a workload."""
        return list({(i.name, s.name): (i, s) for i, s, _ in self.reached(workload)}.values())

    def reached(self, workload: Object) -> list[tuple[Object, Object, object]]:
        """The same with the port of the Pods that requests go to."""
        known = self._reached.get(id(workload))
        if known is None:
            services = (
                {service.name: service for service in self.services_of(workload)} if self.routes else {}
            )
            known = self._reached[id(workload)] = [
                (route.ingress, service, target_port(service, route.port))
                for route in self.routes
                if (service := services.get(route.service)) and service.namespace == route.ingress.namespace
            ]
        return known


def facts(overlay: Overlay) -> Facts:
    """The overlay's facts; the same object for every rule."""
    known = overlay.__dict__.get("_facts")
    if known is None:
        known = overlay.__dict__["_facts"] = Facts(overlay)
    return known


def is_alb(ingress: Object) -> bool:
    """Whether the AWS load balancer controller handles this Ingress."""
    named = ingress.spec.get("ingressClassName") or ingress.annotations.get("kubernetes.io/ingress.class")
    return named == "alb"


def routes(ingress: Object) -> Iterator[Route]:
    """Every path of an Ingress, and its default backend."""
    default = mapping(mapping(ingress.spec.get("defaultBackend")).get("service"))
    if default:
        yield Route(ingress, "/", "Prefix", default.get("name") or "", port_of(default))
    for rule in mappings(ingress.spec.get("rules")):
        for path in mappings(mapping(rule.get("http")).get("paths")):
            service = mapping(mapping(path.get("backend")).get("service"))
            if service:
                yield Route(
                    ingress,
                    path.get("path") or "/",
                    path.get("pathType") or "",
                    service.get("name") or "",
                    port_of(service),
                )


def port_of(backend: dict) -> object:
    """The port that an Ingress backend names, by name or number."""
    port = mapping(backend.get("port"))
    return port.get("name") or port.get("number")


def target_port(service: Object, port: object) -> object:
    """The port of the Pods behind a port of a Service, by name or number; None when the Service has no such port."""
    for one in mappings(service.spec.get("ports")):
        if port in (one.get("name"), one.get("port")):
            return one.get("targetPort", one.get("port"))
    return None


def listens(container: dict, port: object) -> bool:
    """Whether a container declares a port, by name or number."""
    return any(
        port in (one.get("name"), one.get("containerPort")) for one in mappings(container.get("ports"))
    )


def balancing(ingress: Object, service: Object) -> dict[str, str]:
    """The load balancer's annotations that hold for a Service: its own beat the Ingress's."""
    return alb_annotations(ingress) | alb_annotations(service)


def alb_annotations(subject: Object) -> dict[str, str]:
    """The annotations of the load balancer controller, without their prefix."""
    found = subject.annotations
    return {key[len(ALB) :]: str(value) for key, value in found.items() if key.startswith(ALB)}


def string_map(value: str) -> dict[str, str]:
    """`k=v,k=v` as the load balancer controller reads it."""
    pairs = (pair.partition("=") for pair in value.split(","))
    return {key.strip(): text.strip() for key, _, text in pairs if key.strip()}


def number(value: object) -> int | None:
    """A whole number, written as such or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


def pod_labels(workload: Object) -> Mapping[str, str]:
    """The labels of a workload's Pods."""
    return mapping(mapping((workload.pod_template or {}).get("metadata")).get("labels"))


def selector_of(service: Object) -> dict:
    """A Service's selector."""
    return mapping(service.spec.get("selector"))


def matches_labels(wanted: Mapping, labels: Mapping) -> bool:
    """Whether a plain selector matches; an empty one does not."""
    return bool(wanted) and wanted.items() <= labels.items()


def selects(selector: object, labels: Mapping) -> bool:
    """Whether a label selector matches; an empty one matches everything, none at all nothing."""
    if not isinstance(selector, dict):
        return False
    if not mapping(selector.get("matchLabels")).items() <= labels.items():
        return False
    return all(_expression(one, labels) for one in mappings(selector.get("matchExpressions")))


def _expression(one: dict, labels: Mapping) -> bool:
    key, values = one.get("key"), one.get("values") or []
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }.get(one.get("operator"), False)


def replicas(workload: Object, overlay: Overlay) -> int:
    """How many Pods there are at least: by an autoscaler if there is one, else by the workload itself.

    One that waits for its first release counts as several, so that what will run then is judged before.
    """
    if waits_for_release(workload):
        return 2
    for scaler in overlay.of_kind("HorizontalPodAutoscaler"):
        if scaled(scaler) == (workload.namespace, workload.kind, workload.name):
            return number(scaler.spec.get("minReplicas")) or 1
    count = number(workload.spec.get("replicas"))
    return 1 if count is None else count


def waits_for_release(workload: Object) -> bool:
    """Whether it has no Pods because no image was delivered to the overlay yet."""
    images = [str(container.get("image")) for container in all_containers(workload)]
    return number(workload.spec.get("replicas")) == 0 and any(_UNRELEASED in image for image in images)


_UNRELEASED = f":unreleased@{NOTHING}"


def scaled(scaler: Object) -> tuple[str, str, str]:
    """Namespace, kind and name of what an autoscaler scales."""
    target = mapping(scaler.spec.get("scaleTargetRef"))
    return scaler.namespace, target.get("kind") or "Deployment", target.get("name") or ""


def all_containers(workload: Object) -> list[dict]:
    """Init containers, containers and ephemeral containers of a workload."""
    pod = workload.pod_spec or {}
    return [
        *mappings(pod.get("initContainers")),
        *mappings(pod.get("containers")),
        *mappings(pod.get("ephemeralContainers")),
    ]


def is_streamlit(workload: Object) -> bool:
    """Whether the Pods keep sessions in memory as Streamlit does: by its health path, or the label
    `slipway.dev/sessions: memory`."""
    if pod_labels(workload).get("slipway.dev/sessions") == "memory":
        return True
    return any(
        _STREAMLIT in str(mapping(mapping(container.get(probe)).get("httpGet")).get("path") or "")
        for container in workload.containers
        for probe in ("readinessProbe", "livenessProbe", "startupProbe")
    )


def seconds_asleep(container: dict) -> int | None:
    """How long a container's preStop handler sleeps, by Kubernetes' own action or by a command."""
    handler = mapping(mapping(container.get("lifecycle")).get("preStop"))
    if isinstance(handler.get("sleep"), dict):
        return number(handler["sleep"].get("seconds"))
    command = mapping(handler.get("exec")).get("command")
    words = " ".join(map(str, command)) if isinstance(command, list) else ""
    found = _SLEEP.search(words)
    return int(found[1]) if found else None


_SLEEP = re.compile(r"(?:^|[\s/;&])sleep (\d+)\b")


def mapping(value: object) -> dict:
    """`value` when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list:
    """`value` when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[dict]:
    """The mappings of a list, empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
