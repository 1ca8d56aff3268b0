"""Roles for Pods: each is for named ServiceAccounts of one namespace in one cluster, and for nobody else."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from parameters import Stage


def aws_managed(name: str) -> iam.IManagedPolicy:
    """A policy that AWS maintains."""
    return iam.ManagedPolicy.from_aws_managed_policy_name(name)


def cluster_arn(stage: Stage) -> str:
    return f"arn:aws:eks:{stage.region}:{stage.account}:cluster/{stage.cluster_name}"


def pod_role(
    stack: cdk.Stack,
    id_: str,
    stage: Stage,
    *,
    name: str,
    namespace: str,
    accounts: Sequence[str],
    statements: Sequence[iam.PolicyStatement] = (),
    managed: Sequence[str] = (),
) -> iam.Role:
    """A role that EKS Pod Identity alone may assume; the tags it compares are set by EKS, not by the Pod."""
    trusted = {
        "aws:SourceAccount": stage.account,
        "aws:RequestTag/eks-cluster-arn": cluster_arn(stage),
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": list(accounts),
    }
    service = iam.ServicePrincipal("pods.eks.amazonaws.com", conditions={"StringEquals": trusted})
    return iam.Role(
        stack,
        id_,
        role_name=f"{stage.cluster_name}-{name}",
        description=f"{namespace}/{', '.join(accounts)} in {stage.cluster_name}",
        assumed_by=service.with_session_tags(),
        managed_policies=[aws_managed(policy) for policy in managed],
        inline_policies={"least": iam.PolicyDocument(statements=list(statements))} if statements else None,
    )
