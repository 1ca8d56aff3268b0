"""The AWS side together, at the platform's own AWS API: the templates deployed by CloudFormation, the Secrets that
External Secrets makes of what they describe, and the images that the deployed lifecycle policy keeps.

What moto does not make of a template (its secrets) is made from the template's own properties.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from slipway import paths, toolchain
from slipway.platform import config
from slipway.platform.supervisor import Supervisor

from tests.manifests import rendering

from .conftest import Platform, eventually, slipway

for folder in (paths.CHECKOUT / "argocd/clusters/aws", paths.CHECKOUT / "tests/aws"):
    sys.path.insert(0, str(folder))

from aws_emulator import Cloud  # noqa: E402
from aws_synthesis import synthesized  # noqa: E402
from aws_template import Assembly  # noqa: E402

NAMESPACE = "secrets-of-dev"
"""A namespace of the test's own: dev itself has its Secrets from `slipway up`."""
STACK = "slipway-dev-data"
ACCOUNT, REGION = config.ECR_HOST.split(".")[0], config.ECR_HOST.split(".")[3]
KEYS = {"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator", "AWS_REGION": REGION}
KINDS = ("secretstores", "externalsecrets")


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    """The templates as they are deployed."""
    return Assembly.read(synthesized("accepted"))


@pytest.fixture(scope="module")
def cloud(platform: Platform, assembly: Assembly) -> Iterator[Cloud]:
    """The platform's AWS API with every stack of its account; afterwards it has forgotten them, and nothing else."""
    made = Cloud(ACCOUNT, config.AWS_URL)
    try:
        made.deploy(assembly)
        yield made
    finally:
        supervisor = Supervisor(platform.state / "supervisor")
        supervisor.halt("aws")
        supervisor.run("aws")
        address = f"{config.AWS_URL}/slipway/elbv2"
        eventually(lambda: httpx.get(address, timeout=5).is_success, 30, "the AWS API is back")


@pytest.fixture(scope="module")
def stored(cloud: Cloud, assembly: Assembly) -> dict[str, dict[str, str]]:
    """The secrets of dev as its template describes them, in Secrets Manager: name to fields."""
    manager, rds = cloud.client("secretsmanager"), cloud.client("rds")
    (database,) = rds.describe_db_instances(DBInstanceIdentifier="slipway-dev")["DBInstances"]
    made = {}
    for resource in assembly.all("AWS::SecretsManager::Secret"):
        if resource.stack != STACK:
            continue
        rules = resource["GenerateSecretString"]
        fields = json.loads(assembly.text(resource, rules["SecretStringTemplate"]))
        if "host" in fields:
            fields["host"] = database["Endpoint"]["Address"]
        fields[rules["GenerateStringKey"]] = manager.get_random_password(
            PasswordLength=rules["PasswordLength"], ExcludeCharacters=rules["ExcludeCharacters"]
        )["RandomPassword"]
        manager.create_secret(Name=resource["Name"], SecretString=json.dumps(fields))
        made[resource["Name"]] = {name: str(value) for name, value in fields.items()}
    return made


