"""Reads the model from a snapshot of the ELBv2 state; pure.

What this data plane does not do is never dropped in silence: it becomes an `Unsupported` entry, and a rule whose
action cannot be carried out answers 501 instead of something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slipway.platform.alb.health import HealthCheck
from slipway.platform.alb.model import (
    Action,
    Condition,
    Fixed,
    Forward,
    Listener,
    LoadBalancer,
    Model,
    Redirect,
    Rule,
    Target,
    TargetGroup,
    Unsupported,
)

Raw = Mapping[str, Any]

_ANY = None
"""As an expected value: whatever it is, it has no effect on this data plane."""

_LB_ATTRIBUTES = {
    "idle_timeout.timeout_seconds": _ANY,
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": _ANY,
    "access_logs.s3.prefix": _ANY,
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": _ANY,
    "connection_logs.s3.prefix": _ANY,
    "deletion_protection.enabled": _ANY,
    "dns_record.client_routing_policy": _ANY,
    "health_check_logs.s3.enabled": "false",
    "health_check_logs.s3.prefix": _ANY,
    "ipv6.deny_all_igw_traffic": _ANY,
    "load_balancing.cross_zone.enabled": _ANY,
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": _ANY,
    "routing.http.preserve_host_header.enabled": _ANY,
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": _ANY,
    "secondary_ips.auto_assigned.per_subnet": _ANY,
    "waf.fail_open.enabled": _ANY,
    "zonal_shift.config.enabled": _ANY,
}
_TG_ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": _ANY,
    "load_balancing.algorithm.anomaly_mitigation": "off",
    "load_balancing.cross_zone.enabled": _ANY,
    "slow_start.duration_seconds": "0",
    "stickiness.app_cookie.cookie_name": _ANY,
    "stickiness.app_cookie.duration_seconds": _ANY,
    "stickiness.enabled": _ANY,
    "stickiness.lb_cookie.duration_seconds": _ANY,
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "waf.fail_open.enabled": _ANY,
}
_BALANCE = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn"}
_FIELDS = ("host-header", "http-header", "http-request-method", "path-pattern", "query-string", "source-ip")
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]*")


class Reader:
    """Reads one snapshot; `ports` is (load balancer name, listener port) to local port, `certificates` known ARNs."""

    def __init__(self, ports: Mapping[tuple[str, int], int], certificates: frozenset[str] = frozenset()):
        self.ports = ports
        self.certificates = certificates
        self.unsupported: dict[Unsupported, None] = {}

    def read(self, snapshot: Raw) -> Model:
        """The model of a snapshot as `elbv2.snapshot` makes it."""
        balancers = [self._load_balancer(raw) for raw in snapshot["LoadBalancers"] if self._application(raw)]
        idle: dict[str, float] = {}
        for balancer in balancers:
            for listener in balancer.listeners:
                for rule in listener.rules:
                    if isinstance(rule.action, Forward):
                        idle |= {arn: balancer.idle for arn, _ in rule.action.groups}
        used = [raw for raw in snapshot["TargetGroups"] if raw["TargetGroupArn"] in idle]
        groups = [self._group(raw, idle[raw["TargetGroupArn"]]) for raw in used]
        return Model(tuple(balancers), tuple(groups), tuple(self.unsupported))

    def _report(self, resource: str, feature: str) -> None:
        self.unsupported[Unsupported(resource, feature)] = None

    def _application(self, raw: Raw) -> bool:
        if raw["Type"] != "application":
            self._report(raw["LoadBalancerName"], f"load balancer type {raw['Type']}")
        return raw["Type"] == "application"

    def _attributes(self, resource: str, actual: Mapping[str, str], known: Mapping[str, str | None]) -> None:
        for name, value in actual.items():
            if name not in known or known[name] not in (_ANY, value):
                self._report(resource, f"attribute {name}={value}")

    def _load_balancer(self, raw: Raw) -> LoadBalancer:
        name, attributes = raw["LoadBalancerName"], raw["Attributes"]
        self._attributes(name, attributes, _LB_ATTRIBUTES)
        idle = float(attributes.get("idle_timeout.timeout_seconds", 60))
        listeners = [self._listener(name, listener) for listener in raw["Listeners"]]
        known = tuple(listener for listener in listeners if listener)
        strict = attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true"
        return LoadBalancer(raw["LoadBalancerArn"], name, raw["DNSName"], idle, known, strict)

    def _listener(self, name: str, raw: Raw) -> Listener | None:
        port, where = raw["Port"], f"{name}:{raw['Port']}"
        local = self.ports.get((name, port))
        certificate = raw["Certificates"][0] if raw["Protocol"] == "HTTPS" else None
        if local is None:
            self._report(where, "no local port is assigned to this listener")
            return None
        if certificate and certificate not in self.certificates:
            self._report(where, f"TLS without a local certificate for {certificate}")
            return None
        numbered = [r for r in raw["Rules"] if r["Priority"] != "default"]
        default = [r for r in raw["Rules"] if r["Priority"] == "default"]
        ordered = [*sorted(numbered, key=lambda r: int(r["Priority"])), *default]
        rules = [self._rule(where, rule) for rule in ordered]
        return Listener(port, local, certificate, tuple(rule for rule in rules if rule))

    def _rule(self, where: str, raw: Raw) -> Rule | None:
        number = None if raw["Priority"] == "default" else int(raw["Priority"])
        resource = f"{where} rule {raw['Priority']}"
        conditions = [self._condition(resource, condition) for condition in raw["Conditions"]]
        known = tuple(condition for condition in conditions if condition)
        if len(known) < len(conditions):
            return None
        return Rule(number, known, self._action(resource, raw["Actions"]))

    def _condition(self, resource: str, raw: Raw) -> Condition | None:
        """None, and the rule is left out, when it cannot be told which requests are meant."""
        field = raw["Field"]
        key = "".join(word.capitalize() for word in field.split("-")) + "Config"
        config = raw.get(key) or {"Values": raw.get("Values", [])}
        values = config["Values"]
        if field == "query-string":
            values = [(value.get("Key"), value["Value"]) for value in values]
        name = config.get("HttpHeaderName", "")
        if field not in _FIELDS or not _HEADER_NAME.fullmatch(name):
            self._report(resource, f"condition {field} {name}".strip())
            return None
        return Condition(field, tuple(values), name)

    def _action(self, resource: str, actions: list[Raw]) -> Action:
        for action in actions:
            if action["Type"] not in ("forward", "fixed-response", "redirect"):
                return self._refuse(resource, f"action {action['Type']}")
        action = actions[-1]
        if action["Type"] == "fixed-response":
            fixed = action["FixedResponseConfig"]
            content_type = fixed.get("ContentType") or "text/plain"
            return Fixed(int(fixed["StatusCode"]), content_type, fixed.get("MessageBody") or "")
        if action["Type"] == "redirect":
            raw = action["RedirectConfig"]
            status = int(raw["StatusCode"].removeprefix("HTTP_"))
            parts = [raw.get(p.capitalize()) or f"#{{{p}}}" for p in ("protocol", "host", "port")]
            return Redirect(status, *parts, raw.get("Path") or "/#{path}", raw.get("Query", "#{query}"))
        return self._forward(resource, action)

    def _refuse(self, resource: str, feature: str) -> Fixed:
        self._report(resource, feature)
        return Fixed(501, "text/plain", f"{feature} is not supported by the local load balancer")

    def _forward(self, resource: str, action: Raw) -> Forward:
        config = action.get("ForwardConfig") or {
            "TargetGroups": [{"TargetGroupArn": action["TargetGroupArn"]}]
        }
        groups = [(g["TargetGroupArn"], int(g.get("Weight", 1))) for g in config["TargetGroups"]]
        sticky = config.get("TargetGroupStickinessConfig", {}).get("Enabled")
        if len(groups) > 1 and str(sticky).lower() == "true":
            self._report(resource, "stickiness between target groups")
        return Forward(tuple(groups) if len(groups) > 1 else ((groups[0][0], 1),))

    def _group(self, raw: Raw, idle: float) -> TargetGroup:
        name, attributes = raw["TargetGroupName"], dict(raw["Attributes"])
        algorithm = attributes.pop("load_balancing.algorithm.type", "round_robin")
        if algorithm not in _BALANCE:
            self._report(name, f"attribute load_balancing.algorithm.type={algorithm}")
        kind = attributes.pop("stickiness.type", "lb_cookie")
        sticky = attributes.get("stickiness.enabled") == "true"
        if sticky and kind != "lb_cookie":
            self._report(name, f"attribute stickiness.type={kind}")
        self._attributes(name, attributes, _TG_ATTRIBUTES)
        served = self._served(raw)
        seconds = float(attributes.get("stickiness.lb_cookie.duration_seconds", 86400))
        return TargetGroup(
            arn=raw["TargetGroupArn"],
            name=name,
            tls=raw["Protocol"] == "HTTPS",
            balance=_BALANCE.get(algorithm, "roundrobin"),
            delay=float(attributes["deregistration_delay.timeout_seconds"]),
            stickiness=seconds if sticky and kind == "lb_cookie" else None,
            idle=idle,
            check=HealthCheck.read(raw),
            targets=tuple(_target(target) for target in raw["Targets"]) if served else (),
        )

    def _served(self, raw: Raw) -> bool:
        wanted = {"TargetType": "ip", "ProtocolVersion": "HTTP1"}
        wrong = [f"{name} {raw[name]}" for name, value in wanted.items() if raw[name] not in (value, None)]
        for name in ("Protocol", "HealthCheckProtocol"):
            if raw[name] not in ("HTTP", "HTTPS"):
                wrong.append(f"{name} {raw[name]}")
        for feature in wrong:
            self._report(raw["TargetGroupName"], feature)
        return not wrong


def _target(raw: Raw) -> Target:
    return Target(raw["Id"], raw["Port"], raw["Since"], raw["Left"], raw["State"], raw["Reason"])
