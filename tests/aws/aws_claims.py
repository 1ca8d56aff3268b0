"""What the templates promise: one function for each property, which yields whatever breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from ipaddress import ip_network

from aws_policy import listed
from aws_template import Assembly, Resource

Claim = Callable[[Assembly], Iterator[str]]
CLAIMS: dict[str, Claim] = {}
WORLD = ("0.0.0.0/0", "::/0")


def claim(function: Callable[[Assembly], Iterator[Resource | str]]) -> Claim:
    """Register the property under the function's name."""

    def offenders(assembly: Assembly) -> Iterator[str]:
        return map(str, function(assembly))

    CLAIMS[function.__name__] = offenders
    return offenders


def failing(assembly: Assembly) -> set[str]:
    """The names of the properties that do not hold."""
    return {name for name, offenders in CLAIMS.items() if list(offenders(assembly))}


# Network


@claim
def no_subnet_gives_public_addresses(assembly):
    return (s for s in assembly.all("AWS::EC2::Subnet") if s.get("MapPublicIpOnLaunch") is not False)


@claim
def every_vpc_has_three_subnets_of_each_kind_in_three_zones(assembly):
    for vpc in assembly.all("AWS::EC2::VPC"):
        subnets = [s for s in assembly.all("AWS::EC2::Subnet") if s.stack == vpc.stack]
        for kind in ("Public", "Private", "Database"):
            zones = {s["AvailabilityZone"] for s in subnets if s.id.startswith(kind)}
            if len(zones) != 3:
                yield f"{vpc}: {kind}"


def _routes(assembly, subnet):
    """The default routes of a subnet's route table."""
    for association in assembly.all("AWS::EC2::SubnetRouteTableAssociation"):
        if association.stack == subnet.stack and association["SubnetId"] == {"Ref": subnet.id}:
            table = association["RouteTableId"]
            for route in assembly.all("AWS::EC2::Route"):
                if route.stack == subnet.stack and route["RouteTableId"] == table:
                    yield route


def _subnets(assembly, kind):
    return (s for s in assembly.all("AWS::EC2::Subnet") if s.id.startswith(kind))


@claim
def databases_have_no_way_out(assembly):
    return (s for s in _subnets(assembly, "Database") if list(_routes(assembly, s)))


@claim
def nodes_reach_the_internet_through_nat_only(assembly):
    for subnet in _subnets(assembly, "Private"):
        routes = list(_routes(assembly, subnet))
        if len(routes) != 1 or "NatGatewayId" not in routes[0].body["Properties"]:
            yield subnet


@claim
def flow_logs_record_all_traffic(assembly):
    logged = {
        name
        for log in assembly.all("AWS::EC2::FlowLog")
        if log["TrafficType"] == "ALL" and log["ResourceType"] == "VPC"
        for name in assembly.names(log, log["ResourceId"])
    }
    return (vpc for vpc in assembly.all("AWS::EC2::VPC") if str(vpc) not in logged)


@claim
def logs_are_encrypted_and_end(assembly):
    for group in assembly.all("AWS::Logs::LogGroup"):
        if not group.get("KmsKeyId") or not group.get("RetentionInDays"):
            yield group


@claim
def through_the_s3_endpoint_nothing_is_written(assembly):
    for endpoint in assembly.all("AWS::EC2::VPCEndpoint"):
        if endpoint["VpcEndpointType"] == "Gateway":
            statements = endpoint.get("PolicyDocument", {}).get("Statement", [])
            if [s["Action"] for s in statements] != ["s3:GetObject"]:
                yield endpoint


@claim
def aws_services_are_reached_inside_the_vpc(assembly):
    needed = {"s3", "ecr.api", "ecr.dkr", "secretsmanager"}
    for vpc in assembly.all("AWS::EC2::VPC"):
        endpoints = [e for e in assembly.all("AWS::EC2::VPCEndpoint") if e.stack == vpc.stack]
        if needed - {e["ServiceName"].split(".", 3)[3] for e in endpoints}:
            yield vpc
        yield from (
            e for e in endpoints if e["VpcEndpointType"] == "Interface" and not e["PrivateDnsEnabled"]
        )


