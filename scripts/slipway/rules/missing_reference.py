"""A Pod that needs a ConfigMap, a ServiceAccount or a volume claim which is not rendered."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import all_containers, mapping, mappings

_GIVEN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every reference that leads nowhere; Secrets come from elsewhere and are not judged."""
    rendered = {(one.kind, one.namespace, one.name) for one in overlay.objects}
    for workload in overlay.workloads:
        for kind, name in sorted(set(_needed(workload)) - _GIVEN):
            if (kind, workload.namespace, name) not in rendered:
                yield RULE.on(workload, f"its Pods need {kind} {name}, which is not rendered here")


def _needed(workload: Object) -> Iterator[tuple[str, str]]:
    pod = workload.pod_spec or {}
    if pod.get("serviceAccountName"):
        yield "ServiceAccount", pod["serviceAccountName"]
    for container in all_containers(workload):
        origins = [item.get("configMapRef") for item in mappings(container.get("envFrom"))]
        origins += [
            mapping(i.get("valueFrom")).get("configMapKeyRef") for i in mappings(container.get("env"))
        ]
        yield from _required(origins)
    for volume in mappings(pod.get("volumes")):
        parts = [volume, *mappings(mapping(volume.get("projected")).get("sources"))]
        yield from _required([part.get("configMap") for part in parts])
        if claim := mapping(volume.get("persistentVolumeClaim")).get("claimName"):
            yield "PersistentVolumeClaim", claim


def _required(origins: list) -> Iterator[tuple[str, str]]:
    for origin in map(mapping, origins):
        if origin.get("name") and origin.get("optional") is not True:
            yield "ConfigMap", origin["name"]


RULE = Rule(
    id="missing-reference",
    why="The Pod waits for it without end, and the rollout fails only when its deadline is over.",
    fix="render the object in the same overlay, or correct the name",
    link="https://kubernetes.io/docs/concepts/configuration/configmap/#using-configmaps",
    check=check,
)
