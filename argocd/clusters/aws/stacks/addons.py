"""EKS add-ons: what nodes need before they come, and what needs nodes.

No version is named: EKS takes the default for the cluster's version, and moves it only when the cluster moves.
"""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_eks as eks
from parameters import Stage

from stacks.common import accept
from stacks.roles import pod_role

NETWORK = {
    "enableNetworkPolicy": "true",
    "nodeAgent": {"enablePolicyEventLogs": "true"},
    "env": {
        "ENABLE_PREFIX_DELEGATION": "true",
        "WARM_PREFIX_TARGET": "1",
        # Mode `strict` would cut off every Pod that no policy names, CoreDNS and the controllers among them.
        "NETWORK_POLICY_ENFORCING_MODE": "standard",
        # Security groups for Pods: the database admits the backend's group only.
        "ENABLE_POD_ENI": "true",
        "POD_SECURITY_GROUP_ENFORCING_MODE": "standard",
    },
}
"""NetworkPolicies and security groups for Pods go together only when the latter are enforced in mode `standard`."""


def before_nodes(stack: cdk.Stack, stage: Stage, cluster: eks.CfnCluster) -> list[eks.CfnAddon]:
    """The network's settings decide how many Pods a node takes, which it learns when it starts."""
    return [
        _addon(stack, cluster, "eks-pod-identity-agent"),
        _addon(stack, cluster, "kube-proxy"),
        _addon(
            stack,
            cluster,
            "vpc-cni",
            settings=NETWORK,
            identity=("aws-node", _role(stack, stage, "vpc-cni", "aws-node", "AmazonEKS_CNI_Policy")),
        ),
    ]


def after_nodes(stack: cdk.Stack, stage: Stage, cluster: eks.CfnCluster) -> list[eks.CfnAddon]:
    """Deployments, which are not healthy before there is a node."""
    account, policy = "ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy"
    return [
        _addon(stack, cluster, "coredns"),
        _addon(stack, cluster, "metrics-server"),
        _addon(
            stack,
            cluster,
            "aws-ebs-csi-driver",
            identity=(account, _role(stack, stage, "ebs-csi", account, policy)),
        ),
    ]


def _role(stack: cdk.Stack, stage: Stage, name: str, account: str, policy: str) -> str:
    role = pod_role(
        stack,
        f"{name.title().replace('-', '')}Role",
        stage,
        name=name,
        namespace="kube-system",
        accounts=[account],
        managed=[policy],
    )
    accept(
        role,
        {
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]": "The add-on's releases "
            "change what it calls, and AWS maintains this policy with them"
        },
    )
    return role.role_arn


def _addon(
    stack: cdk.Stack,
    cluster: eks.CfnCluster,
    name: str,
    *,
    settings: dict | None = None,
    identity: tuple[str, str] | None = None,
) -> eks.CfnAddon:
    return eks.CfnAddon(
        stack,
        "Addon" + name.title().replace("-", ""),
        addon_name=name,
        cluster_name=cluster.ref,
        resolve_conflicts="OVERWRITE",
        configuration_values=json.dumps(settings, sort_keys=True) if settings else None,
        pod_identity_associations=[
            eks.CfnAddon.PodIdentityAssociationProperty(service_account=identity[0], role_arn=identity[1])
        ]
        if identity
        else None,
    )
