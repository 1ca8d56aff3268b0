"""Metrics, alerts and who hears of them: Amazon Managed Service for Prometheus with the files of argocd/monitoring."""

from __future__ import annotations

import base64
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_aps as aps
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from parameters import Stage

from stacks.cluster import ClusterStack
from stacks.common import StageStack, key
from stacks.network import NetworkStack

SOURCE = Path(__file__).parents[3] / "monitoring"
RECEIVERS = ("people", "on-call", "dead-man")
"""The receivers that alertmanager.yaml names; each gets a topic."""
READERS = ("people", "on-call")
"""Those that a person reads; the watch over the dead man's switch subscribes to the third."""


class MonitoringStack(StageStack):
    """One workspace for the cluster; the collector is AWS's and logs in by an access entry that AWS makes for it."""

    def __init__(self, app: cdk.App, stage: Stage, network: NetworkStack, cluster: ClusterStack):
        super().__init__(app, stage, "monitoring", f"Metrics and alerts of {stage.cluster_name}")
        self.stage = stage
        encryption = key(self, "Key", f"alias/{stage.cluster_name}-monitoring", "Metrics and notifications")
        topics = {name: self._topic(name, encryption) for name in RECEIVERS}
        workspace = aps.CfnWorkspace(
            self,
            "Workspace",
            alias=stage.cluster_name,
            kms_key_arn=encryption.key_arn,
            alert_manager_definition=self._routes(),
        )
        for topic in topics.values():
            self._admit(topic, workspace)
        self._admit_to_key(encryption)
        for file in sorted([*(SOURCE / "rules").glob("*.yaml"), *(SOURCE / "eks").glob("*.yaml")]):
            if file.name != "scrape.yaml":
                name = f"{file.parent.name}-{file.stem}"
                aps.CfnRuleGroupsNamespace(
                    self,
                    "".join(part.title() for part in name.split("-")),
                    name=name,
                    workspace=workspace.attr_arn,
                    data=file.read_text(),
                )
        self._scraper(network, cluster, workspace)

    def _topic(self, name: str, encryption: kms.Key) -> sns.Topic:
        """Encrypted, and closed to whoever does not speak TLS."""
        topic = sns.Topic(
            self,
            f"Topic{name.title().replace('-', '')}",
            topic_name=f"{self.stage.cluster_name}-{name}",
            master_key=encryption,
            enforce_ssl=True,
        )
        if name in READERS:
            sns.CfnSubscription(
                self,
                f"Subscription{name.title().replace('-', '')}",
                topic_arn=topic.topic_arn,
                protocol="email",
                endpoint=self.stage.budget.email,
            )
        return topic

    def _admit(self, topic: sns.Topic, workspace: aps.CfnWorkspace) -> None:
        """This workspace's Alertmanager, and no other, may publish."""
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("aps.amazonaws.com")],
                actions=["sns:Publish", "sns:GetTopicAttributes"],
                resources=[topic.topic_arn],
                conditions=self._from(workspace),
            )
        )

    def _admit_to_key(self, encryption: kms.Key) -> None:
        """To publish to an encrypted topic takes a data key. By account: the workspace itself is made with the key."""
        encryption.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("aps.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.stage.account}},
            )
        )

    def _from(self, workspace: aps.CfnWorkspace) -> dict:
        return {
            "ArnEquals": {"aws:SourceArn": workspace.attr_arn},
            "StringEquals": {"aws:SourceAccount": self.stage.account},
        }

    def _routes(self) -> str:
        """The routes as they are, with a topic for each receiver; the managed Alertmanager knows no other kind."""
        text = (SOURCE / "alertmanager.yaml").read_text()
        for name in RECEIVERS:
            arn = f"arn:aws:sns:{self.stage.region}:{self.stage.account}:{self.stage.cluster_name}-{name}"
            lines = [
                f"- name: {name}",
                "  sns_configs:",
                f"  - topic_arn: {arn}",
                "    send_resolved: true",
                "    sigv4:",
                f"      region: {self.stage.region}",
            ]
            text = text.replace(f"- name: {name}\n", "\n".join(lines) + "\n")
        return "alertmanager_config: |\n" + "".join(f"  {line}\n" for line in text.splitlines())

    def _scraper(self, network: NetworkStack, cluster: ClusterStack, workspace: aps.CfnWorkspace) -> None:
        aps.CfnScraper(
            self,
            "Scraper",
            alias=self.stage.cluster_name,
            destination=aps.CfnScraper.DestinationProperty(
                amp_configuration=aps.CfnScraper.AmpConfigurationProperty(workspace_arn=workspace.attr_arn)
            ),
            scrape_configuration=aps.CfnScraper.ScrapeConfigurationProperty(
                configuration_blob=base64.b64encode((SOURCE / "eks" / "scrape.yaml").read_bytes()).decode()
            ),
            source=aps.CfnScraper.SourceProperty(
                eks_configuration=aps.CfnScraper.EksConfigurationProperty(
                    cluster_arn=cluster.cluster.attr_arn,
                    # From here, as from the load balancers, NetworkPolicies let it in; Pods have private addresses.
                    subnet_ids=network.public,
                    security_group_ids=[cluster.cluster_group],
                )
            ),
        )
