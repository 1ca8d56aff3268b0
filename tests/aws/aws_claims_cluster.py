"""What the clusters and their nodes promise."""

from __future__ import annotations

import json
from ipaddress import ip_network

from aws_claim import claim
from aws_claims_network import WORLD


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


def launches(assembly):
    for template in assembly.all("AWS::EC2::LaunchTemplate"):
        yield template, template["LaunchTemplateData"]


@claim
def pods_do_not_reach_the_metadata_of_nodes(assembly):
    for template, data in launches(assembly):
        options = data.get("MetadataOptions", {})
        if (options.get("HttpTokens"), options.get("HttpPutResponseHopLimit")) != ("required", 1):
            yield template


@claim
def disks_of_nodes_are_encrypted(assembly):
    for template, data in launches(assembly):
        disks = data.get("BlockDeviceMappings", [])
        if {d["DeviceName"] for d in disks if d["Ebs"].get("Encrypted")} != {"/dev/xvda", "/dev/xvdb"}:
            yield template


@claim
def nobody_logs_in_to_nodes(assembly):
    yield from (t for t, data in launches(assembly) if "KeyName" in data or "UserData" in data)
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
