"""The status file: each load balancer with its local address, rules and targets, and what is not supported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway.platform.alb.config import ADDRESS
from slipway.platform.alb.health import Health
from slipway.platform.alb.model import (
    Action,
    Condition,
    Fixed,
    Forward,
    Listener,
    Model,
    Redirect,
    TargetGroup,
)
from slipway.platform.alb.plan import Plan, TargetKey, key


def document(
    model: Model, health: Mapping[TargetKey, Health], plan: Plan, lag: float, reloads: int, error: str | None
) -> dict[str, Any]:
    """The status as plain data; `error` is why the latest configuration is not in force, if it is not."""
    names = {group.arn: group.name for group in model.groups}
    return {
        "error": error,
        "lag_seconds": lag,
        "reloads": reloads,
        "load_balancers": [
            {
                "name": lb.name,
                "arn": lb.arn,
                "dns_name": lb.dns_name,
                "listeners": [_listener(listener, names) for listener in lb.listeners],
            }
            for lb in model.load_balancers
        ],
        "target_groups": [_group(group, health, plan) for group in model.groups],
        "unsupported": [{"resource": u.resource, "feature": u.feature} for u in model.unsupported],
    }


def _listener(listener: Listener, names: Mapping[str, str]) -> dict[str, Any]:
    scheme = "https" if listener.certificate else "http"
    return {
        "port": listener.port,
        "url": f"{scheme}://{ADDRESS}:{listener.local}",
        "rules": [
            {
                "priority": rule.number or "default",
                "conditions": [_condition(condition) for condition in rule.conditions],
                "action": _action(rule.action, names),
            }
            for rule in listener.rules
        ],
    }


def _condition(condition: Condition) -> str:
    values = [v if isinstance(v, str) else "=".join(part or "*" for part in v) for v in condition.values]
    return " ".join(filter(None, (condition.field, condition.name, " or ".join(values))))


def _action(action: Action, names: Mapping[str, str]) -> str:
    match action:
        case Forward(groups):
            return "forward to " + ", ".join(f"{names.get(arn, arn)} ({weight})" for arn, weight in groups)
        case Fixed(status):
            return f"answer {status}"
        case Redirect(status, protocol, host, port, path, query):
            return f"redirect {status} to {protocol}://{host}:{port}{path}?{query}"


def _group(group: TargetGroup, health: Mapping[TargetKey, Health], plan: Plan) -> dict[str, Any]:
    """The group with the targets that still hold connections; `serving` is whether new requests go there."""
    slots = {(s.ip, s.port): s.serving for s in plan.servers.get(group.arn, ()) if s.ip}
    targets = []
    for target in group.targets:
        if (target.ip, target.port) not in slots:
            continue
        seen = health[key(group, target)]
        state = seen.state if target.left is None else "draining"
        entry = {"id": target.ip, "port": target.port, "state": state, "reason": seen.reason}
        targets.append(entry | {"serving": slots[target.ip, target.port]})
    return {"name": group.name, "arn": group.arn, "targets": targets}


def write(file: Path, content: dict[str, Any], now: datetime) -> None:
    """Replace the file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({"updated": now.isoformat(timespec="seconds"), **content}, indent=1) + "\n")
    partial.rename(file)