def _ingress(assembly):
    """Every ingress rule with the group that it is of."""
    for group in assembly.all("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupIngress", []):
            yield group, rule
    for rule in assembly.all("AWS::EC2::SecurityGroupIngress"):
        yield rule, rule.body["Properties"]


def _sources(rule):
    return [rule[key] for key in ("CidrIp", "CidrIpv6") if key in rule]


@claim
def only_load_balancers_are_open_to_the_world(assembly):
    for group, rule in _ingress(assembly):
        if any(source in WORLD for source in _sources(rule)) and not (
            group.get("GroupName") == "slipway-alb" and rule["FromPort"] == rule["ToPort"] in (80, 443)
        ):
            yield group


@claim
def every_ingress_rule_names_a_port(assembly):
    for group, rule in _ingress(assembly):
        if rule["IpProtocol"] not in ("tcp", "udp") or rule.get("FromPort") != rule.get("ToPort"):
            yield group


@claim
def inside_the_vpc_load_balancers_reach_the_ports_of_pods_alone(assembly):
    for group in assembly.all("AWS::EC2::SecurityGroup"):
        if group["GroupName"] == "slipway-alb":
            private = {s["CidrBlock"] for s in _subnets(assembly, "Private") if s.stack == group.stack}
            for rule in group["SecurityGroupEgress"]:
                pods = rule.get("CidrIp") in private and rule["FromPort"] in (8000, 8501)
                if not pods and rule.get("CidrIp") not in WORLD:
                    yield group


@claim
def no_group_opens_connections_to_everywhere_but_https(assembly):
    for group in assembly.all("AWS::EC2::SecurityGroup"):
        rules = group.get("SecurityGroupEgress", [])
        open_ = [r for r in rules if any(c in WORLD for c in _sources(r)) and r.get("ToPort") != 443]
        if not rules or open_:
            yield group


# Cluster


@claim
def access_entries_alone_let_into_the_cluster(assembly):
    for cluster in assembly.all("AWS::EKS::Cluster"):
        wanted = {"AuthenticationMode": "API", "BootstrapClusterCreatorAdminPermissions": False}
        if cluster.get("AccessConfig") != wanted:
            yield cluster


@claim
def kubernetes_secrets_are_encrypted_with_a_key_of_our_own(assembly):
    keys = {f"{key}.Arn" for key in assembly.all("AWS::KMS::Key")}
    for cluster in assembly.all("AWS::EKS::Cluster"):
        used = [
            name
            for entry in cluster.get("EncryptionConfig", [])
            if entry["Resources"] == ["secrets"]
            for name in assembly.names(cluster, entry["Provider"]["KeyArn"])
        ]
        if not used or not keys.issuperset(used):
            yield cluster


@claim
def the_control_plane_logs_everything(assembly):
    wanted = {"api", "audit", "authenticator", "controllerManager", "scheduler"}
    for cluster in assembly.all("AWS::EKS::Cluster"):
        types = cluster.get("Logging", {}).get("ClusterLogging", {}).get("EnabledTypes", [])
        if {entry["Type"] for entry in types} != wanted:
            yield cluster


@claim
def the_api_server_is_private_and_else_open_to_named_networks(assembly):
    for cluster in assembly.all("AWS::EKS::Cluster"):
        vpc = cluster["ResourcesVpcConfig"]
        cidrs = vpc.get("PublicAccessCidrs") or WORLD[:1]
        if not vpc.get("EndpointPrivateAccess") or any(ip_network(cidr).prefixlen < 24 for cidr in cidrs):
            yield cluster


@claim
def clusters_cannot_be_deleted_by_mistake(assembly):
    return (c for c in assembly.all("AWS::EKS::Cluster") if not c.get("DeletionProtection"))


@claim
def clusters_have_the_add_ons(assembly):
    wanted = {
        "vpc-cni",
        "coredns",
        "kube-proxy",
        "eks-pod-identity-agent",
        "aws-ebs-csi-driver",
        "metrics-server",
    }
    for cluster in assembly.all("AWS::EKS::Cluster"):
        addons = {a["AddonName"] for a in assembly.all("AWS::EKS::Addon") if a.stack == cluster.stack}
        if addons != wanted or cluster.get("BootstrapSelfManagedAddons") is not False:
            yield cluster


