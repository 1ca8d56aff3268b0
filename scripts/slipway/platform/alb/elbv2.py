"""What moto's ELBv2 lacks: targets with the health that the data plane saw, and targets that drain.

moto calls every registered target healthy and forgets a deregistered one at once. `install` puts our target group
in its place. A target's record is `Id`, `Port`, `State` (initial, healthy, unhealthy), `Reason`, `Description`,
`Since` (registered at) and `Left` (deregistered at, or None), times in seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import Any

from moto.elbv2 import models
from moto.elbv2.utils import make_arn_for_target_group

from slipway.platform.alb.plan import LAG_LIMIT

_NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
_NOT_IN_USE = (
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
_DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
_REGISTERING = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")


class TargetGroup(models.FakeTargetGroup):
    """moto's target group with real target health; its ARN follows from its name, so that it survives a lost state."""

    def __init__(self, name: str, *args: Any, **kwargs: Any):
        super().__init__(name, *args, **kwargs)
        tg_id = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.arn = make_arn_for_target_group(self.account_id, tg_id, name, self.region_name)
        self.records: dict[str, dict[str, Any]] = {}

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """The targets that the API shows: registered, or draining until the deregistration delay is over."""
        now = time.time()
        return {
            key: record
            for key, record in self.records.items()
            if record["Left"] is None or now < record["Left"] + self.delay
        }

    @targets.setter
    def targets(self, value: dict[str, dict[str, Any]]) -> None:
        """moto's initial empty value; our records are kept apart."""

    @property
    def delay(self) -> float:
        """The deregistration delay in seconds."""
        return float(self.attributes["deregistration_delay.timeout_seconds"])

    def key(self, target: dict[str, Any]) -> str:
        """A target is an address and a port; the port defaults to the group's."""
        return f"{target['Id']}:{int(target.get('Port') or self.port)}"

    def register(self, targets: list[dict[str, Any]]) -> None:
        """New targets begin as initial; one that is registered already stays as it is."""
        self._forget()
        for target in targets:
            key = self.key(target)
            if key in self.records and self.records[key]["Left"] is None:
                continue
            port = int(target.get("Port") or self.port)
            record = {"Id": target["Id"], "Port": port, "Since": time.time(), "Left": None}
            self.records[key] = record | dict(
                zip(("State", "Reason", "Description"), _REGISTERING, strict=True)
            )

    def deregister(self, targets: list[dict[str, Any]]) -> None:
        """The targets drain from now on; an unknown one is no error, as with AWS."""
        self._forget()
        for target in targets:
            record = self.records.get(self.key(target))
            if record and record["Left"] is None:
                record["Left"] = time.time()

    def _forget(self) -> None:
        keep = time.time() - self.delay - LAG_LIMIT
        self.records = {k: r for k, r in self.records.items() if r["Left"] is None or r["Left"] > keep}

    def set_health(self, target: dict[str, Any]) -> None:
        """Take over what the data plane saw; a target that has left or was registered anew is not touched."""
        record = self.records.get(self.key(target))
        if record and record["Left"] is None and record["Since"] == target["Since"]:
            record.update({name: target[name] for name in ("State", "Reason", "Description")})

    def health_for(self, target: dict[str, Any], ec2_backend: Any) -> models.FakeHealthStatus:
        """The health of one target as DescribeTargetHealth shows it."""
        record = self.targets.get(self.key(target))
        if record is None:
            health = _NOT_REGISTERED
        elif record["Left"] is not None:
            health = _DRAINING
        elif record["State"] == "initial" and not self._in_use():
            health = _NOT_IN_USE
        else:
            health = (record["State"], record["Reason"], record["Description"])
        port = int(target.get("Port") or self.port)
        return models.FakeHealthStatus(target["Id"], str(port), self.health_check_port, *health)

    def _in_use(self) -> bool:
        return models.elbv2_backends[self.account_id][self.region_name]._any_listener_using(self.arn)


def install() -> None:
    """Make moto create our target groups from now on."""
    models.FakeTargetGroup = TargetGroup  # type: ignore[misc]


def snapshot(backend: models.ELBv2Backend) -> dict[str, Any]:
    """Everything the data plane needs, in the API's terms; plain data, ready for JSON."""
    return {
        "LoadBalancers": [_load_balancer(lb) for lb in backend.load_balancers.values()],
        "TargetGroups": [_target_group(tg) for tg in backend.target_groups.values()],
    }


def _load_balancer(lb: models.FakeLoadBalancer) -> dict[str, Any]:
    return {
        "LoadBalancerArn": lb.arn,
        "LoadBalancerName": lb.name,
        "Type": lb.type,
        "DNSName": lb.dns_name,
        "Attributes": {name: str(value) for name, value in lb.attrs.items()},
        "Listeners": [
            {
                "ListenerArn": listener.arn,
                "Port": int(listener.port),
                "Protocol": listener.protocol,
                "Certificates": listener.certificates,
                "Rules": [
                    {
                        "Priority": str(rule.priority),
                        "Conditions": rule.conditions,
                        "Actions": _actions(rule.actions),
                    }
                    for rule in listener.rules.values()
                ],
            }
            for listener in lb.listeners.values()
        ],
    }


def _actions(actions: Iterable[models.FakeAction]) -> list[dict[str, Any]]:
    return [action.data for action in actions]


def _target_group(tg: TargetGroup) -> dict[str, Any]:
    return {
        "TargetGroupArn": tg.arn,
        "TargetGroupName": tg.name,
        "TargetType": tg.target_type,
        "Protocol": tg.protocol,
        "ProtocolVersion": tg.protocol_version,
        "HealthCheckProtocol": tg.health_check_protocol,
        "HealthCheckPort": str(tg.health_check_port),
        "HealthCheckPath": tg.health_check_path,
        "HealthCheckIntervalSeconds": float(tg.health_check_interval_seconds),
        "HealthCheckTimeoutSeconds": float(tg.health_check_timeout_seconds),
        "HealthyThresholdCount": int(tg.healthy_threshold_count),
        "UnhealthyThresholdCount": int(tg.unhealthy_threshold_count),
        "Matcher": (getattr(tg, "matcher", None) or {}).get("HttpCode", "200"),
        "Attributes": {name: str(value) for name, value in tg.attributes.items()},
        "Targets": list(tg.records.values()),
    }
