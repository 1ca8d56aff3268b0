"""Installs kube-router, which enforces the NetworkPolicies that Git holds; on EKS the VPC CNI does."""

from __future__ import annotations

from pathlib import Path

from slipway.kubectl import Cluster

NAMESPACE = "kube-system"
NAME = "kube-router"
MANIFESTS = Path(__file__).parent / "manifests" / NAME


def install(cluster: Cluster) -> None:
    """Apply the engine; does not wait for its Pod."""
    cluster.apply("\n---\n".join((MANIFESTS / name).read_text() for name in ("rbac.yaml", "daemonset.yaml")))


def wait(cluster: Cluster, seconds: int = 120) -> None:
    """Wait until every node's engine knows the cluster and is at work."""
    cluster.rolled_out(NAMESPACE, f"daemonset/{NAME}", seconds)
