"""The local AWS API: its seed, its targets' health, its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from alb_lab import Aws, path, until
from slipway.kubectl import Cluster
from slipway.platform import loadbalancer
from slipway.proc import Result


class Address:
    """A target that is only an entry."""

    def __init__(self, ip: str, port: int = 8000):
        self.id = {"Id": ip, "Port": port}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aws")


@pytest.fixture(scope="module")
def aws(state: Path) -> Iterator[Aws]:
    one = Aws(state)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def listener(aws: Aws) -> str:
    return aws.balancer("lab")


def snapshot(aws: Aws, after: int = 0, wait: float = 0) -> dict:
    return httpx.get(f"{aws.url}/slipway/elbv2", params={"after": after, "wait": wait}, timeout=30).json()


def test_the_controller_finds_its_network(aws: Aws) -> None:
    """VPC of the Pod network, two tagged subnets in two zones, and the security group by its name tag."""
    vpc = aws.ec2.describe_vpcs(VpcIds=[aws.vpc()])["Vpcs"][0]
    associated = [
        c["CidrBlock"] for c in vpc["CidrBlockAssociationSet"] if c["CidrBlockState"]["State"] == "associated"
    ]
    assert associated == ["10.244.0.0/16"]
    for role in ("elb", "internal-elb"):
        filters = [
            {"Name": f"tag:kubernetes.io/role/{role}", "Values": ["", "1"]},
            {"Name": "vpc-id", "Values": [aws.vpc()]},
        ]
        subnets = aws.ec2.describe_subnets(Filters=filters)["Subnets"]
        assert {subnet["AvailabilityZone"] for subnet in subnets} == {"eu-central-1a", "eu-central-1b"}
        assert all({"Key": "kubernetes.io/cluster/slipway", "Value": "owned"} in s["Tags"] for s in subnets)
    named = [{"Name": "tag:Name", "Values": ["slipway-alb"]}, {"Name": "vpc-id", "Values": [aws.vpc()]}]
    assert len(aws.ec2.describe_security_groups(Filters=named)["SecurityGroups"]) == 1


def test_a_new_version_answers_who_waits_for_it(aws: Aws) -> None:
    """The data plane hears of a change at once, and of no change when nothing changed."""
    before = snapshot(aws)["Version"]
    assert snapshot(aws, before, 0.2)["Version"] == before
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(snapshot, aws, before, 20)
        aws.group("news")
        answer = waiting.result(timeout=5)
    assert answer["Version"] != before
    assert "news" in {group["TargetGroupName"] for group in answer["TargetGroups"]}


def test_a_target_lives_from_unused_to_not_registered(aws: Aws, listener: str) -> None:
    """unused, initial, what the data plane wrote, draining for the delay, then not registered and not listed."""
    group, one = aws.group("life", delay=1), Address("10.244.0.5")
    aws.register(group, one)
    assert aws.health(group, one)["Reason"] == "Target.NotInUse"
    aws.rule(listener, 1, group, path("/life"))
    assert aws.health(group, one)["Reason"] == "Elb.RegistrationInProgress"
    record = next(g for g in snapshot(aws)["TargetGroups"] if g["TargetGroupArn"] == group)["Targets"][0]
    seen = {"State": "unhealthy", "Reason": "Target.Timeout", "Description": "Request timed out"}
    write(aws, {"TargetGroupArn": group, **one.id, "Since": record["Since"], **seen})
    assert aws.health(group, one) == seen
    stale = {"State": "healthy", "Reason": None, "Description": None}
    write(aws, {"TargetGroupArn": group, **one.id, "Since": record["Since"] - 1, **stale})
    assert aws.health(group, one)["State"] == "unhealthy", "a word about an earlier registration is not heard"
    aws.deregister(group, one, Address("10.244.0.99"))
    assert aws.health(group, one)["Reason"] == "Target.DeregistrationInProgress"
    assert len(listed(aws, group)) == 1
    until(lambda: aws.health(group, one) == {**NOT_REGISTERED}, 3)
    assert listed(aws, group) == []
    aws.register(group, one)
    assert aws.health(group, one)["State"] == "initial"


NOT_REGISTERED = {
    "State": "unused",
    "Reason": "Target.NotRegistered",
    "Description": "Target is not registered to the target group",
}


def write(aws: Aws, target: dict) -> None:
    httpx.put(f"{aws.url}/slipway/elbv2/health", json={"Targets": [target]}).raise_for_status()


def listed(aws: Aws, group: str) -> list:
    return aws.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]


def test_one_address_can_serve_on_two_ports(aws: Aws) -> None:
    """A target is an address and a port; leaving with one keeps the other."""
    group, first, second = aws.group("ports"), Address("10.244.0.6", 8000), Address("10.244.0.6", 8001)
    aws.register(group, first, second)
    aws.deregister(group, first)
    assert aws.health(group, first)["State"] == "draining"
    assert aws.health(group, second)["State"] == "unused"


class Bound(Cluster):
    """A cluster with one TargetGroupBinding, which remembers what it was told to restart."""

    def __init__(self, arn: str):
        super().__init__(None)
        object.__setattr__(self, "arn", arn)
        object.__setattr__(self, "restarted", [])

    def get(self, *arguments: str) -> dict:
        return {"items": [{"spec": {"targetGroupARN": self.arn}}]}

    def kubectl(self, *arguments: str | Path, **options: object) -> Result:
        self.restarted.append(arguments[-1])
        return Result((), 0, "", "")


def test_the_controller_is_restarted_when_the_api_forgot(aws: Aws) -> None:
    """Only then: a binding whose target group the API does not know; and the network is found by name."""
    assert loadbalancer.vpc_id(aws.url) == aws.vpc()
    known, lost = Bound(aws.group("known")), Bound("arn:aws:elasticloadbalancing:::targetgroup/lost/1")
    assert loadbalancer.heal(known, aws.url) is False
    assert loadbalancer.heal(lost, aws.url) is True
    assert (known.restarted, lost.restarted) == ([], ["deployment/aws-load-balancer-controller"])


def test_nothing_is_forgotten_when_it_is_killed(aws: Aws, listener: str, state: Path) -> None:
    """The same ids, load balancers, rules and targets after a kill; a state that cannot be read is kept aside."""
    group, one = aws.group("kept"), Address("10.244.0.7")
    aws.rule(listener, 9, group, path("/kept"))
    aws.register(group, one)
    vpc, before = aws.vpc(), snapshot(aws)
    aws.kill()
    aws.start()
    aws.ready()
    after = snapshot(aws)
    assert aws.vpc() == vpc
    assert after["Version"] != before["Version"]
    assert {**after, "Version": 0} == {**before, "Version": 0}
    assert aws.elb.describe_tags(ResourceArns=[group])["TagDescriptions"]
    subnets = aws.elb.describe_load_balancers(Names=["lab"])["LoadBalancers"][0]["AvailabilityZones"]
    assert len(subnets) == 2

    started = time.monotonic()
    assert aws.stop() == 0
    assert time.monotonic() - started < 5
    file = state / "aws" / "elbv2.pickle"
    assert file.stat().st_mode & 0o077 == 0
    file.write_bytes(b"not a pickle")
    aws.start()
    aws.ready()
    assert snapshot(aws)["LoadBalancers"] == []
    assert file.with_suffix(".unreadable").read_bytes() == b"not a pickle"
    assert aws.vpc() == vpc
    assert aws.group("kept") == group, "an ARN that follows from the name keeps the cluster's bindings valid"