def _network(assembly):
    for addon in assembly.all("AWS::EKS::Addon"):
        if addon["AddonName"] == "vpc-cni":
            yield addon, json.loads(addon.get("ConfigurationValues", "{}"))


@claim
def network_policies_are_enforced(assembly):
    return (addon for addon, settings in _network(assembly) if settings.get("enableNetworkPolicy") != "true")


@claim
def nodes_get_prefixes_of_addresses(assembly):
    for addon, settings in _network(assembly):
        if settings.get("env", {}).get("ENABLE_PREFIX_DELEGATION") != "true":
            yield addon


@claim
def pods_can_wear_security_groups_beside_network_policies(assembly):
    wanted = {"ENABLE_POD_ENI": "true", "POD_SECURITY_GROUP_ENFORCING_MODE": "standard"}
    return (a for a, settings in _network(assembly) if not wanted.items() <= settings.get("env", {}).items())


@claim
def the_network_is_set_up_before_nodes_start(assembly):
    for group in assembly.all("AWS::EKS::Nodegroup"):
        if not {"AddonVpcCni", "AddonEksPodIdentityAgent"} <= set(group.body.get("DependsOn", [])):
            yield group


def _launches(assembly):
    for template in assembly.all("AWS::EC2::LaunchTemplate"):
        yield template, template["LaunchTemplateData"]


@claim
def pods_do_not_reach_the_metadata_of_nodes(assembly):
    for template, data in _launches(assembly):
        options = data.get("MetadataOptions", {})
        if (options.get("HttpTokens"), options.get("HttpPutResponseHopLimit")) != ("required", 1):
            yield template


@claim
def disks_of_nodes_are_encrypted(assembly):
    for template, data in _launches(assembly):
        disks = data.get("BlockDeviceMappings", [])
        if {d["DeviceName"] for d in disks if d["Ebs"].get("Encrypted")} != {"/dev/xvda", "/dev/xvdb"}:
            yield template


@claim
def nobody_logs_in_to_nodes(assembly):
    yield from (t for t, data in _launches(assembly) if "KeyName" in data or "UserData" in data)
    yield from (g for g in assembly.all("AWS::EKS::Nodegroup") if g.get("RemoteAccess"))
    yield from (g for g in assembly.all("AWS::EKS::Nodegroup") if "BOTTLEROCKET" not in g["AmiType"])


@claim
def every_cluster_has_nodes_of_two_architectures(assembly):
    for cluster in assembly.all("AWS::EKS::Cluster"):
        kinds = {g["AmiType"] for g in assembly.all("AWS::EKS::Nodegroup") if g.stack == cluster.stack}
        if kinds != {"BOTTLEROCKET_x86_64", "BOTTLEROCKET_ARM_64"}:
            yield cluster


@claim
def images_of_one_architecture_do_not_land_on_the_other(assembly):
    for group in assembly.all("AWS::EKS::Nodegroup"):
        wanted = [{"Effect": "NO_SCHEDULE", "Key": "architecture", "Value": "arm64"}]
        if "ARM" in group["AmiType"] and group.get("Taints") != wanted:
            yield group


@claim
def nodes_and_clusters_lie_in_private_subnets(assembly):
    for resource in (*assembly.all("AWS::EKS::Nodegroup"), *assembly.all("AWS::EKS::Cluster")):
        subnets = resource.get("Subnets") or resource["ResourcesVpcConfig"]["SubnetIds"]
        names = [name.rpartition("/")[2] for name in assembly.names(resource, subnets)]
        if sorted(names) != ["PrivateA", "PrivateB", "PrivateC"]:
            yield resource


@claim
def people_can_only_look_except_in_emergencies(assembly):
    for entry in assembly.all("AWS::EKS::AccessEntry"):
        (policy,) = entry["AccessPolicies"]
        name, scope = policy["PolicyArn"].rpartition("/")[2], policy["AccessScope"]
        principal = assembly.text(entry, entry["PrincipalArn"])
        may_all = principal.endswith(":role/slipway-emergency") or "/Deployer" in principal
        limited = name == "AmazonEKSViewPolicy" and scope["Type"] == "namespace" and scope.get("Namespaces")
        if not limited and not (may_all and name == "AmazonEKSClusterAdminPolicy"):
            yield entry


