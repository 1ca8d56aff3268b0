"""kube-score, a linter that nobody here wrote, finds nothing critical in the manifests but what is waived with a reason."""

from __future__ import annotations

import json
import subprocess

import yaml
from rendering import CLUSTERS, environment
from slipway import toolchain

CRITICAL = 1
WAIVED = {
    (
        "container-image-pull-policy",
        "*",
    ): "Every image is named by its digest, so what a node has is what a registry "
    "would send; a Pod then starts while the registry is away. PostgreSQL's is made on the machine itself.",
    (
        "container-resources",
        "*",
    ): "A limit of CPU slows a container down while the node has CPU to spare; requests and "
    "the limit of memory are set.",
    (
        "container-ephemeral-storage-request-and-limit",
        "*",
    ): "Root file systems are read-only and the applications' "
    "writable volumes have a size limit, so logs are all that grows, and the kubelet turns those over.",
    (
        "pod-probes-identical",
        "board-frontend",
    ): "Streamlit has one health path; liveness waits a minute longer.",
    ("pod-probes-identical", "board-postgres"): "pg_isready is what there is to ask; liveness waits longer.",
    (
        "ingress-targets-service",
        "board",
    ): "The paths of metrics lead to an action of the load balancer, not a Service.",
    (
        "container-security-context-user-group-id",
        "board-postgres",
    ): "Debian's package makes the user 999, and owns the files in the image by it; local platform only.",
    (
        "statefulset-has-servicename",
        "board-postgres",
    ): "One Pod, reached by its Service; local platform only.",
}


def criticisms(cluster: str) -> list[tuple[str, str, str]]:
    """Check, object and text of everything critical that is found in prod."""
    manifests = yaml.safe_dump_all(environment("prod", cluster))
    minor = ".".join(toolchain.version("k8s.io/kubernetes").split(".")[:2])
    argv = [
        toolchain.tool("kube-score"),
        "score",
        "--kubernetes-version",
        minor,
        "--output-format",
        "json",
        "-",
    ]
    done = subprocess.run(argv, input=manifests, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return [
        (one["check"]["id"], subject["object_meta"]["name"], str(one["comments"]))
        for subject in json.loads(done.stdout)
        for one in subject["checks"]
        if one["grade"] == CRITICAL and not one["skipped"]
    ]


def test_kube_score_finds_nothing_critical_that_is_not_waived():
    """Every environment renders the same but for its name, so one is enough; both kinds of cluster are scored."""
    found = [one for cluster in CLUSTERS for one in criticisms(cluster)]
    assert [one for one in found if (one[0], one[1]) not in WAIVED and (one[0], "*") not in WAIVED] == []


def test_every_waiver_is_needed():
    """What kube-score no longer finds is not waived any more."""
    found = {(check, name) for cluster in CLUSTERS for check, name, _ in criticisms(cluster)}
    found |= {(check, "*") for check, _ in found}
    assert set(WAIVED) <= found


def test_kube_score_would_find_what_is_wrong():
    """The linter does look: a Deployment without its security context is criticised for it."""
    resources = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": {"containers": [{"name": "bare", "image": "x:latest"}]}}
    ]  # fmt: skip
    argv = [toolchain.tool("kube-score"), "score", "--output-format", "ci", "-"]
    done = subprocess.run(
        argv, input=yaml.safe_dump_all(resources), capture_output=True, text=True, timeout=60
    )
    assert "[CRITICAL] bare v1/Pod" in done.stdout
