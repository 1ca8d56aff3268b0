"""Each safety setting of the shipped manifests is taken away in turn, and the check names the rule for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from slipway import paths
from slipway.rules import RULES

from tests.unit.rules_lab import examine

REMOVED = object()
BOARD = "base/board"
BACKEND, FRONTEND = f"{BOARD}/backend-deployment.yaml", f"{BOARD}/frontend-deployment.yaml"
INGRESS, POSTGRES = f"{BOARD}/ingress.yaml", "base/components/local-postgres/stateful-set.yaml"
QUICK = "base/components/quick-rollout/shorten-waits.yaml"
NAMESPACE, OVERLAY = "base/namespace/namespace.yaml", "overlays/prod/board/kustomization.yaml"
APPLICATIONS = "argocd/environments/common/applicationset.yaml"
PROJECT = "argocd/environments/common/limit-to-environment.yaml"
ALB = "/metadata/annotations/alb.ingress.kubernetes.io~1"
ARGOCD = "/metadata/annotations/argocd.argoproj.io~1"
POD = "/spec/template/spec"
MAIN, FIRST = f"{POD}/containers/0", f"{POD}/initContainers/0"


@dataclass(frozen=True)
class Mutation:
    """A value at a place (a JSON pointer) of a file that is removed or replaced, and the rules that must say so."""

    file: str
    at: str
    rules: frozenset[str]
    value: object = field(default=REMOVED, hash=False)
    cluster: str = "eks"

    def __str__(self) -> str:
        change = "" if self.value is REMOVED else f"={self.value}"
        return f"{self.cluster}:{Path(self.file).stem}:{self.at.rpartition('/')[2] or self.at}{change}"[:80]


def mutation(file: str, at: str, rules: str, value: object = REMOVED, cluster: str = "eks") -> Mutation:
    """A mutation; `rules` are separated by spaces."""
    return Mutation(file, at, frozenset(rules.split()), value, cluster)


def of_a_container(file: str, place: str, cluster: str = "eks") -> list[Mutation]:
    """What every container has."""
    gone = {
        "resources/requests/cpu": "resource-limits",
        "resources/requests/memory": "resource-limits",
        "resources/limits/memory": "resource-limits",
        "securityContext/allowPrivilegeEscalation": "pod-security",
        "securityContext/capabilities": "pod-security",
        "securityContext/readOnlyRootFilesystem": "read-only-root",
    }
    return [mutation(file, f"{place}/{at}", rule, cluster=cluster) for at, rule in gone.items()]


def of_pods(file: str, cluster: str = "eks") -> list[Mutation]:
    """What every workload has."""
    gone = {
        f"{POD}/automountServiceAccountToken": "service-account-token",
        f"{POD}/securityContext/runAsNonRoot": "pod-security",
        f"{POD}/securityContext/seccompProfile": "pod-security",
        f"{MAIN}/startupProbe": "missing-probe",
        f"{MAIN}/livenessProbe": "missing-probe",
        f"{MAIN}/readinessProbe": "missing-probe",
    }
    named = [mutation(file, at, rule, cluster=cluster) for at, rule in gone.items()]
    return named + of_a_container(file, MAIN, cluster)


def of_a_deployment(file: str) -> list[Mutation]:
    """What every Deployment has besides."""
    gone = {
        f"{ARGOCD}sync-wave": "sync-wave",
        "/spec/replicas": "single-replica",
        "/spec/minReadySeconds": "rollout-deadlines",
        "/spec/progressDeadlineSeconds": "rollout-deadlines",
        "/spec/strategy": "rolling-update",
        "/spec/strategy/rollingUpdate/maxUnavailable": "rolling-update",
        f"{POD}/terminationGracePeriodSeconds": "drain-time",
        f"{POD}/topologySpreadConstraints/0": "zone-spread",
        f"{POD}/topologySpreadConstraints/1": "zone-spread",
        f"{POD}/topologySpreadConstraints/0/matchLabelKeys": "zone-spread",
        f"{MAIN}/lifecycle": "drain-time",
    }
    changed = [
        mutation(file, f"{POD}/securityContext/runAsUser", "pod-security", 0),
        mutation(file, f"{MAIN}/ports/0/hostPort", "pod-security", 8000),
        mutation(file, f"{POD}/volumes/0", "pod-security", {"name": "tmp", "hostPath": {"path": "/tmp"}}),
        mutation(file, f"{MAIN}/lifecycle/preStop/sleep/seconds", "drain-time", 30),
        mutation(file, f"{MAIN}/readinessProbe/httpGet/path", "health-check", "/"),
        mutation(file, f"{POD}/serviceAccountName", "missing-reference", "nobody"),
        mutation(file, f"{MAIN}/env/0", "secret-in-environment", {"name": "TOKEN", "value": "hunter2"}),
    ]
    return of_pods(file) + [mutation(file, at, rule) for at, rule in gone.items()] + changed


MUTATIONS = [
    *of_a_deployment(BACKEND),
    *of_a_deployment(FRONTEND),
    *of_a_container(BACKEND, FIRST),
    *of_pods(POSTGRES, "local"),
    # What the load balancer is told
    mutation(f"{BOARD}/backend-service.yaml", f"{ALB}healthcheck-path", "health-check"),
    mutation(f"{BOARD}/backend-service.yaml", f"{ALB}target-group-attributes", "drain-time"),
    mutation(f"{BOARD}/frontend-service.yaml", f"{ALB}healthcheck-path", "health-check"),
    mutation(f"{BOARD}/frontend-service.yaml", f"{ALB}target-group-attributes", "drain-time sticky-sessions"),
    mutation(f"{BOARD}/frontend-service.yaml", f"{ALB}target-group-attributes", "sticky-sessions", "deregistration_delay.timeout_seconds=30"),  # fmt: skip
    mutation(INGRESS, f"{ALB}target-type", "target-type"),
    mutation(INGRESS, f"{ALB}load-balancer-attributes", "idle-timeout"),
    mutation(INGRESS, f"{ALB}healthcheck-timeout-seconds", "health-check"),
    mutation(INGRESS, f"{ALB}actions.not-found", "ingress-backend"),
    mutation(INGRESS, f"{ALB}group.order", "ingress-group"),
    mutation(INGRESS, "/spec/rules/0/http/paths/1", "public-metrics"),
    mutation(INGRESS, f"{ALB}inbound-cidrs", "alb-annotations", "10.0.0.0/8"),
    mutation(INGRESS, f"{ALB}healthcheck-interval-seconds", "annotation-text", 5),
    mutation("base/components/https/redirect-to-https.yaml", f"{ALB}ssl-policy", "tls-policy"),
    mutation("base/components/https/redirect-to-https.yaml", f"{ALB}ssl-redirect", "tls-policy"),
    mutation(f"{BOARD}/backend-service.yaml", "/spec/selector/app.kubernetes.io~1name", "service-selects-nothing", "nobody"),  # fmt: skip
    # Evictions and the network
    mutation(f"{BOARD}/kustomization.yaml", "/resources/3", "disruption-budget"),
    mutation(f"{BOARD}/kustomization.yaml", "/resources/8", "disruption-budget"),
    mutation(f"{BOARD}/backend-pod-disruption-budget.yaml", "/spec/maxUnavailable", "blocking-disruption-budget", 0),
    mutation(f"{BOARD}/backend-pod-disruption-budget.yaml", "/spec/unhealthyPodEvictionPolicy", "blocking-disruption-budget"),  # fmt: skip
    mutation(f"{BOARD}/backend-pod-disruption-budget.yaml", "/spec/selector/matchLabels/app.kubernetes.io~1name", "disruption-budget selects-nothing", "nobody"),  # fmt: skip
    mutation("base/namespace/kustomization.yaml", "/resources/1", "network-policy"),
    mutation("base/namespace/default-deny.yaml", "/spec/policyTypes", "network-policy", ["Ingress"]),
    mutation(f"{BOARD}/frontend-network-policy.yaml", "/spec/egress", "network-policy", [{}]),
    mutation(f"{BOARD}/backend-network-policy.yaml", "/spec/podSelector/matchLabels/app.kubernetes.io~1name", "selects-nothing", "nobody"),  # fmt: skip
    # The namespace
    mutation(NAMESPACE, "/metadata/labels/elbv2.k8s.aws~1pod-readiness-gate-inject", "readiness-gate"),
    mutation(NAMESPACE, "/metadata/labels/pod-security.kubernetes.io~1enforce", "namespace-pod-security"),
    mutation(NAMESPACE, "/metadata/labels/pod-security.kubernetes.io~1enforce-version", "namespace-pod-security"),
    mutation(NAMESPACE, f"{ARGOCD}sync-options", "prune-protection"),
    mutation(NAMESPACE, f"{ARGOCD}sync-wave", "sync-wave"),
    # What the local platform shortens
    mutation(QUICK, "/0/value", "rollout-deadlines", 0, "local"),
    mutation(QUICK, "/1/value", "rollout-deadlines", 60, "local"),
    mutation(QUICK, "/2/value", "drain-time", 30, "local"),
    mutation(QUICK, "/3/value/exec/command/1", "drain-time", "5", "local"),
    # Which build runs
    mutation(OVERLAY, "/images/0/digest", "image-entry-without-digest"),
    mutation(OVERLAY, "/images/0/digest", "image-syntax", "sha256:0"),
    mutation(OVERLAY, "/images/0/name", "image-name-pattern", ".*/board-backend"),
    mutation(OVERLAY, "/resources/0", "missing-namespace"),
    mutation(OVERLAY, "/images/0", "unpinned-image"),
    mutation(OVERLAY, "/images/0/name", "dead-image-entry unpinned-image", "board-backend"),
    mutation(BACKEND, f"{MAIN}/env/0", "image-elsewhere", {"name": "BEFORE", "value": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway/board-frontend:v1"}),  # fmt: skip
    mutation(f"{BOARD}/kustomization.yaml", "/labels/0/includeSelectors", "selector-labels", True),
    # Argo CD
    mutation(APPLICATIONS, "/spec/goTemplateOptions", "applicationset-template"),
    mutation(APPLICATIONS, "/spec/syncPolicy/applicationsSync", "applicationset-deletion"),
    mutation(APPLICATIONS, "/spec/syncPolicy/preserveResourcesOnDeletion", "applicationset-deletion"),
    mutation(APPLICATIONS, f"/spec/template{ARGOCD}manifest-generate-paths", "generate-paths"),
    mutation(APPLICATIONS, f"/spec/template{ARGOCD}manifest-generate-paths", "generate-paths", ".;../../base"),
    mutation(APPLICATIONS, "/spec/template/spec/source/kustomize", "application-overrides", {"namePrefix": "x-"}),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/automated", "sync-policy"),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/automated/prune", "sync-policy"),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/automated/selfHeal", "sync-policy"),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/automated/allowEmpty", "sync-policy", True),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/syncOptions/0", "sync-policy", "Replace=true"),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/retry", "sync-retry"),
    mutation(APPLICATIONS, "/spec/template/spec/syncPolicy/retry/refresh", "sync-retry"),
    mutation(PROJECT, "/spec/sourceRepos", "project-limits", ["settings", "*"]),
    mutation(PROJECT, "/spec/clusterResourceWhitelist/0/kind", "project-limits", "*"),
    mutation(PROJECT, "/spec/namespaceResourceWhitelist/0", "project-limits", {"group": "*", "kind": "*"}),
    mutation("argocd/clusters/common/lock-default-project.yaml", "/spec/sourceRepos", "default-project", ["x"]),
    mutation("argocd/clusters/common/lock-default-project.yaml", "/spec/namespaceResourceBlacklist", "project-limits"),
    mutation("overlays/prod/environment.yaml", "/approvals", "environment-policy", "some"),
]  # fmt: skip

ABOUT_ADDITIONS = {
    "argocd-source-file", "autoscaled-replicas", "build-in-deploy-repository", "chained-image-entries", "duplicate-key",
    "duplicate-variable", "generated-config", "misspelt-key", "probe-port", "secret-data", "selector-mismatch",
    "several-documents", "several-kustomizations", "shared-object", "unpinned-remote",
}  # fmt: skip
"""Rules against what somebody adds: the shipped manifests have no setting whose absence they would name."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[Mutation | str, set[str]]:
    """The rules that name each mutation, and those that name something in the manifests as they are."""
    root = tmp_path_factory.mktemp("mutations")
    for cluster in ("eks", "local"):
        _copy(root / cluster, cluster)
    for number, one in enumerate(MUTATIONS):
        shutil.copytree(root / one.cluster, root / str(number), copy_function=os.link)
        _mutate(root / str(number), one)
    names = ["eks", "local", *map(str, range(len(MUTATIONS)))]
    rules = {name: {finding.rule for finding in findings} for name, findings in examine(root, names).items()}
    return {one: rules[str(number)] for number, one in enumerate(MUTATIONS)} | rules


