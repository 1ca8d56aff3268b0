"""What each role may do in AWS, by evaluating its policies: what it needs, and nothing beside."""

from __future__ import annotations

import pytest
from aws_policy import Statement, allowed, listed
from aws_template import Assembly, Resource

IMAGES = "arn:aws:ecr:eu-central-1:111122223333:repository/slipway/"
SECRETS = "arn:aws:secretsmanager:eu-central-1:{}:secret:slipway/{}/board-database-AbCdEf"
CLUSTER_TAG = "elbv2.k8s.aws/cluster"

WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken": "knows no resource",
    "acm:Describe": "reads of certificates come before it is known which one fits",
    "acm:List": "lists know no resource",
    "ec2:Describe": "describing knows no resource",
    "ec2:GetSecurityGroupsForVpc": "describing knows no resource",
    "elasticloadbalancing:Describe": "describing knows no resource",
}
"""Why a statement may be about every resource; the actions begin so."""


def statements(assembly: Assembly, role: Resource) -> list[Statement]:
    """The role's own policies, with ARNs written out."""
    return [
        Statement.parse({**raw, "Resource": [assembly.text(role, arn) for arn in listed(raw["Resource"])]})
        for policy in role.get("Policies", [])
        for raw in policy["PolicyDocument"]["Statement"]
    ]


def role(assembly: Assembly, name: str) -> Resource:
    """The role with the name."""
    (found,) = (r for r in assembly.all("AWS::IAM::Role") if r.get("RoleName") == name)
    return found


def rights(assembly: Assembly, name: str) -> list[Statement]:
    return statements(assembly, role(assembly, name))


def test_no_policy_has_a_wildcard_in_its_actions(assembly: Assembly) -> None:
    """Every action is written out."""
    actions = {
        action
        for role in assembly.all("AWS::IAM::Role")
        for statement in statements(assembly, role)
        for action in statement.actions
    }
    assert len(actions) > 50
    assert [action for action in actions if "*" in action or "?" in action] == []


def test_every_resource_is_meant_only_where_aws_knows_no_other(assembly: Assembly) -> None:
    """A statement about `*` holds actions that only describe, or that have no resource; each has a reason."""
    found = {
        action
        for role in assembly.all("AWS::IAM::Role")
        for statement in statements(assembly, role)
        if "*" in statement.resources
        for action in statement.actions
    }
    assert {a for a in found if not a.startswith(tuple(WITHOUT_RESOURCE))} == set()
    assert [begin for begin in WITHOUT_RESOURCE if not any(a.startswith(begin) for a in found)] == []


def test_policies_are_nowhere_but_in_the_roles(assembly: Assembly) -> None:
    """What this file reads is all there is: no policy is attached from elsewhere, and there are no users."""
    kinds = {resource.kind for resource in assembly.all() if resource.kind.startswith("AWS::IAM::")}
    assert kinds == {"AWS::IAM::Role"}


MANAGED = {
    "AmazonEKSClusterPolicy",
    "AmazonEKSVPCResourceController",
    "AmazonEKSWorkerNodePolicy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEKS_CNI_Policy",
    "service-role/AmazonEBSCSIDriverPolicy",
}


def test_policies_of_aws_are_those_that_eks_asks_for(assembly: Assembly) -> None:
    """And the roles of Pods that are not EKS's own have none."""
    used = {
        assembly.text(r, arn).partition(":policy/")[2]
        for r in assembly.all("AWS::IAM::Role")
        for arn in r.get("ManagedPolicyArns", [])
    }
    assert used == MANAGED
    identity = [r for r in assembly.all("AWS::IAM::Role") if r.stack.endswith("-identity")]
    assert len(identity) == 9
    assert [str(r) for r in identity if r.get("ManagedPolicyArns")] == []


# The pipeline

PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
JENKINS = "slipway-nonprod-jenkins-agent"


