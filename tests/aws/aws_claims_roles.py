"""What roles and keys promise; test_aws_least_privilege.py evaluates the policies."""

from __future__ import annotations

from aws_claim import claim
from aws_policy import listed


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
