"""Pods that carry a token for the Kubernetes API which they do not need."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every workload whose Pods get a token, by themselves or by their ServiceAccount."""
    for workload in overlay.workloads:
        pod = workload.pod_spec or {}
        given = pod.get("automountServiceAccountToken")
        if given is None:
            name = pod.get("serviceAccountName") or "default"
            given = next(
                (
                    account.data.get("automountServiceAccountToken")
                    for account in overlay.of_kind("ServiceAccount")
                    if (account.namespace, account.name) == (workload.namespace, name)
                ),
                None,
            )
        if given is not False:
            yield RULE.on(workload, "its Pods carry a token for the Kubernetes API")


RULE = Rule(
    id="service-account-token",
    why="Whoever reads a file in such a Pod can speak to the cluster in its name.",
    fix="set automountServiceAccountToken: false; a Pod that needs the API is waived with that reason",
    link="https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#opt-out-of-api-credential-automounting",
    check=check,
)