@pytest.mark.parametrize("image", ["board-backend", "board-frontend"])
@pytest.mark.parametrize("action", PUSH)
def test_the_pipeline_can_push_each_named_image(assembly: Assembly, action: str, image: str) -> None:
    """Every call that a push is made of."""
    assert allowed(rights(assembly, JENKINS), action, IMAGES + image)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        *((action, IMAGES + "postgres") for action in PUSH),
        *((action, IMAGES.replace("eu-central-1", "us-east-1") + "board-backend") for action in PUSH),
        *((action, IMAGES.replace("111122223333", "444455556666") + "board-backend") for action in PUSH),
        ("ecr:BatchDeleteImage", IMAGES + "board-backend"),
        ("ecr:PutImageTagMutability", IMAGES + "board-backend"),
        ("ecr:PutLifecyclePolicy", IMAGES + "board-backend"),
        ("ecr:SetRepositoryPolicy", IMAGES + "board-backend"),
        ("ecr:DeleteRepository", IMAGES + "board-backend"),
        ("ecr:CreateRepository", IMAGES + "board-backend"),
        ("eks:DescribeCluster", "arn:aws:eks:eu-central-1:111122223333:cluster/slipway-nonprod"),
        ("eks:AccessKubernetesApi", "arn:aws:eks:eu-central-1:111122223333:cluster/slipway-nonprod"),
        ("sts:AssumeRole", "arn:aws:iam::111122223333:role/slipway-nonprod-deployer"),
        ("iam:PassRole", "arn:aws:iam::111122223333:role/slipway-nonprod-node"),
        ("secretsmanager:GetSecretValue", SECRETS.format("111122223333", "dev")),
        ("rds-db:connect", "arn:aws:rds-db:eu-central-1:111122223333:dbuser:db-X/board"),
        ("ec2:RunInstances", "*"),
        ("cloudformation:UpdateStack", "*"),
    ],
)  # fmt: skip
def test_the_pipeline_can_do_nothing_else(assembly: Assembly, action: str, resource: str) -> None:
    """Other images, the repositories themselves, clusters, roles, secrets, databases."""
    assert not allowed(rights(assembly, JENKINS), action, resource)


