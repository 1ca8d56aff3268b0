"""What the data plane is to do, in plain terms: load balancers, listeners, rules, target groups, targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.platform.alb.health import HealthCheck


@dataclass(frozen=True)
class Unsupported:
    """Something asked for that this data plane does not do."""

    resource: str
    feature: str


@dataclass(frozen=True)
class Condition:
    """One condition of a rule; it holds when any value matches. `name` is the header's, for http-header.

    The values of a query-string condition are pairs of key (or None) and value.
    """

    field: str
    values: tuple[Any, ...]
    name: str = ""


@dataclass(frozen=True)
class Forward:
    """Send to target groups (ARN, weight)."""

    groups: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Fixed:
    """Answer without a target."""

    status: int
    content_type: str
    body: str


@dataclass(frozen=True)
class Redirect:
    """Answer with a Location; the parts may hold `#{host}` and the like."""

    status: int
    protocol: str
    host: str
    port: str
    path: str
    query: str


Action = Forward | Fixed | Redirect


@dataclass(frozen=True)
class Rule:
    """A listener's rule; the default rule has no number and no conditions."""

    number: int | None
    conditions: tuple[Condition, ...]
    action: Action


@dataclass(frozen=True)
class Listener:
    """A port of a load balancer; `local` is the port it has on 127.0.0.1, `certificate` the TLS one's ARN."""

    port: int
    local: int
    certificate: str | None
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class LoadBalancer:
    """A load balancer; `idle` in seconds, `strict` drops header fields with names that are not letters, digits, `-`."""

    arn: str
    name: str
    dns_name: str
    idle: float
    listeners: tuple[Listener, ...]
    strict: bool = False


@dataclass(frozen=True)
class Target:
    """An address and port as the API has it: `left` is when it was deregistered, in seconds since the epoch."""

    ip: str
    port: int
    since: float
    left: float | None
    state: str
    reason: str | None


@dataclass(frozen=True)
class TargetGroup:
    """A target group that some rule uses; `delay`, `stickiness` and `idle` in seconds."""

    arn: str
    name: str
    tls: bool
    balance: str
    delay: float
    stickiness: float | None
    idle: float
    check: HealthCheck
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Model:
    """Everything the data plane is to do."""

    load_balancers: tuple[LoadBalancer, ...] = ()
    groups: tuple[TargetGroup, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
