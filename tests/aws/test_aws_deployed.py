"""The templates, deployed by CloudFormation to moto's server, and read back by the calls that AWS's clients make."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import pytest
from aws_emulator import NOT_MADE, Emulator
from aws_policy import Statement, allowed
from aws_template import Assembly
from botocore.exceptions import ClientError
from slipway.registry.ecr_lifecycle import Stored, fates, keep_tag, parse_lifecycle
from stages import NONPROD, STAGES

Clouds = dict[str, Emulator]
ENVIRONMENTS = [(stage, environment.name) for stage in STAGES for environment in stage.environments]
by_environment = pytest.mark.parametrize(
    ("stage", "name"), ENVIRONMENTS, ids=[name for _, name in ENVIRONMENTS]
)
by_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def own_vpc(cloud: Emulator, stage) -> dict[str, Any]:
    """The VPC of the stage, by its name."""
    named = [{"Name": "tag:Name", "Values": [stage.cluster_name]}]
    (vpc,) = cloud.client("ec2").describe_vpcs(Filters=named)["Vpcs"]
    return vpc


def group(cloud: Emulator, name: str) -> dict[str, Any]:
    """A security group, by its name."""
    named = [{"Name": "group-name", "Values": [name]}]
    (found,) = cloud.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"]
    return found


def sources(found: dict[str, Any]) -> set[tuple[int, str]]:
    """Port and network or group of every ingress rule."""
    return {
        (rule["FromPort"], source)
        for rule in found["IpPermissions"]
        for source in (
            *(r["CidrIp"] for r in rule["IpRanges"]),
            *(p["GroupId"] for p in rule["UserIdGroupPairs"]),
        )
    }


def test_the_emulator_made_everything_else(assembly: Assembly) -> None:
    """What is left to the templates' own tests is this list, and each entry is used."""
    kinds = {resource.kind for resource in assembly.all()}
    assert kinds >= NOT_MADE
    assert kinds - NOT_MADE >= {
        "AWS::EC2::VPC",
        "AWS::ECR::Repository",
        "AWS::RDS::DBInstance",
        "AWS::IAM::Role",
    }


@by_stage
def test_the_vpc_is_as_its_parameters_say(clouds: Clouds, stage) -> None:
    """Zones and networks of the nine subnets, none of which gives public addresses."""
    vpc = own_vpc(clouds[stage.account], stage)
    assert vpc["CidrBlock"] == str(stage.network.cidr)
    inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = clouds[stage.account].client("ec2").describe_subnets(Filters=inside)["Subnets"]
    found = {(subnet["AvailabilityZone"], subnet["CidrBlock"]) for subnet in subnets}
    assert found == {
        (zone.name, str(cidr))
        for zone in stage.network.zones
        for cidr in (zone.public, zone.private, zone.database)
    }
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)


@by_stage
def test_the_controller_finds_its_subnets_and_its_group(clouds: Clouds, stage) -> None:
    """By the tags it looks for: one public subnet in each zone, and the group that the Ingress names."""
    cloud = clouds[stage.account]
    tagged = [{"Name": "tag:kubernetes.io/role/elb", "Values": ["1"]}]
    subnets = cloud.client("ec2").describe_subnets(Filters=tagged)["Subnets"]
    assert {s["CidrBlock"] for s in subnets} == {str(zone.public) for zone in stage.network.zones}
    named = [{"Name": "tag:Name", "Values": ["slipway-alb"]}]
    (found,) = cloud.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"]
    assert sources(found) == {(80, "0.0.0.0/0"), (443, "0.0.0.0/0")}


