"""The engine's manifests agree with the platform's facts, and ask for no more than a policy engine needs."""

from __future__ import annotations

import pytest
import yaml
from slipway import toolchain
from slipway.platform import config, images, policy_engine


@pytest.fixture(scope="module")
def container() -> dict:
    """The engine's container."""
    text = (policy_engine.MANIFESTS / "daemonset.yaml").read_text()
    (found,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    return found


def test_the_image_is_the_one_that_the_node_is_given_of_the_pinned_release(container: dict) -> None:
    """Under that name it is imported; nothing pulls it."""
    assert (container["image"], container["imagePullPolicy"]) == (images.ENGINE_IMAGE, "IfNotPresent")
    version = toolchain.version("github.com/cloudnativelabs/kube-router/v2").removeprefix("v")
    assert version.startswith(images.ENGINE_IMAGE.rpartition(":")[2] + ".")


def test_it_is_an_engine_and_nothing_else(container: dict) -> None:
    """Neither a router nor a proxy of services, whose network it is told."""
    assert {
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        f"--service-cluster-ip-range={config.SERVICE_NETWORK}",
    } <= set(container["args"])


def test_it_has_two_capabilities_and_reads_only(container: dict) -> None:
    """Its rights in the cluster are to get, list and watch, and no Secret is among what it reads."""
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert "privileged" not in container["securityContext"]
    documents = yaml.safe_load_all((policy_engine.MANIFESTS / "rbac.yaml").read_text())
    (role,) = [document for document in documents if document["kind"] == "ClusterRole"]
    for rule in role["rules"]:
        assert rule["verbs"] == ["get", "list", "watch"] and "secrets" not in rule["resources"]
