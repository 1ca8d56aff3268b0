"""The repositories of images: tags that never move, scanned when pushed, cleaned as `slipway retention` expects."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from parameters import Stage
from slipway.registry.ecr_lifecycle import KEEP, protecting

from stacks.common import StageStack

MOVABLE = (f"{KEEP}*", "sha256-*")
"""Tags that name a digest themselves: what retention protects with, and where cosign keeps signatures."""
READ = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
DESCRIBE = ("ecr:DescribeImages", "ecr:DescribeImageScanFindings", "ecr:ListImages")


def repository_arns(stage: Stage) -> list[str]:
    """The ARNs of the stage's repositories, whichever account holds them."""
    where = f"arn:aws:ecr:{stage.region}:{stage.registry.account}:repository"
    return [f"{where}/{name}" for name in stage.registry.repositories]


class RegistryStack(StageStack):
    """One ECR repository for each image; the other accounts' nodes and boards may read."""

    def __init__(self, app: cdk.App, stage: Stage):
        super().__init__(app, stage, "registry", "Images of the applications")
        for name in stage.registry.repositories:
            ecr.CfnRepository(
                self,
                name.partition("/")[2].title().replace("-", ""),
                repository_name=name,
                image_tag_mutability="IMMUTABLE_WITH_EXCLUSION",
                image_tag_mutability_exclusion_filters=[
                    ecr.CfnRepository.ImageTagMutabilityExclusionFilterProperty(
                        image_tag_mutability_exclusion_filter_type="WILDCARD",
                        image_tag_mutability_exclusion_filter_value=pattern,
                    )
                    for pattern in MOVABLE
                ],
                image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(
                    scan_on_push=True
                ),
                encryption_configuration=ecr.CfnRepository.EncryptionConfigurationProperty(
                    encryption_type="AES256"
                ),
                lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(
                    lifecycle_policy_text=json.dumps(protecting(stage.registry.keep_days))
                ),
                repository_policy_text=self._readers(stage) if stage.image_readers else None,
                empty_on_delete=False,
            ).apply_removal_policy(cdk.RemovalPolicy.RETAIN)

    def _readers(self, stage: Stage) -> dict:
        """Other accounts' roles of ours; that a role exists is not asked, so accounts come in any order."""
        roles = [f"arn:aws:iam::{account}:role/slipway-*" for account in stage.image_readers]
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "OtherAccountsRead",
                    "Effect": "Allow",
                    "Principal": {"AWS": [f"arn:aws:iam::{account}:root" for account in stage.image_readers]},
                    "Action": [*READ, *DESCRIBE],
                    "Condition": {"ArnLike": {"aws:PrincipalArn": roles}},
                }
            ],
        }
