"""The templates in moto's server: one process for each account, on loopback, by the same calls as in AWS.

moto makes nothing of some types; they are taken out before, and what refers to them gets a text in its place, so that
everything else is made from the template as it is.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
from aws_template import Assembly

NOT_MADE = {
    "AWS::APS::RuleGroupsNamespace",
    "AWS::APS::Scraper",
    "AWS::APS::Workspace",
    "AWS::Budgets::Budget",
    "AWS::CertificateManager::Certificate",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EKS::AccessEntry",
    "AWS::EKS::Addon",
    "AWS::EKS::Cluster",
    "AWS::EKS::Nodegroup",
    "AWS::EKS::PodIdentityAssociation",
    "AWS::SecretsManager::RotationSchedule",
    "AWS::SecretsManager::Secret",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
}
"""Types of ours that moto's CloudFormation does not know; tests of the templates answer for them alone."""


def supported(template: dict[str, Any], nodes: str) -> dict[str, Any]:
    """The part of a template that moto makes; `nodes` is the security group that EKS would have made."""
    template = copy.deepcopy(template)
    template.pop("Transform", None)
    lost = {name for name, body in template["Resources"].items() if body["Type"] in NOT_MADE}
    for name in lost:
        del template["Resources"][name]
    for body in template["Resources"].values():
        body.pop("DependsOn", None)
        properties = body["Properties"]
        if body["Type"] == "AWS::KMS::Key":
            # moto reads tags by the names that KMS's own API has for them.
            del properties["Tags"]
        if body["Type"] == "AWS::RDS::DBInstance":
            # moto takes the groups by another name, and a parameter group by its text only.
            properties["VpcSecurityGroupIds"] = properties.pop("VPCSecurityGroups")
            del properties["DBParameterGroupName"]
    return _without(template, lost, nodes)


def _without(value: Any, lost: set[str], nodes: str) -> Any:
    if isinstance(value, list):
        return [_without(item, lost, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    name, attribute = value.get("Fn::GetAtt", (value.get("Ref"), None))
    if name in lost:
        return nodes if attribute == "ClusterSecurityGroupId" else f"{name}-is-not-made"
    return {key: _without(item, lost, nodes) for key, item in value.items()}


class Cloud:
    """AWS for one account, at an address."""

    def __init__(self, account: str, url: str):
        self.account, self.url = account, url

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.url, region_name="eu-central-1", **keys)

    def deploy(self, assembly: Assembly) -> None:
        """Every stack of the account, in order; each must be complete before the next."""
        cloudformation, nodes = self.client("cloudformation"), ""
        for stack in assembly.stacks:
            if stack["account"] != self.account:
                continue
            if stack["name"].endswith("-cluster"):
                nodes = self._nodes(stack["name"].removesuffix("-cluster"))
            template = supported(assembly.templates[stack["name"]], nodes)
            if not template["Resources"]:
                continue
            cloudformation.create_stack(
                StackName=stack["name"],
                TemplateBody=json.dumps(template),
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            (made,) = cloudformation.describe_stacks(StackName=stack["name"])["Stacks"]
            assert made["StackStatus"] == "CREATE_COMPLETE", made
            self._repositories(template)

    def _repositories(self, template: dict[str, Any]) -> None:
        """The policies of repositories, which moto's CloudFormation leaves out, by the calls that it stands for."""
        ecr = self.client("ecr")
        for body in template["Resources"].values():
            if body["Type"] == "AWS::ECR::Repository":
                properties = body["Properties"]
                name = properties["RepositoryName"]
                lifecycle = properties["LifecyclePolicy"]["LifecyclePolicyText"]
                ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=lifecycle)
                readers = json.dumps(properties["RepositoryPolicyText"])
                ecr.set_repository_policy(repositoryName=name, policyText=readers)

    def _nodes(self, network: str) -> str:
        ec2 = self.client("ec2")
        named = [{"Name": "tag:Name", "Values": [network]}]
        (vpc,) = ec2.describe_vpcs(Filters=named)["Vpcs"]
        made = ec2.create_security_group(GroupName="nodes", Description="As EKS makes it", VpcId=vpc["VpcId"])
        return made["GroupId"]


class Emulator(Cloud):
    """AWS for one account, in a process of its own."""

    def __init__(self, account: str, log: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        super().__init__(account, f"http://127.0.0.1:{port}")
        argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        environment = {
            **os.environ,
            "MOTO_ACCOUNT_ID": account,
            "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("w") as sink:
            self.process = subprocess.Popen(argv, env=environment, stdout=sink, stderr=sink)
        self._ready()

    def _ready(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                httpx.get(self.url)
                return
            except httpx.TransportError:
                assert self.process.poll() is None, "moto's server did not start"
                assert time.monotonic() < end, "moto's server does not answer"
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)
