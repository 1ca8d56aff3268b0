"""A load balancer laboratory on loopback: the AWS API, the data plane and small targets, all real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
from alb_targets import Target, free_port
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


def until(true: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait until the callable gives something true and return it; fails after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError, BotoCoreError, ClientError, OSError, ValueError):
            if result := true():
                return result
        time.sleep(0.05)
    raise AssertionError(f"not true within {seconds} s")


class Process:
    """A module of ours, run as the platform runs it."""

    def __init__(self, module: str, *arguments: str, log: Path):
        self.argv = [sys.executable, "-m", module, *arguments]
        self.log = log
        self.start()

    def start(self) -> None:
        with self.log.open("a") as sink:
            self.process = subprocess.Popen(self.argv, stdout=sink, stderr=sink)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=10)


class Aws(Process):
    """The AWS API, and the calls that the controller makes."""

    def __init__(self, state: Path):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ("--bind", "127.0.0.1", "--port", str(self.port), "--state", str(state))
        super().__init__("slipway.platform.aws", *arguments, log=state / "aws.log")
        options = {"endpoint_url": self.url, "region_name": "eu-central-1"}
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        # AWS wants at least 5 s between health checks; the tests cannot wait for that.
        short = Config(parameter_validation=False)
        self.elb = boto3.client("elbv2", config=short, **options, **keys)
        self.ec2 = boto3.client("ec2", **options, **keys)
        self.ready()

    def ready(self) -> None:
        until(lambda: httpx.get(f"{self.url}/slipway/elbv2").is_success, 30)

    def vpc(self) -> str:
        return self.ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["slipway"]}])["Vpcs"][0][
            "VpcId"
        ]

    def group(self, name: str, *, delay: float = 3, health: str = "/healthz", **attributes: str) -> str:
        """A target group for addresses, probed every 2 s; returns its ARN."""
        arn = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            ProtocolVersion="HTTP1",
            Port=80,
            VpcId=self.vpc(),
            TargetType="ip",
            HealthCheckPath=health,
            HealthCheckIntervalSeconds=2,
            HealthCheckTimeoutSeconds=1,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
            Matcher={"HttpCode": "200"},
        )["TargetGroups"][0]["TargetGroupArn"]
        values = {"deregistration_delay.timeout_seconds": str(delay), **attributes}
        pairs = [{"Key": key, "Value": value} for key, value in values.items()]
        self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=pairs)
        return arn

    def balancer(self, name: str, idle: int = 60) -> str:
        """A load balancer that drops invalid headers, its port 80 answers 404 by default; the listener's ARN."""
        tagged = [{"Name": "tag:kubernetes.io/role/elb", "Values": ["", "1"]}]
        subnets = self.ec2.describe_subnets(Filters=tagged)["Subnets"]
        ids = [subnet["SubnetId"] for subnet in subnets]
        arn = self.elb.create_load_balancer(Name=name, Subnets=ids)["LoadBalancers"][0]["LoadBalancerArn"]
        values = {
            "idle_timeout.timeout_seconds": str(idle),
            "routing.http.drop_invalid_header_fields.enabled": "true",
        }
        pairs = [{"Key": key, "Value": value} for key, value in values.items()]
        self.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=pairs)
        default = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
        created = self.elb.create_listener(
            LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[default]
        )
        return created["Listeners"][0]["ListenerArn"]

    def rule(self, listener: str, priority: int, action: dict | str, *conditions: dict) -> str:
        """A rule; an action that is text is the ARN of a target group."""
        if isinstance(action, str):
            action = {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": action}]}}
        created = self.elb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=list(conditions), Actions=[action]
        )
        return created["Rules"][0]["RuleArn"]

    def register(self, group: str, *targets: Target) -> None:
        self.elb.register_targets(TargetGroupArn=group, Targets=[target.id for target in targets])

    def deregister(self, group: str, *targets: Target) -> None:
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[target.id for target in targets])

    def health(self, group: str, target: Target) -> dict[str, str]:
        """`State`, `Reason` and `Description` as the controller reads them."""
        answer = self.elb.describe_target_health(TargetGroupArn=group, Targets=[target.id])
        return answer["TargetHealthDescriptions"][0]["TargetHealth"]

    def serve(self, group: str, *targets: Target) -> None:
        """Register the targets and wait until they are healthy."""
        self.register(group, *targets)
        for target in targets:
            until(lambda target=target: self.health(group, target)["State"] == "healthy")


def path(*values: str) -> dict:
    """A path-pattern condition."""
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}


def fixed(status: int, body: str = "") -> dict:
    """A fixed-response action."""
    config = {"StatusCode": str(status), "ContentType": "text/plain", "MessageBody": body}
    return {"Type": "fixed-response", "FixedResponseConfig": config}


class Lab:
    """The AWS API and the data plane with the load balancers `lab` and `lab-short`, which has 1 s of idle time."""

    LAG = 1.0

    def __init__(self, state: Path):
        self.state = state
        self.aws = Aws(state)
        ports = {"lab": free_port(), "lab-short": free_port()}
        self.url = f"http://127.0.0.1:{ports['lab']}"
        self.short = f"http://127.0.0.1:{ports['lab-short']}"
        self.metrics = free_port()
        self.alb = Process(
            "slipway.platform.alb",
            *("--aws-url", self.aws.url, "--state", str(state), "--learn-lag", str(self.LAG)),
            *("--ports", ",".join(f"{name}={port}" for name, port in ports.items())),
            *("--metrics-port", str(self.metrics)),
            log=state / "alb.log",
        )
        self.listener = self.aws.balancer("lab")
        self.short_listener = self.aws.balancer("lab-short", idle=1)
        until(lambda: httpx.get(self.url).status_code == 404)

    def status(self) -> dict[str, Any]:
        return json.loads((self.state / "alb" / "status.json").read_text())

    def reloads(self) -> int:
        return self.status()["reloads"]

    def haproxy(self) -> list[int]:
        """The pids of HAProxy's master and workers, whoever started them."""
        pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if self._is_haproxy(pid)]

    def masters(self) -> list[int]:
        """Those of them that no other one of them started."""
        pids = self.haproxy()
        return [pid for pid in pids if int(_stat(pid)[1]) not in pids]

    def _is_haproxy(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            return arguments[0].endswith("haproxy") and str(self.state / "alb" / "haproxy.cfg") in arguments
        return False

    def stop(self) -> None:
        for process in (self.alb, self.aws):
            process.stop()


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state and its parent on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def lab(state: Path) -> Iterator[Lab]:
    """A laboratory whose processes end with the block."""
    os.environ.pop("http_proxy", None)
    one = Lab(state)
    try:
        yield one
    finally:
        one.stop()