def test_the_pipelines_rights_are_these(assembly: Assembly) -> None:
    """The whole list: pushing and reading two repositories, and the token to log in to them."""
    granted = {(a, r) for s in rights(assembly, JENKINS) for a in s.actions for r in s.resources}
    on_images = (*PUSH, "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    images = {(action, IMAGES + name) for action in on_images for name in ("board-backend", "board-frontend")}
    assert granted == images | {("ecr:GetAuthorizationToken", "*")}


def test_the_pipeline_has_no_access_to_any_cluster(assembly: Assembly) -> None:
    """No access entry names its role, and no other account has a role for it."""
    principals = [assembly.text(e, e["PrincipalArn"]) for e in assembly.all("AWS::EKS::AccessEntry")]
    assert len(principals) == 5
    assert [name for name in principals if "jenkins" in name.lower()] == []
    roles = [r for r in assembly.all("AWS::IAM::Role") if "jenkins" in r.get("RoleName", "")]
    assert [r.stack for r in roles] == ["slipway-nonprod-identity"]


# Secrets


@pytest.mark.parametrize(
    ("stage", "account", "environment", "may"),
    [
        ("nonprod", "111122223333", "dev", True),
        ("nonprod", "111122223333", "staging", True),
        ("nonprod", "111122223333", "prod", False),
        ("nonprod", "444455556666", "prod", False),
        ("prod", "444455556666", "prod", True),
        ("prod", "444455556666", "dev", False),
        ("prod", "111122223333", "dev", False),
        ("prod", "444455556666", "argocd", True),
        ("nonprod", "444455556666", "argocd", False),
        ("nonprod", "111122223333", "argocd", False),
    ],
)
def test_external_secrets_reads_the_paths_of_its_own_cluster(
    assembly: Assembly, stage: str, account: str, environment: str, may: bool
) -> None:
    """slipway/<environment>/ of the environments that the cluster runs; where Argo CD runs, slipway/argocd/ too."""
    own = rights(assembly, f"slipway-{stage}-external-secrets")
    assert allowed(own, "secretsmanager:GetSecretValue", SECRETS.format(account, environment)) is may


@pytest.mark.parametrize(
    "name", ["rds!db-0123", "slipway/other", "slipway-dev/board-database", "slipway/dev-2/board-database"]
)
def test_external_secrets_reads_no_other_secret(assembly: Assembly, name: str) -> None:
    """Not the database's master password either."""
    arn = f"arn:aws:secretsmanager:eu-central-1:111122223333:secret:{name}-AbCdEf"
    own = rights(assembly, "slipway-nonprod-external-secrets")
    assert not allowed(own, "secretsmanager:GetSecretValue", arn)


@pytest.mark.parametrize("action", ["PutSecretValue", "DeleteSecret", "CreateSecret", "ListSecrets"])
def test_external_secrets_changes_nothing(assembly: Assembly, action: str) -> None:
    """It reads."""
    own = rights(assembly, "slipway-nonprod-external-secrets")
    assert not allowed(own, f"secretsmanager:{action}", SECRETS.format("111122223333", "dev"))


@pytest.mark.parametrize(
    ("service", "alias", "may"),
    [
        ("secretsmanager", "alias/slipway-dev-data", True),
        ("rds", "alias/slipway-dev-data", False),
        ("secretsmanager", "alias/slipway-nonprod", False),
    ],
)
def test_external_secrets_decrypts_its_secrets_alone(
    assembly: Assembly, service: str, alias: str, may: bool
) -> None:
    """With the environment's key, through Secrets Manager."""
    context = {"kms:ViaService": f"{service}.eu-central-1.amazonaws.com", "kms:ResourceAliases": alias}
    key = "arn:aws:kms:eu-central-1:111122223333:key/0000"
    own = rights(assembly, "slipway-nonprod-external-secrets")
    assert allowed(own, "kms:Decrypt", key, context) is may


# The board, Argo CD, the load balancer controller


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_boards_read_images_and_write_none(assembly: Assembly, environment: str) -> None:
    """Sizes, scans and manifests of the two images."""
    stage = "prod" if environment == "prod" else "nonprod"
    own = rights(assembly, f"slipway-{stage}-{environment}-board-backend")
    for action in ("BatchGetImage", "DescribeImages", "DescribeImageScanFindings", "ListImages"):
        assert allowed(own, f"ecr:{action}", IMAGES + "board-backend")
        assert not allowed(own, f"ecr:{action}", IMAGES + "postgres")
    for action in PUSH:
        assert not allowed(own, action, IMAGES + "board-backend")
    assert {a.partition(":")[0] for s in own for a in s.actions} == {"ecr"}


def test_the_other_account_lets_prods_board_and_nodes_read(assembly: Assembly) -> None:
    """Both sides must allow it: prod's roles carry names that the repository's policy admits."""
    for repository in assembly.all("AWS::ECR::Repository"):
        (raw,) = repository["RepositoryPolicyText"]["Statement"]
        policy = [Statement.parse({**raw, "Resource": "*"})]
        for name, may in (
            ("slipway-prod-node", True),
            ("slipway-prod-prod-board-backend", True),
            ("somebody", False),
        ):
            context = {"aws:PrincipalArn": f"arn:aws:iam::444455556666:role/{name}"}
            assert allowed(policy, "ecr:BatchGetImage", "*", context) is may
            assert not allowed(policy, "ecr:PutImage", "*", context)


def test_argo_cd_becomes_the_deployer_and_nobody_else(assembly: Assembly) -> None:
    """One role in the other account, which in turn has no right in AWS."""
    own = rights(assembly, "slipway-prod-argocd")
    deployer = "arn:aws:iam::111122223333:role/slipway-nonprod-deployer"
    assert allowed(own, "sts:AssumeRole", deployer)
    for other in ("slipway-emergency", "slipway-nonprod-node", "slipway-nonprod-jenkins-agent"):
        assert not allowed(own, "sts:AssumeRole", f"arn:aws:iam::111122223333:role/{other}")
    assert {a for s in own for a in s.actions} == {"sts:AssumeRole", "sts:TagSession"}
    assert rights(assembly, "slipway-nonprod-deployer") == []


BALANCER = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/slipway-dev/0123"
GROUP = "arn:aws:ec2:eu-central-1:111122223333:security-group/sg-0123"


@pytest.mark.parametrize(
    ("action", "resource", "key"),
    [
        ("elasticloadbalancing:CreateLoadBalancer", BALANCER, f"aws:RequestTag/{CLUSTER_TAG}"),
        ("elasticloadbalancing:DeleteLoadBalancer", BALANCER, f"aws:ResourceTag/{CLUSTER_TAG}"),
        ("elasticloadbalancing:SetSecurityGroups", BALANCER, f"aws:ResourceTag/{CLUSTER_TAG}"),
        ("elasticloadbalancing:CreateListener", BALANCER, f"aws:ResourceTag/{CLUSTER_TAG}"),
        ("ec2:DeleteSecurityGroup", GROUP, f"aws:ResourceTag/{CLUSTER_TAG}"),
        ("ec2:CreateSecurityGroup", GROUP, f"aws:RequestTag/{CLUSTER_TAG}"),
    ],
)
def test_the_controller_changes_what_its_cluster_owns(
    assembly: Assembly, action: str, resource: str, key: str
) -> None:
    """With the tag of another cluster, or with none, the same call is refused."""
    own = rights(assembly, "slipway-nonprod-aws-load-balancer-controller")
    assert allowed(own, action, resource, {key: "slipway-nonprod"})
    assert not allowed(own, action, resource, {key: "slipway-prod"})
    assert not allowed(own, action, resource)


def test_the_controller_opens_groups_of_its_vpc_alone(assembly: Assembly) -> None:
    """By the condition on the VPC, whose id the network's stack exports."""
    own = rights(assembly, "slipway-nonprod-aws-load-balancer-controller")
    vpc = "arn:aws:ec2:eu-central-1:111122223333:vpc/"
    (condition,) = (
        s.conditions["ArnEquals"] for s in own if "ec2:AuthorizeSecurityGroupIngress" in s.actions
    )
    named = assembly.text(
        role(assembly, "slipway-nonprod-aws-load-balancer-controller"), condition["ec2:Vpc"]
    )
    assert named == f"{vpc}<slipway-nonprod-network/Vpc>"


@pytest.mark.parametrize(
    "action", ["iam:PassRole", "iam:CreateRole", "ec2:RunInstances", "wafv2:AssociateWebACL"]
)
def test_the_controller_has_nothing_to_do_with_the_rest(assembly: Assembly, action: str) -> None:
    """Whatever the tag says."""
    own = rights(assembly, "slipway-nonprod-aws-load-balancer-controller")
    assert not allowed(own, action, "*", {f"aws:ResourceTag/{CLUSTER_TAG}": "slipway-nonprod"})


def test_the_evaluator_denies_like_iam() -> None:
    """A denial wins, wildcards match, conditions on an absent key fail, and case counts in resources only."""
    allow = {"Effect": "Allow", "Action": "ecr:Get*", "Resource": "arn:a:*"}
    deny = {"Effect": "Deny", "Action": "ecr:GetToken", "Resource": "*"}
    tagged = {**allow, "Condition": {"StringEquals": {"k": ["v", "w"]}, "Null": {"n": "true"}}}
    some, both, limited = ([Statement.parse(s) for s in raw] for raw in ([allow], [allow, deny], [tagged]))
    assert allowed(some, "ECR:getToken", "arn:a:b")
    assert not allowed(some, "ecr:GetToken", "ARN:A:b")
    assert not allowed(both, "ecr:GetToken", "arn:a:b")
    assert allowed(both, "ecr:GetLayer", "arn:a:b")
    assert allowed(limited, "ecr:GetLayer", "arn:a:b", {"k": "w"})
    assert not allowed(limited, "ecr:GetLayer", "arn:a:b", {"k": "x"})
    assert not allowed(limited, "ecr:GetLayer", "arn:a:b", {"k": "w", "n": "1"})
    assert not allowed(limited, "ecr:GetLayer", "arn:a:b")
