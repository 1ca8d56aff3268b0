"""What Argo CD's manifests for EKS ask of AWS is what the stacks make: secret, fields, role, clusters."""

from __future__ import annotations

import json
import re

import yaml
from aws_template import Assembly
from slipway import paths
from stages import STAGES

INSTALL = paths.CHECKOUT / "argocd" / "install" / "eks"


def external_secrets() -> list[dict]:
    """Those of Argo CD's own namespace."""
    files = INSTALL.glob("*.yaml")
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    objects = [document for document in documents if isinstance(document, dict)]  # a patch may be a list
    return [document for document in objects if document["kind"] == "ExternalSecret"]


def made(assembly: Assembly) -> dict[str, set[str]]:
    """The fields of every secret that the stacks make, by name."""
    found = {}
    for secret in assembly.all("AWS::SecretsManager::Secret"):
        generated = secret["GenerateSecretString"]
        template = json.loads(assembly.text(secret, generated["SecretStringTemplate"]))
        found[secret["Name"]] = {*template, generated["GenerateStringKey"]}
    return found


def test_every_field_that_argocd_reads_is_made(assembly: Assembly) -> None:
    """And no field of Argo CD's own secret is for nobody."""
    asked: dict[str, set[str]] = {}
    for external in external_secrets():
        for entry in external["spec"]["data"]:
            remote = entry["remoteRef"]
            asked.setdefault(remote["key"], set()).add(remote["property"])
    there = made(assembly)
    assert {key: fields - there[key] for key, fields in asked.items()} == {key: set() for key in asked}
    assert asked["slipway/argocd/settings"] == there["slipway/argocd/settings"]


def test_the_secret_is_in_the_account_that_runs_argocd(assembly: Assembly) -> None:
    """Once."""
    (stage,) = [stage for stage in STAGES if stage.runs_argocd]
    secrets = [
        s for s in assembly.all("AWS::SecretsManager::Secret") if s["Name"].startswith("slipway/argocd/")
    ]
    assert [secret.stack for secret in secrets] == ["slipway-argocd-secrets"]
    tags = {tag["Key"]: tag["Value"] for tag in secrets[0]["Tags"]}
    assert tags["stage"] == stage.name


def test_argocd_enters_the_other_cluster_as_its_deployer(assembly: Assembly) -> None:
    """Name, cluster and role of the Secret are those of the stage that it manages."""
    (manager,) = [stage for stage in STAGES if stage.manages]
    (managed,) = [stage for stage in STAGES if (stage.account, stage.name) in manager.manages]
    template = yaml.safe_load((INSTALL / "nonprod-cluster.yaml").read_text())["spec"]["target"]["template"]
    aws = json.loads(template["data"]["config"])["awsAuthConfig"]
    assert template["data"]["name"] == managed.name
    assert aws["clusterName"] == managed.cluster_name
    (deployer,) = [
        role
        for role in assembly.all("AWS::IAM::Role")
        if role.get("RoleName") == f"{managed.cluster_name}-deployer"
    ]
    assert aws["roleARN"] == f"arn:aws:iam::{managed.account}:role/{deployer['RoleName']}"


def test_every_environment_is_deployed_to_the_cluster_of_its_stage() -> None:
    """The patches of argocd/clusters/eks name the environments of the stage that another one manages, all of them."""
    (managed,) = [stage for stage in STAGES if not stage.runs_argocd]
    text = (paths.CHECKOUT / "argocd/clusters/eks/kustomization.yaml").read_text()
    patches = {patch["path"]: patch["target"]["name"] for patch in yaml.safe_load(text)["patches"]}
    for path in ("reach-nonprod.yaml", "deploy-to-nonprod.yaml"):
        assert set(patches[path].split("|")) == {environment.name for environment in managed.environments}
        value = (paths.CHECKOUT / "argocd/clusters/eks" / path).read_text()
        assert re.findall(r"value: (\w+)", value) == [managed.name]
