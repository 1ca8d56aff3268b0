"""Reading the ELBv2 state: what is understood, and that everything else is reported."""

from __future__ import annotations

from typing import Any

import pytest
from slipway.errors import InvalidInput
from slipway.platform.alb.__main__ import parse_ports
from slipway.platform.alb.model import Fixed, Forward, Model
from slipway.platform.alb.reader import Reader

CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/c1"


def forward(*arns: str, **more: Any) -> dict[str, Any]:
    config = {
        "TargetGroups": [{"TargetGroupArn": arn, "Weight": n + 1} for n, arn in enumerate(arns)],
        **more,
    }
    return {"Type": "forward", "ForwardConfig": config}


def listener(**changes: Any) -> dict[str, Any]:
    rule = {"Priority": "default", "Conditions": [], "Actions": [forward("tg1")]}
    return {"Port": 80, "Protocol": "HTTP", "Certificates": [], "Rules": [rule], **changes}


def balancer(**changes: Any) -> dict[str, Any]:
    return {
        "LoadBalancerArn": "lb1",
        "LoadBalancerName": "lab",
        "Type": "application",
        "DNSName": "lab.example.org",
        "Attributes": {},
        "Listeners": [listener()],
        **changes,
    }


def group(**changes: Any) -> dict[str, Any]:
    target = {
        "Id": "10.244.0.5",
        "Port": 8000,
        "Since": 1.0,
        "Left": None,
        "State": "healthy",
        "Reason": None,
    }
    return {
        "TargetGroupArn": "tg1",
        "TargetGroupName": "board",
        "TargetType": "ip",
        "Protocol": "HTTP",
        "ProtocolVersion": "HTTP1",
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckPath": "/healthz",
        "HealthCheckIntervalSeconds": 15.0,
        "HealthCheckTimeoutSeconds": 5.0,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Matcher": "200",
        "Attributes": {"deregistration_delay.timeout_seconds": "30"},
        "Targets": [target],
        **changes,
    }


def read(lb: dict[str, Any] | None = None, tg: dict[str, Any] | None = None) -> Model:
    snapshot = {"LoadBalancers": [lb or balancer()], "TargetGroups": [tg or group()]}
    return Reader({("lab", 80): 8080}).read(snapshot)


def reported(model: Model) -> list[tuple[str, str]]:
    return [(entry.resource, entry.feature) for entry in model.unsupported]


def test_what_the_controller_writes_is_understood_entirely() -> None:
    """The attributes that our Ingress sets leave nothing to report."""
    sticky = {
        "stickiness.enabled": "true",
        "stickiness.type": "lb_cookie",
        "stickiness.lb_cookie.duration_seconds": "9",
    }
    delay = {"deregistration_delay.timeout_seconds": "30", "load_balancing.algorithm.type": "round_robin"}
    model = read(
        balancer(Attributes={"idle_timeout.timeout_seconds": "120", "deletion_protection.enabled": "false"}),
        group(Attributes={**sticky, **delay}),
    )
    assert reported(model) == []
    assert (model.load_balancers[0].idle, model.groups[0].idle) == (120, 120)
    assert (model.groups[0].delay, model.groups[0].stickiness, model.groups[0].balance) == (
        30,
        9,
        "roundrobin",
    )
    assert model.groups[0].targets[0].ip == "10.244.0.5"