# Roles


@claim
def roles_of_nodes_have_no_more_than_nodes_need(assembly):
    wanted = ["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy"]
    for role in assembly.all("AWS::IAM::Role"):
        if role.get("RoleName", "").endswith("-node"):
            names = sorted(
                assembly.text(role, arn).rpartition("/")[2] for arn in role.get("ManagedPolicyArns", [])
            )
            if names != wanted or role.get("Policies"):
                yield role


def _trust(role):
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    return statement


def _associations(assembly):
    """Role, namespace and ServiceAccount of every association, those of add-ons as well."""
    for association in assembly.all("AWS::EKS::PodIdentityAssociation"):
        ((role,), account) = (
            assembly.names(association, association["RoleArn"]),
            association["ServiceAccount"],
        )
        yield role.removesuffix(".Arn"), association["Namespace"], account
    for addon in assembly.all("AWS::EKS::Addon"):
        for association in addon.get("PodIdentityAssociations", []):
            ((role,), account) = assembly.names(addon, association["RoleArn"]), association["ServiceAccount"]
            yield role.removesuffix(".Arn"), "kube-system", account


@claim
def roles_of_pods_trust_their_service_account_in_their_cluster_alone(assembly):
    associated: dict[str, set[tuple[str, str]]] = {}
    for role, namespace, account in _associations(assembly):
        associated.setdefault(role, set()).add((namespace, account))
    for role in assembly.all("AWS::IAM::Role"):
        trust = _trust(role)
        if trust["Principal"] != {"Service": "pods.eks.amazonaws.com"}:
            continue
        tags = trust.get("Condition", {}).get("StringEquals", {})
        accounts = listed(tags.get("aws:RequestTag/kubernetes-service-account", []))
        trusted = {(tags.get("aws:RequestTag/kubernetes-namespace"), account) for account in accounts}
        cluster = f"arn:aws:eks:eu-central-1:{assembly.account(role.stack)}:cluster/slipway-"
        if (
            trusted != associated.get(str(role))
            or tags.get("aws:SourceAccount") != assembly.account(role.stack)
            or not tags.get("aws:RequestTag/eks-cluster-arn", "").startswith(cluster)
            or trust["Action"] != ["sts:AssumeRole", "sts:TagSession"]
        ):
            yield role


