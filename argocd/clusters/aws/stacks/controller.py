"""What the AWS Load Balancer Controller may do: its published policy, narrowed to this cluster's tag and this VPC.

Left out is what its flags turn off (`--enable-shield=false --enable-waf=false --enable-wafv2=false`), sign-on with
Cognito, network load balancers, and certificates that are not in ACM.
"""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from parameters import Stage

_TAG = "elbv2.k8s.aws/cluster"
_DESCRIBE = (
    "acm:DescribeCertificate",
    "acm:ListCertificates",
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVpcPeeringConnections",
    "ec2:DescribeVpcs",
    "ec2:GetSecurityGroupsForVpc",
    "elasticloadbalancing:DescribeCapacityReservation",
    "elasticloadbalancing:DescribeListenerAttributes",
    "elasticloadbalancing:DescribeListenerCertificates",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeRules",
    "elasticloadbalancing:DescribeSSLPolicies",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "elasticloadbalancing:DescribeTrustStores",
)
_CHANGE = (
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteTargetGroup",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:ModifyLoadBalancerAttributes",
    "elasticloadbalancing:ModifyTargetGroup",
    "elasticloadbalancing:ModifyTargetGroupAttributes",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:SetIpAddressType",
    "elasticloadbalancing:SetSecurityGroups",
    "elasticloadbalancing:SetSubnets",
)
_LISTENERS = (
    "elasticloadbalancing:AddListenerCertificates",
    "elasticloadbalancing:CreateListener",
    "elasticloadbalancing:CreateRule",
    "elasticloadbalancing:DeleteListener",
    "elasticloadbalancing:DeleteRule",
    "elasticloadbalancing:ModifyListener",
    "elasticloadbalancing:ModifyListenerAttributes",
    "elasticloadbalancing:ModifyRule",
    "elasticloadbalancing:RemoveListenerCertificates",
    "elasticloadbalancing:SetRulePriorities",
)
_LINKED_ROLE = "aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing"


def parts(stage: Stage) -> list[str]:
    """The resources whose ids AWS makes up, each as narrow as its ARN allows."""
    where = f"arn:aws:elasticloadbalancing:{stage.region}:{stage.account}"
    kinds = ("targetgroup/*/*", "loadbalancer/app/*/*", "listener/app/*", "listener-rule/app/*")
    return [f"{where}:{kind}" for kind in kinds]


def groups(stage: Stage) -> str:
    """Every security group of the account; the conditions say which."""
    return f"arn:aws:ec2:{stage.region}:{stage.account}:security-group/*"


def statements(stage: Stage, vpc_arn: str) -> list[iam.PolicyStatement]:
    """The controller's rights in this cluster's VPC."""
    ours = {f"aws:ResourceTag/{_TAG}": stage.cluster_name}
    marked = {f"aws:RequestTag/{_TAG}": stage.cluster_name}
    balancers, all_parts, security_groups = parts(stage)[:2], parts(stage), groups(stage)

    def allow(actions, resources, **conditions) -> iam.PolicyStatement:
        return iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)

    return [
        allow(_DESCRIBE, ["*"]),
        allow(
            ["iam:CreateServiceLinkedRole"],
            [f"arn:aws:iam::{stage.account}:role/{_LINKED_ROLE}"],
            StringEquals={"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"},
        ),
        allow(["ec2:CreateSecurityGroup"], [vpc_arn]),
        allow(["ec2:CreateSecurityGroup"], [security_groups], StringEquals=marked),
        allow(
            ["ec2:CreateTags"],
            [security_groups],
            StringEquals={"ec2:CreateAction": "CreateSecurityGroup", **marked},
        ),
        allow(
            ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"],
            [security_groups],
            ArnEquals={"ec2:Vpc": vpc_arn},
        ),
        allow(["ec2:DeleteSecurityGroup"], [security_groups], StringEquals=ours),
        allow(
            ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"],
            balancers,
            StringEquals=marked,
        ),
        allow(
            ["elasticloadbalancing:AddTags"],
            all_parts,
            StringEquals=marked,
            Null={"elasticloadbalancing:CreateAction": "false"},
        ),
        allow(
            ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"],
            all_parts,
            StringEquals=ours,
            Null={f"aws:RequestTag/{_TAG}": "true"},
        ),
        allow(_CHANGE, balancers, StringEquals=ours),
        allow(_LISTENERS, all_parts, StringEquals=ours),
    ]
