"""What Pods may do in AWS, by Pod Identity: one role for each kind of Pod, and in each no right that it does not use."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_eks as eks
from aws_cdk import aws_iam as iam
from parameters import Stage

from stacks import controller
from stacks.argocd import OWNER
from stacks.common import StageStack, accept
from stacks.network import NetworkStack
from stacks.registry import DESCRIBE, READ, repository_arns
from stacks.roles import pod_role

PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
_TOKEN = "ecr:GetAuthorizationToken"
_TOKEN_RESOURCE = {
    "AwsSolutions-IAM5[Resource::*]": "ecr:GetAuthorizationToken knows no resource; the token allows no more "
    "than the role does"
}


class IdentityStack(StageStack):
    """Roles and their association with ServiceAccounts; the cluster is known by its name."""

    def __init__(self, app: cdk.App, stage: Stage, network: NetworkStack):
        super().__init__(app, stage, "identity", f"What Pods of {stage.cluster_name} may do in AWS")
        self.stage = stage
        self._load_balancer_controller(network)
        self._external_secrets()
        for environment in stage.environments:
            self._board(environment.name)
        if stage.owns_registry:
            self._pipeline()
        if stage.manages:
            self._argocd()

    def _identity(
        self, name: str, namespace: str, *accounts: str, statements: list[iam.PolicyStatement]
    ) -> iam.Role:
        id_ = name.title().replace("-", "")
        role = pod_role(
            self,
            id_,
            self.stage,
            name=name,
            namespace=namespace,
            accounts=accounts,
            statements=statements,
        )
        for account in accounts:
            eks.CfnPodIdentityAssociation(
                self,
                f"{id_}{account.title().replace('-', '')}Association",
                cluster_name=self.stage.cluster_name,
                namespace=namespace,
                service_account=account,
                role_arn=role.role_arn,
            )
        return role

    def _load_balancer_controller(self, network: NetworkStack) -> None:
        account = "aws-load-balancer-controller"
        vpc = f"arn:aws:ec2:{self.region}:{self.account}:vpc/{network.vpc.ref}"
        allowed = controller.statements(self.stage, vpc)
        role = self._identity(account, "kube-system", account, statements=allowed)
        reason = "AWS makes up the ids; this cluster's tag, or this VPC, is a condition of every change"
        made = [*controller.parts(self.stage), controller.groups(self.stage)]
        accept(role, {f"AwsSolutions-IAM5[Resource::{resource}]": reason for resource in made})
        accept(role, {"AwsSolutions-IAM5[Resource::*]": "Describing knows no resource"})

    def _external_secrets(self) -> None:
        where = f"arn:aws:secretsmanager:{self.region}:{self.account}:secret"
        owners = [environment.name for environment in self.stage.environments]
        owners += [OWNER] if self.stage.runs_argocd else []
        paths = [f"{where}:slipway/{owner}/*" for owner in owners]
        role = self._identity(
            "external-secrets",
            "external-secrets",
            "external-secrets",
            statements=[
                iam.PolicyStatement(
                    actions=["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
                    resources=paths,
                ),
                iam.PolicyStatement(
                    actions=["kms:Decrypt"],
                    resources=[f"arn:aws:kms:{self.region}:{self.account}:key/*"],
                    conditions={
                        "StringEquals": {"kms:ViaService": f"secretsmanager.{self.region}.amazonaws.com"},
                        "ForAnyValue:StringEquals": {
                            "kms:ResourceAliases": [f"alias/slipway-{owner}-data" for owner in owners]
                        },
                    },
                ),
            ],
        )
        reason = "The environment's own path; Secrets Manager ends each name with characters that it makes up"
        accept(role, {f"AwsSolutions-IAM5[Resource::{path}]": reason for path in paths})
        accept(
            role,
            {
                f"AwsSolutions-IAM5[Resource::arn:aws:kms:{self.region}:{self.account}:key/*]": "The keys are "
                "named by alias in the condition, since their ids are made up when they are created"
            },
        )

    def _board(self, environment: str) -> None:
        role = self._identity(
            f"{environment}-board-backend",
            environment,
            "board-backend",
            statements=[
                iam.PolicyStatement(actions=[*READ, *DESCRIBE], resources=repository_arns(self.stage)),
                iam.PolicyStatement(actions=[_TOKEN], resources=["*"]),
            ],
        )
        accept(role, _TOKEN_RESOURCE)

    def _pipeline(self) -> None:
        """Jenkins' agent: it pushes the images that are named, and has no access entry in any cluster."""
        role = self._identity(
            "jenkins-agent",
            "jenkins",
            "jenkins-agent",
            statements=[
                iam.PolicyStatement(actions=[*PUSH, *READ], resources=repository_arns(self.stage)),
                iam.PolicyStatement(actions=[_TOKEN], resources=["*"]),
            ],
        )
        accept(role, _TOKEN_RESOURCE)

    def _argocd(self) -> None:
        """Argo CD becomes the deployer of the clusters that it manages in other accounts."""
        deployers = [
            f"arn:aws:iam::{account}:role/slipway-{stage}-deployer" for account, stage in self.stage.manages
        ]
        self._identity(
            "argocd",
            "argocd",
            "argocd-application-controller",
            "argocd-applicationset-controller",
            "argocd-server",
            statements=[
                iam.PolicyStatement(actions=["sts:AssumeRole", "sts:TagSession"], resources=deployers)
            ],
        )
