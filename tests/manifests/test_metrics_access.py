"""Whoever collects the metrics gets through the NetworkPolicies, and only to the ports that give them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from rendering import CLUSTERS, ENVIRONMENTS, argocd_install, environment, of_kind
from slipway.platform import config

COLLECTOR = {"local": config.HOST, "eks": "10.0.1.77"}
"""An address that asks: the machine's, or one in a public subnet."""
METRICS = {
    "argocd-application-controller": 8082,
    "argocd-applicationset-controller": 8080,
    "argocd-notifications-controller": 9001,
    "argocd-repo-server": 8084,
}


def admitted(policies: list[dict], pod: str, address: str, port: int | str) -> bool:
    """Whether a packet from this address, which is no Pod's, reaches that port of the Pods of this name."""
    mine = [
        one
        for one in policies
        if one["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name", pod) == pod
    ]
    assert mine, f"no policy on {pod}"
    return any(
        any(
            ip_address(address) in ip_network(peer["ipBlock"]["cidr"])
            for peer in rule.get("from", [])
            if "ipBlock" in peer
        )
        and port in [entry["port"] for entry in rule.get("ports", [])]
        for one in mine
        for rule in one["spec"].get("ingress", [])
    )


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("pod", METRICS)
def test_argo_cd_s_metrics_are_within_reach(cluster: str, pod: str) -> None:
    """Of the collector; not of an address elsewhere, nor is the repository server's own port."""
    policies = of_kind(argocd_install(cluster), "NetworkPolicy")
    assert admitted(policies, pod, COLLECTOR[cluster], METRICS[pod])
    assert not admitted(policies, pod, "192.0.2.1", METRICS[pod])
    assert not admitted(policies, "argocd-repo-server", COLLECTOR[cluster], 8081)


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_board_s_metrics_are_within_reach(cluster: str, name: str) -> None:
    """By the rule that admits the load balancer."""
    policies = of_kind(environment(name, cluster), "NetworkPolicy")
    assert admitted(policies, "board-backend", COLLECTOR[cluster], "http")
    assert not admitted(policies, "board-backend", "192.0.2.1", "http")
