"""The EKS cluster: control plane, who may reach and use it, nodes, add-ons."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from parameters import Stage

from stacks import addons, nodes
from stacks.common import StageStack, accept, key
from stacks.network import NetworkStack
from stacks.roles import aws_managed

_POLICY = "arn:aws:eks::aws:cluster-access-policy/"
_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")


class ClusterStack(StageStack):
    """Only IAM identities with an access entry get in; the pipeline has none."""

    def __init__(self, app: cdk.App, stage: Stage, network: NetworkStack):
        super().__init__(app, stage, "cluster", f"EKS cluster {stage.cluster_name}")
        self.stage = stage
        self.cluster = self._control_plane(network)
        self.cluster_group = self.cluster.attr_cluster_security_group_id
        self._entries()
        early = addons.before_nodes(self, stage, self.cluster)
        groups = nodes.node_groups(self, stage, self.cluster, network.private)
        for group in groups:
            for addon in early:
                group.add_resource_dependency(addon)
        for addon in addons.after_nodes(self, stage, self.cluster):
            for group in groups:
                addon.add_resource_dependency(group)

    def _control_plane(self, network: NetworkStack) -> eks.CfnCluster:
        stage = self.stage
        encryption = key(
            self, "Key", f"alias/{stage.cluster_name}", "Kubernetes Secrets and the cluster's logs"
        )
        log_group = self._log_group(encryption)
        role = iam.Role(
            self,
            "ControlPlaneRole",
            assumed_by=iam.ServicePrincipal("eks.amazonaws.com"),
            managed_policies=[
                aws_managed("AmazonEKSClusterPolicy"),
                aws_managed("AmazonEKSVPCResourceController"),
            ],
            inline_policies={
                "secrets": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            actions=["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:CreateGrant"],
                            resources=[encryption.key_arn],
                        )
                    ]
                )
            },
        )
        accept(
            role,
            {
                f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]": "EKS asks for this "
                "policy on a control plane's role, and AWS maintains it with EKS"
                for name in ("AmazonEKSClusterPolicy", "AmazonEKSVPCResourceController")
            },
        )
        cluster = eks.CfnCluster(
            self,
            "Cluster",
            name=stage.cluster_name,
            version=stage.cluster.version,
            role_arn=role.role_arn,
            access_config=eks.CfnCluster.AccessConfigProperty(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            bootstrap_self_managed_addons=False,
            deletion_protection=True,
            encryption_config=[
                eks.CfnCluster.EncryptionConfigProperty(
                    provider=eks.CfnCluster.ProviderProperty(key_arn=encryption.key_arn),
                    resources=["secrets"],
                )
            ],
            logging=eks.CfnCluster.LoggingProperty(
                cluster_logging=eks.CfnCluster.ClusterLoggingProperty(
                    enabled_types=[eks.CfnCluster.LoggingTypeConfigProperty(type=kind) for kind in _LOGS]
                )
            ),
            resources_vpc_config=eks.CfnCluster.ResourcesVpcConfigProperty(
                subnet_ids=network.private,
                endpoint_private_access=True,
                endpoint_public_access=True,
                public_access_cidrs=[str(cidr) for cidr in stage.cluster.public_access_cidrs],
            ),
            upgrade_policy=eks.CfnCluster.UpgradePolicyProperty(support_type="STANDARD"),
        )
        accept(
            cluster,
            {
                "AwsSolutions-EKS1": "Open to named networks only: the office, and for the cluster that it "
                "manages from another VPC the Argo CD of the other account",
            },
        )
        cluster.add_resource_dependency(log_group)
        return cluster

    def _log_group(self, encryption: cdk.aws_kms.Key) -> logs.CfnLogGroup:
        """Made before EKS would make it, so that it is encrypted and ends."""
        name = f"/aws/eks/{self.stage.cluster_name}/cluster"
        arn = f"arn:aws:logs:{self.region}:{self.account}:log-group:{name}"
        encryption.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn}},
            )
        )
        return logs.CfnLogGroup(
            self,
            "LogGroup",
            log_group_name=name,
            retention_in_days=self.stage.cluster.log_days,
            kms_key_id=encryption.key_arn,
        )

    def _entries(self) -> None:
        """Emergencies may do all, people may look at their environments, the other account's Argo CD deploys."""
        namespaces = [environment.name for environment in self.stage.environments]
        for place, arn in enumerate(self.stage.cluster.admins):
            self._entry(f"Admin{place}", arn, "AmazonEKSClusterAdminPolicy")
        for place, arn in enumerate(self.stage.cluster.readers):
            self._entry(f"Reader{place}", arn, "AmazonEKSViewPolicy", namespaces)
        if not self.stage.runs_argocd:
            self._entry("ArgoCd", self._deployer().role_arn, "AmazonEKSClusterAdminPolicy")

    def _entry(self, id_: str, arn: str, policy: str, namespaces: list[str] | None = None) -> None:
        scope = eks.CfnAccessEntry.AccessScopeProperty(
            type="namespace" if namespaces else "cluster", namespaces=namespaces
        )
        eks.CfnAccessEntry(
            self,
            f"Access{id_}",
            cluster_name=self.cluster.ref,
            principal_arn=arn,
            type="STANDARD",
            access_policies=[
                eks.CfnAccessEntry.AccessPolicyProperty(policy_arn=_POLICY + policy, access_scope=scope)
            ],
        )

    def _deployer(self) -> iam.Role:
        """What the managing Argo CD becomes here; it may do nothing in AWS, its rights are in Kubernetes."""
        account, stage = self.stage.argocd
        manager = f"arn:aws:iam::{account}:role/slipway-{stage}-argocd"
        # The account with a condition on the role: a role named as principal must exist already.
        trusted = iam.PrincipalWithConditions(
            iam.AccountPrincipal(account), {"ArnEquals": {"aws:PrincipalArn": manager}}
        )
        return iam.Role(
            self,
            "Deployer",
            role_name=f"{self.stage.cluster_name}-deployer",
            description=f"The Argo CD of {stage} in this cluster",
            assumed_by=trusted.with_session_tags(),
        )
