"""What every stack is: plain CloudFormation without assets, parameters or a bootstrap, protected and tagged."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct
from parameters import Stage

ANYWHERE = "0.0.0.0/0"
NOT_IN_A_URL = " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~"
"""Left out of passwords, so that a connection URL holds them as they are."""
ALL_FINDINGS = "all-findings"
"""The context in which nothing is accepted."""


class StageStack(cdk.Stack):
    """A stack `slipway-<owner>-<part>` in the stage's account and region."""

    def __init__(self, app: cdk.App, stage: Stage, part: str, description: str, owner: str | None = None):
        self.owner = owner or stage.name
        name = f"slipway-{self.owner}-{part}"
        super().__init__(
            app,
            name,
            stack_name=name,
            description=description,
            env=cdk.Environment(account=stage.account, region=stage.region),
            synthesizer=cdk.BootstraplessSynthesizer(),
            termination_protection=True,
            suppress_template_indentation=True,
        )
        for key, value in {"project": "slipway", "stage": stage.name, "owner": self.owner}.items():
            cdk.Tags.of(self).add(key, value)


def accept(construct: Construct, rules: dict[str, str]) -> None:
    """Leave these findings on this construct, each with its reason, unless all are asked for."""
    if construct.node.try_get_context(ALL_FINDINGS):
        return
    cdk.Validations.of(construct).acknowledge(
        *(cdk.Acknowledgment(id=rule, reason=reason) for rule, reason in rules.items())
    )


def security_group(
    stack: cdk.Stack,
    id_: str,
    vpc: str,
    *,
    name: str,
    description: str,
    ingress: Sequence[ec2.CfnSecurityGroup.IngressProperty] = (),
    egress: Sequence[ec2.CfnSecurityGroup.EgressProperty] = (),
) -> ec2.CfnSecurityGroup:
    """A group with these rules only; without `egress` nothing that it guards can open a connection."""
    # CloudFormation opens everything when there is no rule, so there is one that leads nowhere.
    nowhere = ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol="-1", cidr_ip="127.0.0.1/32", description="Opens no connections"
    )
    return ec2.CfnSecurityGroup(
        stack,
        id_,
        vpc_id=vpc,
        group_name=name,
        group_description=description,
        security_group_ingress=list(ingress),
        security_group_egress=list(egress) or [nowhere],
        tags=[cdk.CfnTag(key="Name", value=name)],
    )


def admit(port: int, description: str, *, cidr: str | None = None, group: str | None = None):
    """An ingress rule for one TCP port, from a network or from a group."""
    return ec2.CfnSecurityGroup.IngressProperty(
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
        cidr_ip=cidr,
        source_security_group_id=group,
        description=description,
    )


def reach(
    port: int, description: str, *, cidr: str | None = None, group: str | None = None, protocol: str = "tcp"
):
    """An egress rule for one port, to a network or to a group."""
    return ec2.CfnSecurityGroup.EgressProperty(
        ip_protocol=protocol,
        from_port=port,
        to_port=port,
        cidr_ip=cidr,
        destination_security_group_id=group,
        description=description,
    )


def key(stack: cdk.Stack, id_: str, alias: str, description: str) -> kms.Key:
    """An encryption key of our own, rotated every year, kept when the stack goes."""
    return kms.Key(
        stack,
        id_,
        alias=alias,
        description=description,
        enable_key_rotation=True,
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )


def made_secret(
    stack: StageStack,
    id_: str,
    *,
    name: str,
    description: str,
    encryption: kms.Key,
    fields: dict,
    generated: str,
) -> secretsmanager.CfnSecret:
    """A secret of which AWS makes one field up; kept when the stack goes."""
    secret = secretsmanager.CfnSecret(
        stack,
        id_,
        name=name,
        description=description,
        kms_key_id=encryption.key_arn,
        generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
            secret_string_template=stack.to_json_string(fields),
            generate_string_key=generated,
            exclude_characters=NOT_IN_A_URL,
            password_length=48,
        ),
    )
    secret.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
    return secret