@claim
def every_other_role_is_trusted_to_a_named_service_or_role(assembly):
    services = {"eks.amazonaws.com", "ec2.amazonaws.com", "pods.eks.amazonaws.com"}
    for role in assembly.all("AWS::IAM::Role"):
        principal, condition = _trust(role)["Principal"], _trust(role).get("Condition", {})
        if principal.get("Service") in services:
            continue
        flow = principal.get(
            "Service"
        ) == "vpc-flow-logs.amazonaws.com" and "aws:SourceAccount" in condition.get("StringEquals", {})
        manager = {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/slipway-prod-argocd"}
        argocd = "AWS" in principal and condition.get("ArnEquals") == manager
        if not flow and not argocd:
            yield role


@claim
def keys_rotate(assembly):
    return (key for key in assembly.all("AWS::KMS::Key") if not key.get("EnableKeyRotation"))


@claim
def keys_are_used_by_their_account_its_logs_and_its_alerts_alone(assembly):
    services = ("logs.eu-central-1.amazonaws.com", "aps.amazonaws.com")
    for key in assembly.all("AWS::KMS::Key"):
        for statement in key["KeyPolicy"]["Statement"]:
            principal = statement["Principal"]
            own = f"arn:aws:iam::{assembly.account(key.stack)}:root"
            service = principal.get("Service") in services and statement.get("Condition")
            if not service and assembly.text(key, principal.get("AWS", "")) != own:
                yield key


# Registry


@claim
def tags_of_images_never_move(assembly):
    wanted = [("WILDCARD", "keep-*"), ("WILDCARD", "sha256-*")]
    for repository in assembly.all("AWS::ECR::Repository"):
        filters = [
            (f["ImageTagMutabilityExclusionFilterType"], f["ImageTagMutabilityExclusionFilterValue"])
            for f in repository.get("ImageTagMutabilityExclusionFilters", [])
        ]
        if repository.get("ImageTagMutability") != "IMMUTABLE_WITH_EXCLUSION" or filters != wanted:
            yield repository


@claim
def images_are_scanned_when_they_are_pushed(assembly):
    for repository in assembly.all("AWS::ECR::Repository"):
        if repository.get("ImageScanningConfiguration") != {"ScanOnPush": True}:
            yield repository


@claim
def images_are_encrypted(assembly):
    for repository in assembly.all("AWS::ECR::Repository"):
        if repository.get("EncryptionConfiguration", {}).get("EncryptionType") not in ("AES256", "KMS"):
            yield repository


@claim
def other_accounts_only_read_images(assembly):
    for repository in assembly.all("AWS::ECR::Repository"):
        for statement in repository.get("RepositoryPolicyText", {}).get("Statement", []):
            verbs = {action.partition(":")[2] for action in listed(statement["Action"])}
            roles = statement.get("Condition", {}).get("ArnLike", {}).get("aws:PrincipalArn", [])
            if (
                not all(verb.startswith(("BatchGet", "Get", "Describe", "List")) for verb in verbs)
                or statement["Principal"] != {"AWS": ["arn:aws:iam::444455556666:root"]}
                or roles != ["arn:aws:iam::444455556666:role/slipway-*"]
            ):
                yield repository


# Data


def _databases(assembly):
    return assembly.all("AWS::RDS::DBInstance")


@claim
def databases_are_encrypted_with_their_environments_key(assembly):
    for database in _databases(assembly):
        used = assembly.names(database, database.get("KmsKeyId", ""))
        own = [f"{key}.Arn" for key in assembly.all("AWS::KMS::Key") if key.stack == database.stack]
        if not database.get("StorageEncrypted") or used != own:
            yield database


@claim
def databases_are_not_public(assembly):
    return (d for d in _databases(assembly) if d.get("PubliclyAccessible") is not False)


@claim
def the_database_of_prod_outlives_a_zone(assembly):
    return (d for d in _databases(assembly) if d.stack == "slipway-prod-data" and not d.get("MultiAZ"))


@claim
def databases_cannot_be_deleted_by_mistake(assembly):
    for database in _databases(assembly):
        policies = {database.body.get(name) for name in ("DeletionPolicy", "UpdateReplacePolicy")}
        if not database.get("DeletionProtection") or policies != {"Snapshot"}:
            yield database


@claim
def databases_are_backed_up(assembly):
    for database in _databases(assembly):
        least = 35 if database.stack == "slipway-prod-data" else 7
        if database.get("BackupRetentionPeriod", 0) < least or database.get("DeleteAutomatedBackups", True):
            yield database


@claim
def connections_to_databases_are_encrypted(assembly):
    forced = {
        str(group)
        for group in assembly.all("AWS::RDS::DBParameterGroup")
        if group.get("Parameters", {}).get("rds.force_ssl") == "1"
    }
    for database in _databases(assembly):
        if not forced.issuperset(assembly.names(database, database.get("DBParameterGroupName", ""))):
            yield database


@claim
def people_log_in_to_databases_by_iam(assembly):
    return (d for d in _databases(assembly) if not d.get("EnableIAMDatabaseAuthentication"))


@claim
def nobody_writes_the_password_of_a_database(assembly):
    for database in _databases(assembly):
        if not database.get("ManageMasterUserPassword") or database.get("MasterUserPassword"):
            yield database


@claim
def databases_lie_in_database_subnets(assembly):
    for group in assembly.all("AWS::RDS::DBSubnetGroup"):
        names = [name.rpartition("/")[2] for name in assembly.names(group, group["SubnetIds"])]
        if sorted(names) != ["DatabaseA", "DatabaseB", "DatabaseC"]:
            yield group


@claim
def databases_admit_backend_pods_and_the_rotation_alone(assembly):
    for database in _databases(assembly):
        (group,) = assembly.names(database, database["VPCSecurityGroups"])
        server = assembly.one(database.stack, group.rpartition("/")[2].removesuffix(".GroupId"))
        extra = [r for r in assembly.all("AWS::EC2::SecurityGroupIngress") if group in _of(assembly, r)]
        admitted = {
            (rule["FromPort"], *assembly.names(server, rule.get("SourceSecurityGroupId", _sources(rule))))
            for rule in server["SecurityGroupIngress"]
        }
        wanted = {(5432, f"{database.stack}/{name}.GroupId") for name in ("BackendGroup", "RotationGroup")}
        if admitted != wanted or extra:
            yield server


def _of(assembly, rule):
    return assembly.names(rule, rule["GroupId"])


@claim
def secrets_are_made_by_aws_under_their_environments_path(assembly):
    for secret in assembly.all("AWS::SecretsManager::Secret"):
        environment = secret.stack.split("-")[1]
        made = secret.get("GenerateSecretString", {})
        if (
            not secret.get("Name", "").startswith(f"slipway/{environment}/")
            or secret.get("SecretString")
            or made.get("PasswordLength", 0) < 32
            or f'"{made.get("GenerateStringKey")}"' in assembly.text(secret, made["SecretStringTemplate"])
        ):
            yield secret


@claim
def secrets_are_encrypted_with_their_environments_key(assembly):
    for secret in assembly.all("AWS::SecretsManager::Secret"):
        own = [f"{key}.Arn" for key in assembly.all("AWS::KMS::Key") if key.stack == secret.stack]
        if assembly.names(secret, secret.get("KmsKeyId", "")) != own:
            yield secret


@claim
def the_password_of_the_application_rotates_between_two_users(assembly):
    for database in _databases(assembly):
        schedules = [
            s
            for s in assembly.all("AWS::SecretsManager::RotationSchedule")
            if assembly.names(s, s["SecretId"]) == [f"{database.stack}/DatabaseSecret"]
            and s["HostedRotationLambda"]["RotationType"] == "PostgreSQLMultiUser"
            and s["RotationRules"]["ScheduleExpression"] == "rate(30 days)"
        ]
        if len(schedules) != 1:
            yield database


@claim
def what_holds_data_outlives_its_stack(assembly):
    kept = ("AWS::KMS::Key", "AWS::ECR::Repository", "AWS::SecretsManager::Secret")
    for kind in kept:
        for resource in assembly.all(kind):
            if {resource.body.get("DeletionPolicy"), resource.body.get("UpdateReplacePolicy")} != {"Retain"}:
                yield resource


# Isolation, cost


def _imports(value):
    if isinstance(value, dict):
        if "Fn::ImportValue" in value:
            yield value["Fn::ImportValue"]
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _imports(item)


@claim
def environments_share_no_data(assembly):
    for name, template in assembly.templates.items():
        for imported in _imports(template):
            if imported.split(":")[0].endswith("-data"):
                yield f"{name} reads {imported}"


@claim
def accounts_share_no_resource(assembly):
    for name, template in assembly.templates.items():
        for imported in _imports(template):
            if assembly.account(imported.split(":")[0]) != assembly.account(name):
                yield f"{name} reads {imported}"


@claim
def somebody_hears_of_costs(assembly):
    accounts = {stack["account"] for stack in assembly.stacks}
    for budget in assembly.all("AWS::Budgets::Budget"):
        if any(n["Subscribers"] for n in budget.get("NotificationsWithSubscribers", [])):
            accounts.discard(assembly.account(budget.stack))
    yield from accounts


COSTLY = ("DBInstance", "NatGateway", "VPCEndpoint", "Cluster", "Repository", "Secret", "Key")


@claim
def what_costs_says_whose_it_is(assembly):
    for resource in assembly.all():
        tags = resource.tags
        if resource.kind.rpartition("::")[2] in COSTLY and not {"project", "stage", "owner"} <= set(tags):
            yield resource
    for template, data in _launches(assembly):
        for specification in data["TagSpecifications"]:
            if not {"project", "stage"} <= {tag["Key"] for tag in specification["Tags"]}:
                yield template


@claim
def certificates_are_proven_by_dns(assembly):
    for certificate in assembly.all("AWS::CertificateManager::Certificate"):
        zones = [o.get("HostedZoneId") for o in certificate.get("DomainValidationOptions", [])]
        if certificate.get("ValidationMethod") != "DNS" or not all(zones) or not zones:
            yield certificate
