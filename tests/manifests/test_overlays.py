"""Overlays: what is rendered for an environment is valid, its own, and says which image it is."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from rendering import CLUSTERS, ENVIRONMENTS, Resource, annotations, bumped, environment, load, of_kind, one
from slipway import paths, toolchain

DIGEST = re.compile(r"[^:@]+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}@sha256:[0-9a-f]{64}")
BUILT_BY_PLATFORM = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway/postgres:15"
ALB = "alb.ingress.kubernetes.io/"
SCHEMAS_ELSEWHERE = {"ExternalSecret", "SecretStore", "SecurityGroupPolicy"}
"""Kinds of operators whose schemas the package for Kubernetes' own kinds lacks; `slipway check` has them."""


def containers(resource: Resource) -> list[dict]:
    """Containers and init containers of a workload."""
    pod = resource["spec"]["template"]["spec"]
    return pod.get("initContainers", []) + pod["containers"]


def test_there_are_overlays_to_test():
    """The environments are found by their file, and there are three."""
    assert ENVIRONMENTS == ["dev", "prod", "staging"]


def test_every_object_is_valid_for_the_pinned_kubernetes(resources):
    """Every object of a built-in kind matches the schema of the pinned release, with no unknown field."""
    minor = ".".join(toolchain.version("k8s.io/kubernetes").removeprefix("v").split(".")[:2])
    for resource in resources:
        if resource["kind"] not in SCHEMAS_ELSEWHERE:
            kubernetes_validate.validate(resource, minor, strict=True)


def test_every_object_is_in_the_environments_namespace(place, resources):
    """Nothing lands in another environment's namespace; the Namespace itself is named after the environment."""
    for resource in resources:
        where = resource["metadata"].get("name" if resource["kind"] == "Namespace" else "namespace")
        assert where == place[0], f"{resource['kind']} {resource['metadata']['name']}"


def test_every_image_is_pinned_by_tag_and_digest(resources):
    """What Pods run cannot change without a commit."""
    for workload in of_kind(resources, "Deployment", "StatefulSet"):
        for container in containers(workload):
            image = container["image"]
            assert image == BUILT_BY_PLATFORM or DIGEST.fullmatch(image), image


def test_the_application_is_told_exactly_the_image_it_runs(resources):
    """BOARD_IMAGE is the container's image to the last character of the digest."""
    for workload in of_kind(resources, "Deployment"):
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        told = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert told["BOARD_IMAGE"] == container["image"]


def test_migration_runs_from_the_same_image(resources):
    """A schema is never migrated by another build than the one that is about to use it."""
    backend = one(resources, "Deployment", "board-backend")
    assert len({container["image"] for container in containers(backend)}) == 1


def test_every_images_entry_matches_a_container(place, resources):
    """An `images:` entry that matches nothing would make a bump without effect."""
    running = {c["image"].split(":")[0] for w in of_kind(resources, "Deployment") for c in containers(w)}
    overlay = load(paths.CHECKOUT / "overlays" / place[0] / "board" / "kustomization.yaml")
    assert {entry["name"] for entry in overlay["images"]} == running


def test_A28_a_bump_changes_nothing_but_image_references(place):
    """Selectors, names and labels, of which some can never change, are the same before and after a bump."""
    digest = "sha256:" + "b" * 64
    before, after = environment(*place), bumped(*place, "v9", digest)
    old = {c["image"] for w in of_kind(before, "Deployment") for c in containers(w)}
    text = yaml.safe_dump_all(before, width=10_000)
    for image in old:
        text = text.replace(image, f"{image.split(':')[0]}:v9@{digest}")
    assert yaml.safe_dump_all(after, width=10_000) == text and digest in text


def test_load_balancer_is_named_after_the_environment(place, resources):
    """One load balancer per environment, with a name AWS accepts, and a group that no other environment is in."""
    given = annotations(one(resources, "Ingress", "board"), "alb.ingress.kubernetes.io/")
    name = given["load-balancer-name"]
    assert (name, given["group.name"]) == (f"slipway-{place[0]}", place[0])
    assert len(name) <= 32


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_environments_differ_only_in_name_and_images(cluster):
    """What staging showed holds for prod: apart from its name, an environment has nothing of its own."""

    def neutral(name: str) -> list[Resource]:
        text = yaml.safe_dump_all(environment(name, cluster))
        text = re.sub(r":[\w.-]+@sha256:[0-9a-f]{64}", "", text)
        return list(yaml.safe_load_all(re.sub(rf"\b{name}\b", "ENVIRONMENT", text)))

    first, *others = ENVIRONMENTS
    for other in others:
        assert neutral(other) == neutral(first)


def test_overlays_name_the_local_cluster():
    """As shipped, the overlays are for the local platform; EKS is the other component, a word away."""
    for name in ENVIRONMENTS:
        overlay = load(paths.CHECKOUT / "overlays" / name / "board" / "kustomization.yaml")
        assert overlay["components"] == ["../../../base/board/clusters/local"]


def fetched_keys(external: Resource) -> set[str]:
    """What an ExternalSecret takes from the secret in AWS."""
    return {entry["secretKey"] for entry in external["spec"]["data"]}


def test_secrets_are_only_referred_to(resources):
    """No Secret is rendered from Git, and on EKS each one that a Pod or the load balancer reads is fetched."""
    assert not of_kind(resources, "Secret")
    read = {
        (variable["valueFrom"]["secretKeyRef"]["name"], variable["valueFrom"]["secretKeyRef"]["key"])
        for workload in of_kind(resources, "Deployment")
        for container in containers(workload)
        for variable in container["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert read == {
        ("board-database", "url"),
        ("board-events", "token"),
        ("board-access", "read-token"),
        ("board-access", "git-username"),
        ("board-access", "git-password"),
        ("board-access", "argocd-token"),
    }
    fetched = {
        (external["spec"]["target"]["name"], key)
        for external in of_kind(resources, "ExternalSecret")
        for key in external["spec"]["target"].get("template", {}).get("data") or fetched_keys(external)
    }
    login = annotations(one(resources, "Ingress", "board")).get(f"{ALB}auth-idp-oidc")
    if login:
        read |= {(json.loads(login)["secretName"], key) for key in ("clientID", "clientSecret")}
    assert fetched in (set(), read)


def test_what_a_secret_is_put_together_from_is_fetched():
    """The database's address is of fields that RDS keeps; a field that is missing would leave a hole in it."""
    external = one(environment("prod", "eks"), "ExternalSecret", "board-database")
    (url,) = external["spec"]["target"]["template"]["data"].values()
    used = set(re.findall(r"{{ \.(\w+) }}", url))
    assert used == fetched_keys(external)
    address = urlsplit(re.sub(r"{{ \.port }}", "5432", url))
    assert (address.scheme, address.query) == ("postgresql+psycopg", "sslmode=require")


def test_external_secrets_are_of_the_environment(place):
    """No environment reads another's secret in AWS."""
    for external in of_kind(environment(place[0], "eks"), "ExternalSecret"):
        for entry in external["spec"]["data"]:
            assert entry["remoteRef"]["key"].split("/")[:2] == ["slipway", place[0]]