@by_stage
def test_default_routes_are_as_many_as_they_should_be(clouds: Clouds, stage) -> None:
    """One table to the internet gateway, one to NAT for each zone, and one, the databases', to nowhere."""
    cloud = clouds[stage.account]
    inside = [{"Name": "vpc-id", "Values": [own_vpc(cloud, stage)["VpcId"]]}]
    ways: list[str] = []
    for table in cloud.client("ec2").describe_route_tables(Filters=inside)["RouteTables"]:
        default = [r for r in table["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
        if not any(association.get("Main") for association in table["Associations"]):
            ways.append(",".join("nat" if "NatGatewayId" in r else "internet" for r in default))
    assert sorted(ways) == ["", "internet", "nat", "nat", "nat"]


@by_stage
def test_each_stage_has_its_number_of_nat_gateways(clouds: Clouds, stage) -> None:
    """One where an outage of a zone may stop things, one in each zone where not."""
    gateways = clouds[stage.account].client("ec2").describe_nat_gateways()["NatGateways"]
    assert len(gateways) == stage.network.nat_gateways
    assert len({gateway["SubnetId"] for gateway in gateways}) == stage.network.nat_gateways


@by_environment
def test_the_database_is_as_its_parameters_say(clouds: Clouds, stage, name: str) -> None:
    """Size, zones, backups; encrypted and not public."""
    rds = clouds[stage.account].client("rds")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=f"slipway-{name}")["DBInstances"]
    (wanted,) = (e.database for e in stage.environments if e.name == name)
    assert instance["DBInstanceClass"] == wanted.instance_class
    assert instance["AllocatedStorage"] == wanted.allocated_gib
    assert instance["MultiAZ"] is wanted.multi_az
    assert instance["BackupRetentionPeriod"] == wanted.backup_days
    assert instance["StorageEncrypted"] is True
    assert instance["PubliclyAccessible"] is False
    assert (instance["Engine"], instance["DBName"]) == ("postgres", "board")


@by_environment
def test_the_database_has_its_environments_key(clouds: Clouds, stage, name: str) -> None:
    """The key behind the alias that External Secrets may use as well."""
    cloud = clouds[stage.account]
    (instance,) = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=f"slipway-{name}")[
        "DBInstances"
    ]
    aliases = {a["AliasName"]: a.get("TargetKeyId") for a in cloud.client("kms").list_aliases()["Aliases"]}
    assert instance["KmsKeyId"].endswith(aliases[f"alias/slipway-{name}-data"])


@by_environment
def test_the_database_lies_in_the_database_subnets(clouds: Clouds, stage, name: str) -> None:
    """In every zone, and in no other subnet."""
    cloud = clouds[stage.account]
    (subnets,) = cloud.client("rds").describe_db_subnet_groups(DBSubnetGroupName=f"slipway-{name}")[
        "DBSubnetGroups"
    ]
    ids = [subnet["SubnetIdentifier"] for subnet in subnets["Subnets"]]
    found = cloud.client("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    assert {s["CidrBlock"] for s in found} == {str(zone.database) for zone in stage.network.zones}


@by_environment
def test_the_database_forces_tls(clouds: Clouds, stage, name: str) -> None:
    """In the parameter group of its environment."""
    rds = clouds[stage.account].client("rds")
    groups = [g["DBParameterGroupName"] for g in rds.describe_db_parameter_groups()["DBParameterGroups"]]
    (own,) = (found for found in groups if found.startswith(f"slipway-{name}-data-parameters"))
    parameters = rds.describe_db_parameters(DBParameterGroupName=own)["Parameters"]
    values = {p["ParameterName"]: p["ParameterValue"] for p in parameters}
    assert values["rds.force_ssl"] == "1"


@by_environment
def test_the_database_admits_two_groups(clouds: Clouds, stage, name: str) -> None:
    """Those that backend Pods and the rotation wear, on PostgreSQL's port; it has no other group."""
    cloud = clouds[stage.account]
    (instance,) = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=f"slipway-{name}")[
        "DBInstances"
    ]
    server = group(cloud, f"slipway-{name}-postgres")
    assert [g["VpcSecurityGroupId"] for g in instance["VpcSecurityGroups"]] == [server["GroupId"]]
    clients = [group(cloud, f"slipway-{name}-{who}")["GroupId"] for who in ("board-backend", "rotation")]
    assert sources(server) == {(5432, client) for client in clients}


def test_environments_of_one_cluster_do_not_reach_each_others_database(clouds: Clouds) -> None:
    """Development's Pods wear a group that staging's server does not admit."""
    cloud = clouds[NONPROD.account]
    dev, staging = (group(cloud, f"slipway-{name}-board-backend")["GroupId"] for name in ("dev", "staging"))
    assert dev not in {source for _, source in sources(group(cloud, "slipway-staging-postgres"))}
    assert staging not in {source for _, source in sources(group(cloud, "slipway-dev-postgres"))}


# Registry

INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}


def push(ecr: Any, tag: str, note: str) -> str:
    """Push a manifest that differs by its note; returns its digest."""
    manifest = json.dumps({**INDEX, "annotations": {"note": note}})
    put = {"repositoryName": "slipway/board-backend", "imageManifest": manifest, "imageTag": tag}
    return ecr.put_image(**put)["image"]["imageId"]["imageDigest"]


@pytest.fixture(scope="module")
def ecr(clouds: Clouds) -> Any:
    return clouds[NONPROD.account].client("ecr")