@pytest.mark.parametrize(
    ("lb", "tg", "resource", "feature"),
    [
        (balancer(Type="network"), None, "lab", "load balancer type network"),
        (
            balancer(Attributes={"access_logs.s3.enabled": "true"}),
            None,
            "lab",
            "attribute access_logs.s3.enabled=true",
        ),
        (balancer(Attributes={"brand.new": "x"}), None, "lab", "attribute brand.new=x"),
        (
            balancer(Listeners=[listener(Port=81)]),
            None,
            "lab:81",
            "no local port is assigned to this listener",
        ),
        (
            balancer(Listeners=[listener(Protocol="HTTPS", Certificates=[CERTIFICATE])]),
            None,
            "lab:80",
            f"TLS without a local certificate for {CERTIFICATE}",
        ),
        (None, group(TargetType="instance"), "board", "TargetType instance"),
        (None, group(TargetType="lambda"), "board", "TargetType lambda"),
        (None, group(ProtocolVersion="GRPC"), "board", "ProtocolVersion GRPC"),
        (None, group(HealthCheckProtocol="TCP"), "board", "HealthCheckProtocol TCP"),
        (
            None,
            group(Attributes={**group()["Attributes"], "slow_start.duration_seconds": "30"}),
            "board",
            "attribute slow_start.duration_seconds=30",
        ),
        (
            None,
            group(Attributes={**group()["Attributes"], "load_balancing.algorithm.type": "weighted_random"}),
            "board",
            "attribute load_balancing.algorithm.type=weighted_random",
        ),
        (
            None,
            group(
                Attributes={
                    **group()["Attributes"],
                    "stickiness.enabled": "true",
                    "stickiness.type": "app_cookie",
                }
            ),
            "board",
            "attribute stickiness.type=app_cookie",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_done_is_reported(lb: dict | None, tg: dict | None, resource: str, feature: str) -> None:
    """Each with the resource that asks for it."""
    assert reported(read(lb, tg)) == [(resource, feature)]


def rules(*given: dict[str, Any]) -> Model:
    return read(balancer(Listeners=[listener(Rules=list(given))]))


def test_rules_come_in_the_order_of_their_priority() -> None:
    """As numbers, not as text, and the default last."""
    action = [forward("tg1")]
    given = [{"Priority": p, "Conditions": [], "Actions": action} for p in ("default", "10", "9", "2")]
    assert [rule.number for rule in rules(*given).load_balancers[0].listeners[0].rules] == [2, 9, 10, None]


def test_a_rule_with_an_unknown_action_is_refused_not_forwarded() -> None:
    """Authentication that cannot be done must not become open access."""
    model = rules(
        {"Priority": "3", "Conditions": [], "Actions": [{"Type": "authenticate-cognito"}, forward("tg1")]}
    )
    action = model.load_balancers[0].listeners[0].rules[0].action
    assert isinstance(action, Fixed) and action.status == 501
    assert reported(model) == [("lab:80 rule 3", "action authenticate-cognito")]


def test_a_rule_with_an_unknown_condition_is_left_out() -> None:
    """It is not known which requests it means, so it decides none."""
    rule = {
        "Priority": "3",
        "Conditions": [{"Field": "moon-phase", "Values": ["full"]}],
        "Actions": [forward("tg1")],
    }
    model = rules(rule)
    assert model.load_balancers[0].listeners[0].rules == ()
    assert reported(model) == [("lab:80 rule 3", "condition moon-phase")]


def test_weights_are_kept_and_stickiness_between_groups_is_reported() -> None:
    """Two groups share a rule by weight."""
    sticky = {"TargetGroupStickinessConfig": {"Enabled": "true"}}
    model = rules({"Priority": "1", "Conditions": [], "Actions": [forward("tg1", "tg2", **sticky)]})
    assert model.load_balancers[0].listeners[0].rules[0].action == Forward((("tg1", 1), ("tg2", 2)))
    assert reported(model) == [("lab:80 rule 1", "stickiness between target groups")]


def test_ports_are_assigned_by_name_and_listener() -> None:
    """The listener's port is 80 unless it is said; what cannot be read is refused with an example."""
    assert parse_ports("a=8080, b:443=8443") == {("a", 80): 8080, ("b", 443): 8443}
    for wrong in ("a", "a=", "=8080", "a=x", "a:x=1", ""):
        with pytest.raises(InvalidInput, match="port assignment"):
            parse_ports(wrong)