@dataclass
class Operator:
    """External Secrets at work on one namespace."""

    platform: Platform

    def secret(self, name: str) -> dict[str, str]:
        """The Secret of that name, decoded; a `ValueError` with what the operator says as long as it is not there."""
        if not self.platform.cluster.exists("--namespace", NAMESPACE, "secret", name):
            told = self.platform.cluster.get("--namespace", NAMESPACE, "externalsecret", name)
            raise ValueError(json.dumps(told.get("status", {}).get("conditions", [])))
        data = self.platform.cluster.get("--namespace", NAMESPACE, "secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def made(self, name: str) -> dict[str, str]:
        """The same, waited for."""
        return eventually(lambda: self.secret(name), 60, f"the Secret {name} is made")


@pytest.fixture(scope="module")
def operator(
    platform: Platform, stored: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """The real operator beside the platform, with the store and the ExternalSecrets that dev has on EKS."""
    kubectl, log = platform.cluster.kubectl, tmp_path_factory.mktemp("operator") / "log"
    crds = toolchain.share("secrets", "external-secrets/crds")
    wanted = [
        resource | {"metadata": resource["metadata"] | {"namespace": NAMESPACE}}
        for resource in rendering.environment("dev", "eks")
        if resource["kind"] in ("SecretStore", "ExternalSecret")
    ]
    assert len(wanted) > len(KINDS)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    environment = {
        **os.environ,
        **KEYS,
        "KUBECONFIG": str(platform.cluster.kubeconfig),
        "AWS_SECRETSMANAGER_ENDPOINT": config.AWS_URL,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    names = [f"crd/{kind}.external-secrets.io" for kind in KINDS]
    try:
        for kind in KINDS:
            platform.cluster.apply((crds / f"external-secrets.io_{kind}.yaml").read_text(), "slipway-test")
        platform.cluster.wait("--for=condition=Established", *names, seconds=30)
        platform.cluster.apply("\n---\n".join(map(json.dumps, (namespace, *wanted))), "slipway-test")
        with log.open("w") as sink:
            argv = [toolchain.tool("external-secrets"), NAMESPACE]
            process = subprocess.Popen(argv, env=environment, stdout=sink, stderr=sink)
        try:
            yield Operator(platform)
        finally:
            process.terminate()
            process.wait(timeout=30)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        kubectl("delete", *names, "--ignore-not-found", "--timeout=60s")


def test_every_secret_of_the_overlay_comes_from_the_one_that_the_template_makes(
    operator: Operator, stored: dict[str, dict[str, str]]
) -> None:
    """Names, fields and values: what Git asks for under `slipway/dev/` is what CloudFormation puts there."""
    wanted = [r for r in rendering.environment("dev", "eks") if r["kind"] == "ExternalSecret"]
    assert wanted
    for resource in wanted:
        made = operator.made(resource["metadata"]["name"])
        for entry in resource["spec"]["data"]:
            field = stored[entry["remoteRef"]["key"]][entry["remoteRef"]["property"]]
            if entry["secretKey"] in made:
                assert made[entry["secretKey"]] == field
            else:
                assert field in next(iter(made.values())), "the field is part of what the template writes"


def test_the_url_of_the_database_leads_to_the_deployed_database(
    operator: Operator, cloud: Cloud, stored: dict[str, dict[str, str]]
) -> None:
    """Host and port as RDS tells them, over TLS, with the password that was made."""
    url = urlsplit(operator.made("board-database")["url"])
    rds = cloud.client("rds").describe_db_instances(DBInstanceIdentifier="slipway-dev")["DBInstances"][0]
    assert (url.hostname, url.port) == (rds["Endpoint"]["Address"], rds["Endpoint"]["Port"])
    assert url.password == stored["slipway/dev/board-database"]["password"]
    assert url.path == f"/{rds['DBName']}" and "sslmode=require" in url.query


def test_a_rotated_password_reaches_the_cluster(
    operator: Operator, cloud: Cloud, stored: dict[str, dict[str, str]]
) -> None:
    """At the next refresh, here asked for at once."""
    name = "slipway/dev/board-database"
    rotated = stored[name] | {"password": "rotated-by-the-test"}
    cloud.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(rotated))
    annotation = f"force-sync={time.time_ns()}"
    operator.platform.cluster.kubectl(
        *("--namespace", NAMESPACE, "annotate", "externalsecret/board-database", annotation, "--overwrite")
    )
    eventually(
        lambda: ":rotated-by-the-test@" in operator.secret("board-database")["url"],
        60,
        "the rotated password is in the Secret",
    )


def test_the_deployed_lifecycle_policy_keeps_every_image_that_git_needs(
    platform: Platform, cloud: Cloud, tmp_path: Path
) -> None:
    """The deploy repository, the images of the platform's registry in ECR, and the policy as CloudFormation put it."""
    ecr = cloud.client("ecr")
    repositories = [r["repositoryName"] for r in ecr.describe_repositories()["repositories"]]
    policies = {ecr.get_lifecycle_policy(repositoryName=r)["lifecyclePolicyText"] for r in repositories}
    (policy,) = policies
    file = tmp_path / "policy.json"
    file.write_text(policy)
    copied = sum(copy_images(ecr, repository) for repository in repositories)
    assert copied >= 2

    def retention(*more: str) -> subprocess.CompletedProcess[str]:
        arguments = ("--repo", platform.remote("deploy"), "--policy-file", str(file), "--ecr", "--json")
        env = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": config.AWS_URL}
        return slipway("retention", *arguments, *more, env=env)

    protected = retention("--protect")
    assert protected.returncode == 0, protected.stderr
    told = {one["name"].partition("/")[2]: one for one in json.loads(protected.stdout)["repositories"]}
    assert set(told) <= set(repositories)
    assert all(one["kept"] and not one["problems"] for one in told.values())
    written = {tag for one in told.values() for tag in one["written"]}
    assert written and all(tag.startswith("keep-") for tag in written)
    again = retention()
    assert again.returncode == 0, again.stderr


def copy_images(ecr, repository: str) -> int:
    """Put every tagged manifest of the platform's registry into ECR's repository, byte for byte; how many."""
    registry = f"{config.REGISTRY_URL}/v2/{repository}"
    listed = httpx.get(f"{registry}/tags/list", timeout=30)
    if listed.status_code == 404:
        return 0
    tags = listed.raise_for_status().json()["tags"]
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    for tag in tags:
        answer = httpx.get(f"{registry}/manifests/{tag}", headers={"Accept": kinds}, timeout=30)
        ecr.put_image(
            repositoryName=repository,
            imageManifest=answer.raise_for_status().text,
            imageManifestMediaType=answer.headers["Content-Type"],
            imageDigest=answer.headers["Docker-Content-Digest"],
            imageTag=tag,
        )
    return len(tags)