def test_the_repositories_are_those_of_the_stage(ecr: Any, clouds: Clouds) -> None:
    """By name, and in one account only."""
    names = {r["repositoryName"] for r in ecr.describe_repositories()["repositories"]}
    assert names == set(NONPROD.registry.repositories)
    others = clouds["444455556666"].client("ecr").describe_repositories()["repositories"]
    assert others == []


def test_a_tag_of_a_build_cannot_move(ecr: Any) -> None:
    """A second image under the same tag is refused."""
    push(ecr, "main-1", "one")
    with pytest.raises(ClientError, match="already exists in the repository"):
        push(ecr, "main-1", "two")


@pytest.mark.parametrize("tag", ["keep-0123", "sha256-0123.sig"])
def test_tags_that_name_a_digest_can_be_written_again(ecr: Any, tag: str) -> None:
    """What retention protects with, and where cosign keeps a signature when it signs again."""
    assert push(ecr, tag, "one") != push(ecr, tag, "two")


def test_the_lifecycle_policy_keeps_what_git_needs(ecr: Any) -> None:
    """The policy in the repository, played through by the rules that `slipway retention` goes by."""
    answer = ecr.get_lifecycle_policy(repositoryName="slipway/board-backend")
    policy = parse_lifecycle(answer["lifecyclePolicyText"], path="ECR")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    old, digest = now - timedelta(days=3650), "sha256:" + "0" * 64
    needed = Stored(digest, ("main-1", keep_tag(digest)), old)
    other = Stored("sha256:" + "1" * 64, ("main-2",), old)
    fresh = Stored("sha256:" + "2" * 64, ("main-3",), now)
    found = fates(policy, [needed, other, fresh], now)
    assert found[needed.digest].due is None
    assert found[other.digest].due < now
    assert found[fresh.digest].due == now + timedelta(days=NONPROD.registry.keep_days)


def test_the_other_account_may_read_the_repository(ecr: Any) -> None:
    """As the policy says that ECR keeps: read, not write."""
    text = ecr.get_repository_policy(repositoryName="slipway/board-frontend")["policyText"]
    (raw,) = json.loads(text)["Statement"]
    policy = [Statement.parse({**raw, "Resource": "*"})]
    role = {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/slipway-prod-node"}
    assert allowed(policy, "ecr:BatchGetImage", "*", role)
    assert not allowed(policy, "ecr:PutImage", "*", role)


# Roles, keys


def policies(iam: Any, role: str) -> list[Statement]:
    """What IAM keeps of the role's own policies."""
    return [
        Statement.parse(raw)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for raw in _document(iam.get_role_policy(RoleName=role, PolicyName=name))["Statement"]
    ]


def _document(answer: dict[str, Any]) -> dict[str, Any]:
    """moto keeps what CloudFormation gave it as Python writes it, not as JSON."""
    return ast.literal_eval(answer["PolicyDocument"])


def test_the_pipelines_role_pushes_to_the_deployed_repositories(clouds: Clouds, ecr: Any) -> None:
    """The ARNs of both, as AWS gives them; and nothing can be deleted."""
    own = policies(clouds[NONPROD.account].client("iam"), "slipway-nonprod-jenkins-agent")
    for repository in ecr.describe_repositories()["repositories"]:
        assert allowed(own, "ecr:PutImage", repository["repositoryArn"])
        assert not allowed(own, "ecr:BatchDeleteImage", repository["repositoryArn"])


@by_stage
def test_every_role_of_pods_is_trusted_to_eks_alone(clouds: Clouds, stage) -> None:
    """As IAM tells it: the service, and the ServiceAccount."""
    iam = clouds[stage.account].client("iam")
    roles = [r for r in iam.list_roles()["Roles"] if "external-secrets" in r["RoleName"]]
    assert [role["RoleName"] for role in roles] == [f"slipway-{stage.name}-external-secrets"]
    (statement,) = roles[0]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    tags = statement["Condition"]["StringEquals"]
    assert tags["aws:RequestTag/kubernetes-namespace"] == "external-secrets"


@by_stage
def test_keys_rotate_every_year(clouds: Clouds, stage) -> None:
    """Each key that an alias of ours names."""
    kms = clouds[stage.account].client("kms")
    ours = [a for a in kms.list_aliases()["Aliases"] if a["AliasName"].startswith("alias/slipway-")]
    assert len(ours) == 3 + len(stage.environments) + stage.runs_argocd
    for alias in ours:
        assert kms.get_key_rotation_status(KeyId=alias["TargetKeyId"])["KeyRotationEnabled"], alias


@by_stage
def test_logs_end(clouds: Clouds, stage) -> None:
    """The cluster's and the network's."""
    groups = clouds[stage.account].client("logs").describe_log_groups()["logGroups"]
    assert {g["logGroupName"]: g["retentionInDays"] for g in groups} == {
        f"/aws/eks/{stage.cluster_name}/cluster": stage.cluster.log_days,
        f"/slipway/{stage.name}/flow-logs": stage.network.flow_log_days,
    }


# What moto's CloudFormation does not make, by its other calls


@by_environment
def test_the_secrets_fit_into_a_url(assembly: Assembly, clouds: Clouds, stage, name: str) -> None:
    """Passwords made by the template's rules go into a connection URL as they are."""
    secrets = clouds[stage.account].client("secretsmanager")
    made = assembly.one(f"slipway-{name}-data", "DatabaseSecret")["GenerateSecretString"]
    for _ in range(20):
        password = secrets.get_random_password(
            PasswordLength=made["PasswordLength"], ExcludeCharacters=made["ExcludeCharacters"]
        )["RandomPassword"]
        assert quote(password, safe="") == password
        assert urlsplit(f"postgresql://board:{password}@host:5432/board").password == password


@by_environment
def test_the_rotated_secret_names_the_deployed_database(
    assembly: Assembly, clouds: Clouds, stage, name: str
) -> None:
    """Every field that AWS's function asks for; host and port as RDS tells them."""
    resource = assembly.one(f"slipway-{name}-data", "DatabaseSecret")
    text = assembly.text(resource, resource["GenerateSecretString"]["SecretStringTemplate"])
    fields = json.loads(text)
    rds = clouds[stage.account].client("rds")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=f"slipway-{name}")["DBInstances"]
    assert set(fields) == {"engine", "host", "port", "dbname", "username", "masterarn"}
    assert fields["host"] == f"<slipway-{name}-data/Postgres.Endpoint.Address>"
    assert fields["port"] == instance["Endpoint"]["Port"]
    assert (fields["engine"], fields["dbname"]) == (instance["Engine"], instance["DBName"])
    assert fields["username"] != instance["MasterUsername"]