def _copy(folder: Path, cluster: str) -> None:
    """The deploy half with one overlay, for one kind of cluster."""
    for half in ("base", "overlays", "argocd"):
        shutil.copytree(paths.CHECKOUT / half, folder / half)
    for other in set((folder / "overlays").glob("*/*/")) - {folder / "overlays/prod/board"}:
        shutil.rmtree(other)
    overlay = folder / OVERLAY
    overlay.write_text(overlay.read_text().replace("clusters/local", f"clusters/{cluster}"))


def _mutate(folder: Path, one: Mutation) -> None:
    """Change the value where it stands; a place that is not there is a mistake of this test."""
    file = folder / one.file
    document = yaml.load(file.read_text(), yaml.CSafeLoader)
    *steps, last = [step.replace("~1", "/") for step in one.at.removeprefix("/").split("/")]
    node = document
    for step in steps:
        node = node[int(step) if isinstance(node, list) else step]
    key = int(last) if isinstance(node, list) else last
    if one.value is REMOVED:
        del node[key]
    else:
        assert isinstance(node, dict) or key < len(node)
        node[key] = one.value
    file.unlink()  # a link to the common copy
    file.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))


def test_the_manifests_as_they_are_break_no_rule(found):
    """Else a mutation would show nothing; the one waiver counts as a finding here."""
    assert found["eks"] == set()
    assert found["local"] == {"unpinned-image"}


@pytest.mark.parametrize("one", MUTATIONS, ids=str)
def test_a_setting_that_is_gone_is_named_by_its_rule(one, found):
    """The rules that are expected, and no other."""
    usual = found[one.cluster] - one.rules
    assert found[one] - usual == one.rules


def test_every_rule_is_reached():
    """A rule either names a mutation, or is about what somebody adds."""
    reached = {rule for one in MUTATIONS for rule in one.rules}
    assert {rule.id for rule in RULES} == reached | ABOUT_ADDITIONS
    assert not reached & ABOUT_ADDITIONS
