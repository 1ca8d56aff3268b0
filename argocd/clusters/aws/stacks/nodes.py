"""Managed node groups of two architectures: Bottlerocket without SSH, encrypted disks, no metadata for Pods."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from parameters import NodeGroup, Stage

from stacks.common import accept
from stacks.roles import aws_managed

_IMAGES = {"amd64": "BOTTLEROCKET_x86_64", "arm64": "BOTTLEROCKET_ARM_64"}
_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")


def node_groups(
    stack: cdk.Stack, stage: Stage, cluster: eks.CfnCluster, subnets: list[str]
) -> list[eks.CfnNodegroup]:
    """One group for each architecture, all with the same role."""
    role = iam.Role(
        stack,
        "NodeRole",
        role_name=f"{stage.cluster_name}-node",
        assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
        managed_policies=[aws_managed(name) for name in _POLICIES],
    )
    accept(
        role,
        {
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]": "EKS asks for this policy "
            "on a node's role; Pods do not get it, and the network plug-in has a role of its own"
            for name in _POLICIES
        },
    )
    return [_group(stack, stage, cluster, subnets, role, group) for group in stage.cluster.node_groups]


def _group(
    stack: cdk.Stack,
    stage: Stage,
    cluster: eks.CfnCluster,
    subnets: list[str],
    role: iam.Role,
    group: NodeGroup,
) -> eks.CfnNodegroup:
    template = _launch_template(stack, stage, group)
    taint = eks.CfnNodegroup.TaintProperty(key="architecture", value=group.architecture, effect="NO_SCHEDULE")
    return eks.CfnNodegroup(
        stack,
        f"Nodes{group.architecture.title()}",
        cluster_name=cluster.ref,
        nodegroup_name=group.architecture,
        node_role=role.role_arn,
        subnets=subnets,
        ami_type=_IMAGES[group.architecture],
        instance_types=list(group.instance_types),
        launch_template=eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
            id=template.ref, version=template.attr_latest_version_number
        ),
        scaling_config=eks.CfnNodegroup.ScalingConfigProperty(
            min_size=group.minimum, desired_size=group.minimum, max_size=group.maximum
        ),
        taints=[taint] if group.reserved else None,
        update_config=eks.CfnNodegroup.UpdateConfigProperty(max_unavailable=1),
        node_repair_config=eks.CfnNodegroup.NodeRepairConfigProperty(enabled=True),
    )


def _launch_template(stack: cdk.Stack, stage: Stage, group: NodeGroup) -> ec2.CfnLaunchTemplate:
    """Hop limit 1: an answer of the metadata service does not reach a Pod behind the node's network."""

    def disk(device: str, gib: int) -> ec2.CfnLaunchTemplate.BlockDeviceMappingProperty:
        return ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
            device_name=device,
            ebs=ec2.CfnLaunchTemplate.EbsProperty(
                volume_size=gib, volume_type="gp3", encrypted=True, delete_on_termination=True
            ),
        )

    return ec2.CfnLaunchTemplate(
        stack,
        f"Launch{group.architecture.title()}",
        launch_template_name=f"{stage.cluster_name}-{group.architecture}",
        launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
            metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(
                http_tokens="required", http_put_response_hop_limit=1, http_endpoint="enabled"
            ),
            # Bottlerocket keeps the system on the first disk, images and Pods' files on the second.
            block_device_mappings=[disk("/dev/xvda", 4), disk("/dev/xvdb", group.disk_gib)],
            monitoring=ec2.CfnLaunchTemplate.MonitoringProperty(enabled=True),
            tag_specifications=[
                ec2.CfnLaunchTemplate.TagSpecificationProperty(
                    resource_type=kind,
                    tags=[
                        cdk.CfnTag(key="Name", value=f"{stage.cluster_name}-{group.architecture}"),
                        cdk.CfnTag(key="project", value="slipway"),
                        cdk.CfnTag(key="stage", value=stage.name),
                    ],
                )
                for kind in ("instance", "volume")
            ],
        ),
    )
