"""Trap A29: a ConfigMap with a generated name that is pruned while Pods still need it."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._argocd import annotation_options
from slipway.rules._facts import all_containers, mapping, mappings

_HASH = 10
_GENERATORS = {"configMapGenerator": "ConfigMap", "secretGenerator": "Secret"}


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every generated ConfigMap or Secret in use that a sync may prune."""
    generated = _generated(overlay)
    if not generated:
        return
    used = {ref for workload in overlay.workloads for ref in _references(workload)}
    for subject in overlay.of_kind("ConfigMap", "Secret"):
        stem, dash, ending = subject.name.rpartition("-")
        if (
            dash
            and len(ending) == _HASH
            and any(k == subject.kind and stem.endswith(n) for k, n in generated)
        ):
            options = annotation_options(subject.annotations.get("argocd.argoproj.io/sync-options"))
            if options.get("Prune") != "false" and (subject.kind, subject.name) in used:
                yield RULE.on(subject, "a sync removes this as soon as its content and so its name changes")


def _generated(overlay: Overlay) -> set[tuple[str, str]]:
    """Kind and name of everything that is generated with a hash behind its name."""
    found = set()
    for source in overlay.kustomizations:
        document = mapping(source.data[0]) if source.data else {}
        common = mapping(document.get("generatorOptions"))
        for key, kind in _GENERATORS.items():
            for item in mappings(document.get(key)):
                options = common | mapping(item.get("options"))
                if options.get("disableNameSuffixHash") not in (True, "true"):
                    found.add((kind, item.get("name") or ""))
    return found


def _references(workload: Object) -> Iterator[tuple[str, str]]:
    """Kind and name of every ConfigMap and Secret that a workload's Pods read."""
    for container in all_containers(workload):
        for item in mappings(container.get("envFrom")):
            yield "ConfigMap", mapping(item.get("configMapRef")).get("name") or ""
            yield "Secret", mapping(item.get("secretRef")).get("name") or ""
        for item in mappings(container.get("env")):
            origin = mapping(item.get("valueFrom"))
            yield "ConfigMap", mapping(origin.get("configMapKeyRef")).get("name") or ""
            yield "Secret", mapping(origin.get("secretKeyRef")).get("name") or ""
    for volume in mappings((workload.pod_spec or {}).get("volumes")):
        for item in (volume, *mappings(mapping(volume.get("projected")).get("sources"))):
            yield "ConfigMap", mapping(item.get("configMap")).get("name") or ""
            secret = mapping(item.get("secret"))
            yield "Secret", secret.get("secretName") or secret.get("name") or ""


RULE = Rule(
    id="generated-config",
    why="Pods of the last version and Jobs that a CronJob started still read the old name, and cannot start without it.",
    fix="set `disableNameSuffixHash: true`, or give it the annotation argocd.argoproj.io/sync-options: Prune=false",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#no-prune-resources",
    check=check,
)
