"""What a stage may say: the stages as they are fit the manifests, and mistakes are refused before synthesis."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml
from parameters import Cluster, Network, NodeGroup, Stage
from pydantic import ValidationError
from slipway import paths
from stages import STAGES

ROOT = paths.CHECKOUT


def blocks(file: str) -> set[IPv4Network]:
    """The networks that a manifest names."""
    return {IPv4Network(cidr) for cidr in re.findall(r"cidr: (\S+)", (ROOT / file).read_text())}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_network_policies_admit_the_load_balancers_subnets(stage: Stage) -> None:
    """The public subnets are those that base/components/vpc-load-balancer names, all of them."""
    named = blocks("base/components/vpc-load-balancer/allow-load-balancer.yaml")
    assert {zone.public for zone in stage.network.zones} == named


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_network_policies_let_backends_reach_the_databases_subnets(stage: Stage) -> None:
    """The database subnets are those that base/components/external-database names, all of them."""
    named = blocks("base/components/external-database/network-policy.yaml")
    assert {zone.database for zone in stage.network.zones} == named


def test_every_overlay_is_an_environment_of_exactly_one_stage() -> None:
    """And no stage has one that Git does not know."""
    folders = sorted(file.parent.name for file in (ROOT / "overlays").glob("*/environment.yaml"))
    assert sorted(e.name for stage in STAGES for e in stage.environments) == folders


def test_prod_shares_neither_account_nor_cluster() -> None:
    """An account of its own, and nobody of the other account among those who get in."""
    nonprod, prod = STAGES
    assert [e.name for e in prod.environments] == ["prod"]
    assert nonprod.account != prod.account
    assert nonprod.cluster_name != prod.cluster_name
    for arn in (*prod.cluster.admins, *prod.cluster.readers):
        assert arn.split(":")[4] == prod.account


def test_repositories_are_those_that_overlays_name() -> None:
    """Account, region and names, as the images of the overlays have them."""
    (stage,) = (stage for stage in STAGES if stage.owns_registry)
    registry = f"{stage.registry.account}.dkr.ecr.{stage.region}.amazonaws.com"
    made = {f"{registry}/{name}" for name in stage.registry.repositories}
    overlays = (ROOT / "overlays").glob("*/*/kustomization.yaml")
    named = {image["name"] for file in overlays for image in yaml.safe_load(file.read_text())["images"]}
    assert made == named


def test_the_managing_argo_cd_is_the_same_from_both_sides() -> None:
    """Who a cluster says manages it is who says that it manages the cluster."""
    by_name = {(stage.account, stage.name): stage for stage in STAGES}
    for stage in STAGES:
        if not stage.runs_argocd:
            assert (stage.account, stage.name) in by_name[stage.argocd].manages
    assert [stage.name for stage in STAGES if stage.manages] == ["prod"]


NETWORK, CLUSTER = STAGES[0].network.model_dump(), STAGES[0].cluster.model_dump()
NODES = STAGES[0].cluster.node_groups[0].model_dump()


def zones(**changes: str) -> dict:
    """The network with the first zone changed."""
    first, *others = NETWORK["zones"]
    return {**NETWORK, "zones": ({**first, **changes}, *others)}


@pytest.mark.parametrize(
    ("model", "value", "says"),
    [
        (Network, zones(database="10.0.0.0/25"), "subnets overlap: 10.0.0.0/24 and 10.0.0.0/25"),
        (Network, zones(private="10.1.0.0/19"), "outside 10.0.0.0/16: 10.1.0.0/19"),
        (Network, {**NETWORK, "zones": NETWORK["zones"][:2]}, "at least 3 items"),
        (Network, {**NETWORK, "nat_gateways": 0}, "greater than or equal to 1"),
        (
            Cluster,
            {**CLUSTER, "public_access_cidrs": ("0.0.0.0/0",)},
            "too wide for an API server: 0.0.0.0/0",
        ),
        (Cluster, {**CLUSTER, "public_access_cidrs": ()}, "at least 1 item"),
        (Cluster, {**CLUSTER, "admins": ("arn:aws:iam::1:role/x",)}, "String should match pattern"),
        (Cluster, {**CLUSTER, "versoin": "1.36"}, "Extra inputs are not permitted"),
        (NodeGroup, {**NODES, "instance_types": ("t3.large",)}, "no network interface of their own for Pods"),
        (NodeGroup, {**NODES, "architecture": "riscv"}, "Input should be 'amd64' or 'arm64'"),
    ],
)
def test_mistakes_are_refused_with_their_reason(model: type, value: dict, says: str) -> None:
    """Before anything is synthesised."""
    with pytest.raises(ValidationError) as error:
        model.model_validate(value)
    assert says in str(error.value)


def test_the_unchanged_parameters_are_accepted() -> None:
    """The mistakes above are refused for what was changed."""
    assert Network.model_validate(NETWORK) == STAGES[0].network
    assert Cluster.model_validate(CLUSTER) == STAGES[0].cluster


def test_only_the_stages_name_accounts() -> None:
    """Who adopts this changes two files and a third that both share; no account hides elsewhere."""
    folder = ROOT / "argocd/clusters/aws"
    found = {str(file.relative_to(folder)) for file in folder.rglob("*.py") if _accounts(file)}
    assert found == {"stages/common.py", "stages/nonprod.py", "stages/prod.py"}


def _accounts(file: Path) -> list[str]:
    return re.findall(r"\b\d{12}\b", file.read_text())
