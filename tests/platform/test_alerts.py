"""The real Prometheus sees the real platform; what it says of a broken rollout: test_broken_image.py."""

from __future__ import annotations

import pytest
import yaml
from slipway.platform import config, monitoring

from .conftest import Platform, eventually, measured, prometheus

ONLY_ONCE_IT_FAILED = {
    "argocd_git_fetch_fail_total",
    "argocd_git_lsremote_fail_total",
    "slipway_build_started_timestamp_seconds",
}
"""Metrics without a series until there is something to count, or while no build runs."""
ELSEWHERE = {"cloudwatch", "jenkins"}
TARGETS = "slipway:load_balancer_healthy_targets"


def test_every_source_is_scraped(platform: Platform) -> None:
    """API server, kubelet, Argo CD's five components, boards, load balancer, pipeline and gate; nothing is refused."""

    def all_up() -> list[dict] | None:
        targets = prometheus("targets", state="active")["activeTargets"]
        return targets if targets and all(target["health"] == "up" for target in targets) else None

    targets = eventually(all_up, 120, "every target is up")
    jobs = {target["labels"]["job"] for target in targets}
    listed = yaml.safe_load((monitoring.SOURCE / "metrics.yaml").read_text())
    assert jobs == set(listed) - ELSEWHERE
    components = {t["labels"]["component"] for t in targets if t["labels"]["job"] == "argocd"}
    assert components == {
        "application-controller",
        "applicationset-controller",
        "notifications-controller",
        "repo-server",
        "server",
    }
    boards = {t["labels"]["environment"] for t in targets if t["labels"]["job"] == "board"}
    assert boards == set(config.ENVIRONMENTS)


def test_every_metric_that_a_rule_reads_is_there(platform: Platform) -> None:
    """Under that very name, and what the rules record of it; what comes from AWS and Jenkins cannot be."""
    count_a_sync(platform)
    listed = yaml.safe_load((monitoring.SOURCE / "metrics.yaml").read_text())
    wanted = {name for source in set(listed) - ELSEWHERE for name in listed[source]["metrics"]}
    wanted |= {
        "slipway:application_info",
        "slipway:board_requests:rate5m",
        "slipway:load_balancer_requests:rate5m",
        TARGETS,
        "slipway:load_balancer_last_healthy_targets",
        "slipway:memory_of_limit:ratio",
        "slipway:pipeline_last_success_timestamp_seconds",
    }

    def complete() -> bool:
        if missing := wanted - ONLY_ONCE_IT_FAILED - set(prometheus("label/__name__/values")):
            raise ValueError(f"missing: {sorted(missing)}")
        return True

    eventually(complete, 120, "every metric, and what is recorded of it, has a series")

    def healthy() -> bool:
        """By HAProxy's own count, which lags a scrape behind a rollout."""
        groups = measured(TARGETS)
        environments = {group["metric"]["environment"] for group in groups}
        return environments == set(config.ENVIRONMENTS) and all(float(g["value"][1]) >= 1 for g in groups)

    eventually(healthy, 120, "every target group of every environment has a target that is well")


def count_a_sync(platform: Platform) -> None:
    """Have Argo CD bring dev to what it already is: a controller that has just started has counted nothing yet."""
    sync = '{"operation": {"initiatedBy": {"username": "test"}, "sync": {}}}'
    one = ("--namespace", "argocd", "application", "dev-board")
    platform.cluster.kubectl("patch", *one, "--type=merge", f"--patch={sync}")


@pytest.mark.parametrize(
    "what", ["get secrets", "create pods", "get nodes --subresource=proxy", "list configmaps"]
)
def test_prometheus_account_may_not(platform: Platform, what: str) -> None:
    """The API server itself says so."""
    account = f"system:serviceaccount:{monitoring.NAMESPACE}:{monitoring.ACCOUNT}"
    arguments = ("auth", "can-i", *what.split(), "--all-namespaces", "--as", account)
    assert platform.cluster.kubectl(*arguments, check=False).stdout.strip() == "no"
