"""Security groups for Pods on EKS: the database's clients wear the group that it admits, and nobody else does."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import pytest
import yaml
from rendering import ENVIRONMENTS, Resource, environment, of_kind, one, variant
from slipway import paths

NOWHERE = "sg-00000000000000000"


def selects(selector: dict, labels: dict) -> bool:
    """A label selector, as far as ours go; an empty one selects everything, as in Kubernetes."""
    assert not set(selector) - {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def wearers(resources: list[Resource]) -> set[tuple[str, tuple[str, ...]]]:
    """The workloads whose Pods wear a group, each with the groups."""
    found = set()
    for policy in of_kind(resources, "SecurityGroupPolicy"):
        spec = policy["spec"]
        accounts = {
            account["metadata"]["name"]
            for account in of_kind(resources, "ServiceAccount")
            if selects(spec.get("serviceAccountSelector", {}), account["metadata"].get("labels", {}))
        }
        for workload in of_kind(resources, "Deployment", "StatefulSet"):
            template = workload["spec"]["template"]
            labels = template["metadata"].get("labels", {})
            if "podSelector" in spec and not selects(spec["podSelector"], labels):
                continue
            if "podSelector" in spec or template["spec"]["serviceAccountName"] in accounts:
                found.add((workload["metadata"]["name"], tuple(spec["securityGroups"]["groupIds"])))
    return found


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_only_backends_wear_the_group_that_the_database_admits(name: str) -> None:
    """By the ServiceAccount, whose name no other Pod may borrow without a commit."""
    assert wearers(environment(name, "eks")) == {("board-backend", (NOWHERE,))}
    assert not of_kind(environment(name, "local"), "SecurityGroupPolicy")


CHANGES: dict[str, Callable[[dict], object]] = {
    "an empty selector": lambda spec: spec.update(serviceAccountSelector={}),
    "a label that all have": lambda spec: spec.update(
        serviceAccountSelector={"matchLabels": {"app.kubernetes.io/part-of": "board"}}
    ),
    "the frontend's": lambda spec: spec.update(
        serviceAccountSelector={"matchLabels": {"app.kubernetes.io/name": "board-frontend"}}
    ),
    "all Pods": lambda spec: (spec.pop("serviceAccountSelector"), spec.update(podSelector={})),
    "a second group": lambda spec: spec["securityGroups"]["groupIds"].append("sg-1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_selector_would_be_noticed(change: Callable[[dict], object]) -> None:
    """Each is a policy that the cluster would accept."""
    resources = copy.deepcopy(environment("prod", "eks"))
    change(one(resources, "SecurityGroupPolicy", "board-backend")["spec"])
    assert wearers(resources) != {("board-backend", (NOWHERE,))}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_guide_s_patch_gives_an_environment_its_own_group(name: str) -> None:
    """The block in the README, put into an overlay, replaces the placeholder and nothing else."""
    text = (paths.CHECKOUT / "argocd/clusters/aws/README.md").read_text()
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    patches = yaml.safe_load(block)["patches"]
    components = ["../../../base/board/clusters/eks"]
    patched = variant(paths.CHECKOUT / "overlays" / name / "board", components=components, patches=patches)
    assert wearers(patched) == {("board-backend", ("sg-11111111111111111",))}
    told = [yaml.safe_dump(patched), yaml.safe_dump(environment(name, "eks"))]
    assert told[0].replace("sg-11111111111111111", NOWHERE) == told[1]