@by_stage
def test_eks_takes_the_cluster_as_it_is_written(assembly: Assembly, clouds: Clouds, stage) -> None:
    """Its own API, with the template's values under the names that the API has for them."""
    cluster = assembly.one(f"slipway-{stage.name}-cluster", "Cluster").body["Properties"]
    vpc, (encryption,) = cluster["ResourcesVpcConfig"], cluster["EncryptionConfig"]
    eks = clouds[stage.account].client("eks")
    eks.create_cluster(
        name=cluster["Name"],
        version=cluster["Version"],
        roleArn=f"arn:aws:iam::{stage.account}:role/control-plane",
        resourcesVpcConfig={
            "subnetIds": ["subnet-1", "subnet-2", "subnet-3"],
            "endpointPrivateAccess": vpc["EndpointPrivateAccess"],
            "endpointPublicAccess": vpc["EndpointPublicAccess"],
            "publicAccessCidrs": vpc["PublicAccessCidrs"],
        },
        accessConfig={
            "authenticationMode": cluster["AccessConfig"]["AuthenticationMode"],
            "bootstrapClusterCreatorAdminPermissions": cluster["AccessConfig"][
                "BootstrapClusterCreatorAdminPermissions"
            ],
        },
        encryptionConfig=[
            {"resources": encryption["Resources"], "provider": {"keyArn": "arn:aws:kms:::key/1"}}
        ],
        bootstrapSelfManagedAddons=cluster["BootstrapSelfManagedAddons"],
        deletionProtection=cluster["DeletionProtection"],
        upgradePolicy={"supportType": cluster["UpgradePolicy"]["SupportType"]},
    )
    made = eks.describe_cluster(name=stage.cluster_name)["cluster"]
    assert made["version"] == stage.cluster.version
    assert made["encryptionConfig"][0]["resources"] == ["secrets"]


def test_eks_knows_every_value_of_the_node_groups(assembly: Assembly) -> None:
    """Machine images and taints are among those that its API names."""
    shapes = boto3.client("eks", region_name="eu-central-1").meta.service_model
    images, effects = shapes.shape_for("AMITypes").enum, shapes.shape_for("TaintEffect").enum
    for nodes in assembly.all("AWS::EKS::Nodegroup"):
        assert nodes["AmiType"] in images
        assert all(taint["Effect"] in effects for taint in nodes.get("Taints", []))
