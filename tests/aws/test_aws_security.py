"""Every security property of the templates holds, and the check of each one notices when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from aws_claims import CLAIMS, failing
from aws_template import Assembly

NET, CLUSTER, IDENTITY, REGISTRY = (
    f"slipway-nonprod-{part}" for part in ("network", "cluster", "identity", "registry")
)
DEV, PROD = "slipway-dev-data", "slipway-prod-data"
ABSENT = object()
"""In the place of a bad value: the key is taken out."""

WORLD = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
TRUST = ("Properties", "AssumeRolePolicyDocument", "Statement", 0)
TAG = (*TRUST, "Condition", "StringEquals")
LAUNCH = ("Properties", "LaunchTemplateData")

MUTATIONS: list[tuple[str, str, str, tuple, Any]] = [
    ("no_subnet_gives_public_addresses", NET, "PublicA", ("Properties", "MapPublicIpOnLaunch"), True),
    ("every_vpc_has_three_subnets_of_each_kind_in_three_zones", NET, "DatabaseC", ("Properties", "AvailabilityZone"), "eu-central-1a"),
    ("databases_have_no_way_out", NET, "DatabaseARoutes", ("Properties", "RouteTableId"), {"Ref": "PublicRoutes"}),
    ("nodes_reach_the_internet_through_nat_only", NET, "PrivateARoutes", ("Properties", "RouteTableId"), {"Ref": "PublicRoutes"}),
    ("flow_logs_record_all_traffic", NET, "FlowLog", ("Properties", "TrafficType"), "REJECT"),
    ("logs_are_encrypted_and_end", NET, "FlowLogGroup", ("Properties", "KmsKeyId"), ABSENT),
    ("logs_are_encrypted_and_end", CLUSTER, "LogGroup", ("Properties", "RetentionInDays"), ABSENT),
    ("through_the_s3_endpoint_nothing_is_written", NET, "EndpointS3", ("Properties", "PolicyDocument", "Statement", 0, "Action"), "s3:*"),
    ("through_the_s3_endpoint_nothing_is_written", NET, "EndpointS3", ("Properties", "PolicyDocument"), ABSENT),
    ("aws_services_are_reached_inside_the_vpc", NET, "EndpointSecretsmanager", ("Properties", "PrivateDnsEnabled"), False),
    ("aws_services_are_reached_inside_the_vpc", NET, "EndpointEcrApi", ("Properties", "ServiceName"), "com.amazonaws.eu-central-1.sqs"),
    ("only_load_balancers_are_open_to_the_world", NET, "LoadBalancerGroup", ("Properties", "SecurityGroupIngress", 0), WORLD),
    ("only_load_balancers_are_open_to_the_world", DEV, "BackendGroup", ("Properties", "SecurityGroupIngress", 0), {**WORLD, "FromPort": 443, "ToPort": 443}),
    ("every_ingress_rule_names_a_port", DEV, "NodesDnsTcp", ("Properties", "ToPort"), 65535),
    ("every_ingress_rule_names_a_port", NET, "EndpointGroup", ("Properties", "SecurityGroupIngress", 0, "IpProtocol"), "-1"),
    ("inside_the_vpc_load_balancers_reach_the_ports_of_pods_alone", NET, "LoadBalancerGroup", ("Properties", "SecurityGroupEgress", 0, "CidrIp"), "10.0.20.0/24"),
    ("no_group_opens_connections_to_everywhere_but_https", NET, "EndpointGroup", ("Properties", "SecurityGroupEgress"), ABSENT),
    ("no_group_opens_connections_to_everywhere_but_https", DEV, "RotationGroup", ("Properties", "SecurityGroupEgress", 0, "ToPort"), 65535),
    ("access_entries_alone_let_into_the_cluster", CLUSTER, "Cluster", ("Properties", "AccessConfig", "AuthenticationMode"), "API_AND_CONFIG_MAP"),
    ("access_entries_alone_let_into_the_cluster", CLUSTER, "Cluster", ("Properties", "AccessConfig", "BootstrapClusterCreatorAdminPermissions"), True),
    ("kubernetes_secrets_are_encrypted_with_a_key_of_our_own", CLUSTER, "Cluster", ("Properties", "EncryptionConfig"), ABSENT),
    ("the_control_plane_logs_everything", CLUSTER, "Cluster", ("Properties", "Logging", "ClusterLogging", "EnabledTypes", 1), {"Type": "api"}),
    ("the_api_server_is_private_and_else_open_to_named_networks", CLUSTER, "Cluster", ("Properties", "ResourcesVpcConfig", "PublicAccessCidrs"), ["0.0.0.0/0"]),
    ("the_api_server_is_private_and_else_open_to_named_networks", CLUSTER, "Cluster", ("Properties", "ResourcesVpcConfig", "EndpointPrivateAccess"), False),
    ("clusters_cannot_be_deleted_by_mistake", CLUSTER, "Cluster", ("Properties", "DeletionProtection"), False),
    ("clusters_have_the_add_ons", CLUSTER, "AddonMetricsServer", ("Properties", "AddonName"), "adot"),
    ("network_policies_are_enforced", CLUSTER, "AddonVpcCni", ("Properties", "ConfigurationValues"), '{"env": {"ENABLE_PREFIX_DELEGATION": "true", "ENABLE_POD_ENI": "true", "POD_SECURITY_GROUP_ENFORCING_MODE": "standard"}}'),
    ("nodes_get_prefixes_of_addresses", CLUSTER, "AddonVpcCni", ("Properties", "ConfigurationValues"), '{"enableNetworkPolicy": "true", "env": {"ENABLE_POD_ENI": "true", "POD_SECURITY_GROUP_ENFORCING_MODE": "standard"}}'),
    ("pods_can_wear_security_groups_beside_network_policies", CLUSTER, "AddonVpcCni", ("Properties", "ConfigurationValues"), '{"enableNetworkPolicy": "true", "env": {"ENABLE_PREFIX_DELEGATION": "true", "ENABLE_POD_ENI": "true", "POD_SECURITY_GROUP_ENFORCING_MODE": "strict"}}'),
    ("the_network_is_set_up_before_nodes_start", CLUSTER, "NodesAmd64", ("DependsOn",), ["AddonKubeProxy"]),
    ("pods_do_not_reach_the_metadata_of_nodes", CLUSTER, "LaunchAmd64", (*LAUNCH, "MetadataOptions", "HttpPutResponseHopLimit"), 2),
    ("pods_do_not_reach_the_metadata_of_nodes", CLUSTER, "LaunchArm64", (*LAUNCH, "MetadataOptions", "HttpTokens"), "optional"),
    ("disks_of_nodes_are_encrypted", CLUSTER, "LaunchAmd64", (*LAUNCH, "BlockDeviceMappings", 1, "Ebs", "Encrypted"), False),
    ("nobody_logs_in_to_nodes", CLUSTER, "LaunchAmd64", (*LAUNCH, "KeyName"), "operators"),
    ("nobody_logs_in_to_nodes", CLUSTER, "NodesAmd64", ("Properties", "RemoteAccess"), {"Ec2SshKey": "operators"}),
    ("every_cluster_has_nodes_of_two_architectures", CLUSTER, "NodesArm64", ("Properties", "AmiType"), "BOTTLEROCKET_x86_64"),
    ("images_of_one_architecture_do_not_land_on_the_other", CLUSTER, "NodesArm64", ("Properties", "Taints"), ABSENT),
    ("nodes_and_clusters_lie_in_private_subnets", CLUSTER, "NodesAmd64", ("Properties", "Subnets"), ["subnet-0123456789abcdef0"]),
    ("people_can_only_look_except_in_emergencies", CLUSTER, "AccessReader0", ("Properties", "AccessPolicies", 0, "PolicyArn"), "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"),
    ("people_can_only_look_except_in_emergencies", CLUSTER, "AccessReader0", ("Properties", "AccessPolicies", 0, "AccessScope"), {"Type": "cluster"}),
    ("people_can_only_look_except_in_emergencies", CLUSTER, "AccessAdmin0", ("Properties", "PrincipalArn"), "arn:aws:iam::111122223333:role/slipway-nonprod-jenkins-agent"),
    ("roles_of_nodes_have_no_more_than_nodes_need", CLUSTER, "NodeRole", ("Properties", "ManagedPolicyArns", 0), "arn:aws:iam::aws:policy/AdministratorAccess"),
    ("roles_of_pods_trust_their_service_account_in_their_cluster_alone", IDENTITY, "JenkinsAgent6C", (*TAG, "aws:RequestTag/kubernetes-namespace"), ABSENT),
    ("roles_of_pods_trust_their_service_account_in_their_cluster_alone", IDENTITY, "JenkinsAgent6C", (*TAG, "aws:RequestTag/kubernetes-service-account"), ["jenkins-agent", "default"]),
    ("roles_of_pods_trust_their_service_account_in_their_cluster_alone", IDENTITY, "JenkinsAgentJ", ("Properties", "Namespace"), "dev"),
    ("roles_of_pods_trust_their_service_account_in_their_cluster_alone", IDENTITY, "ExternalSecretsA", (*TAG, "aws:RequestTag/eks-cluster-arn"), ABSENT),
    ("roles_of_pods_trust_their_service_account_in_their_cluster_alone", CLUSTER, "VpcCniRole", (*TAG, "aws:SourceAccount"), "999999999999"),
    ("every_other_role_is_trusted_to_a_named_service_or_role", CLUSTER, "Deployer", (*TRUST, "Condition"), ABSENT),
    ("every_other_role_is_trusted_to_a_named_service_or_role", NET, "FlowLogWriter", (*TRUST, "Principal"), {"AWS": "*"}),
    ("keys_rotate", DEV, "Key9", ("Properties", "EnableKeyRotation"), False),
    ("keys_are_used_by_their_account_its_logs_and_its_alerts_alone", DEV, "Key9", ("Properties", "KeyPolicy", "Statement", 0, "Principal"), {"AWS": "*"}),
    ("tags_of_images_never_move", REGISTRY, "BoardBackend", ("Properties", "ImageTagMutability"), "MUTABLE"),
    ("tags_of_images_never_move", REGISTRY, "BoardBackend", ("Properties", "ImageTagMutabilityExclusionFilters", 0, "ImageTagMutabilityExclusionFilterValue"), "*"),
    ("images_are_scanned_when_they_are_pushed", REGISTRY, "BoardFrontend", ("Properties", "ImageScanningConfiguration"), ABSENT),
    ("images_are_encrypted", REGISTRY, "BoardFrontend", ("Properties", "EncryptionConfiguration"), ABSENT),
    ("other_accounts_only_read_images", REGISTRY, "BoardBackend", ("Properties", "RepositoryPolicyText", "Statement", 0, "Action"), ["ecr:PutImage"]),
    ("other_accounts_only_read_images", REGISTRY, "BoardBackend", ("Properties", "RepositoryPolicyText", "Statement", 0, "Principal"), "*"),
    ("databases_are_encrypted_with_their_environments_key", DEV, "Postgres", ("Properties", "StorageEncrypted"), False),
    ("databases_are_encrypted_with_their_environments_key", DEV, "Postgres", ("Properties", "KmsKeyId"), ABSENT),
    ("databases_are_not_public", DEV, "Postgres", ("Properties", "PubliclyAccessible"), ABSENT),
    ("the_database_of_prod_outlives_a_zone", PROD, "Postgres", ("Properties", "MultiAZ"), False),
    ("databases_cannot_be_deleted_by_mistake", DEV, "Postgres", ("Properties", "DeletionProtection"), False),
    ("databases_cannot_be_deleted_by_mistake", PROD, "Postgres", ("DeletionPolicy",), "Delete"),
    ("databases_are_backed_up", PROD, "Postgres", ("Properties", "BackupRetentionPeriod"), 7),
    ("connections_to_databases_are_encrypted", DEV, "Parameters", ("Properties", "Parameters", "rds.force_ssl"), "0"),
    ("connections_to_databases_are_encrypted", DEV, "Postgres", ("Properties", "DBParameterGroupName"), ABSENT),
    ("people_log_in_to_databases_by_iam", DEV, "Postgres", ("Properties", "EnableIAMDatabaseAuthentication"), False),
    ("nobody_writes_the_password_of_a_database", DEV, "Postgres", ("Properties", "MasterUserPassword"), "hunter2"),
    ("databases_lie_in_database_subnets", DEV, "Subnets", ("Properties", "SubnetIds"), ["subnet-0123456789abcdef0"]),
    ("databases_admit_backend_pods_and_the_rotation_alone", DEV, "ServerGroup", ("Properties", "SecurityGroupIngress", 0), {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIp": "10.0.0.0/16"}),
    ("databases_admit_backend_pods_and_the_rotation_alone", DEV, "NodesDnsTcp", ("Properties", "GroupId"), {"Fn::GetAtt": ["ServerGroup", "GroupId"]}),
    ("secrets_are_made_by_aws_under_their_environments_path", DEV, "EventsSecret", ("Properties", "Name"), "slipway/prod/board-events"),
    ("secrets_are_made_by_aws_under_their_environments_path", DEV, "EventsSecret", ("Properties", "SecretString"), "hunter2"),
    ("secrets_are_encrypted_with_their_environments_key", DEV, "AccessSecret", ("Properties", "KmsKeyId"), ABSENT),
    ("the_password_of_the_application_rotates_between_two_users", DEV, "DatabaseRotation", ("Properties", "HostedRotationLambda", "RotationType"), "PostgreSQLSingleUser"),
    ("the_password_of_the_application_rotates_between_two_users", DEV, "DatabaseRotation", ("Properties", "RotationRules", "ScheduleExpression"), "rate(999 days)"),
    ("what_holds_data_outlives_its_stack", REGISTRY, "BoardBackend", ("DeletionPolicy",), ABSENT),
    ("environments_share_no_data", DEV, "Postgres", ("Properties", "AvailabilityZone"), {"Fn::ImportValue": "slipway-staging-data:Zone"}),
    ("accounts_share_no_resource", DEV, "Postgres", ("Properties", "AvailabilityZone"), {"Fn::ImportValue": "slipway-prod-network:Zone"}),
    ("somebody_hears_of_costs", "slipway-prod-budget", "Monthly", ("Properties", "NotificationsWithSubscribers"), ABSENT),
    ("what_costs_says_whose_it_is", DEV, "Postgres", ("Properties", "Tags"), ABSENT),
    ("certificates_are_proven_by_dns", "slipway-prod-domain", "Certificate", ("Properties", "DomainValidationOptions"), ABSENT),
]  # fmt: skip
"""Property, stack, resource, path in it, bad value: each breaks its own property and no other."""


@pytest.mark.parametrize("name", CLAIMS)
def test_property_holds(assembly: Assembly, name: str) -> None:
    """The name is the claim; what breaks it is listed."""
    assert list(CLAIMS[name](assembly)) == []


@pytest.mark.parametrize(
    ("name", "stack", "resource", "path", "bad"),
    MUTATIONS,
    ids=[f"{name}-{resource}.{path[-1]}" for name, _, resource, path, _ in MUTATIONS],
)
def test_broken_property_is_named(
    assembly: Assembly, name: str, stack: str, resource: str, path: tuple, bad: Any
) -> None:
    """One bad value, and the check of exactly that property fails."""
    changed = assembly.copy()
    place = changed.one(stack, resource).body
    for step in path[:-1]:
        place = place[step]
    if bad is ABSENT:
        del place[path[-1]]
    else:
        assert not (isinstance(place, dict) and place.get(path[-1]) == bad), "the mutation changes nothing"
        place[path[-1]] = bad
    assert failing(changed) == {name}


def test_every_property_is_broken_once() -> None:
    """A check that never fails would be worth nothing."""
    assert {name for name, *_ in MUTATIONS} == set(CLAIMS)
