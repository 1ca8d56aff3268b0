"""Decides which target gets traffic now, and keeps each target in one server slot; pure.

A slot is a numbered `server` line of HAProxy. A target keeps its slot while connections may still use it, so that
its cookie, its counters and its connections survive whatever happens to the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.platform.alb.health import HEALTHY, UNHEALTHY, Health
from slipway.platform.alb.model import Model, Target, TargetGroup

TargetKey = tuple[str, str, int, float]
"""Target group ARN, address, port, registered at."""

SMALLEST = 8
LAG_LIMIT = 60
"""Seconds: the longest lag, and so how much longer than its delay a target that left stays in the snapshot."""


@dataclass(frozen=True)
class Server:
    """A slot: its target's address, if it has one, and whether new requests may go there."""

    name: str
    ip: str | None = None
    port: int = 0
    serving: bool = False


@dataclass(frozen=True)
class Decision:
    """What one target gets: new requests (`serving`), or only what it has; `until` is when that changes."""

    target: Target
    serving: bool
    until: float | None


def key(group: TargetGroup, target: Target) -> TargetKey:
    """The identity of one registration of a target."""
    return (group.arn, target.ip, target.port, target.since)


def decide(group: TargetGroup, health: Mapping[TargetKey, Health], now: float, lag: float) -> list[Decision]:
    """The targets that still hold connections, with what they get.

    A target that was deregistered keeps getting new requests for `lag` seconds, because so long a real load
    balancer takes to learn of it; from then on it keeps its connections for the deregistration delay.
    When no target is healthy, all unhealthy ones are used (an ALB fails open); new ones wait for their first pass.
    """
    present: list[tuple[Target, str, float | None]] = []
    for target in group.targets:
        seen = health.get(key(group, target))
        state = seen.state if seen else target.state
        if target.left is None:
            present.append((target, state, None))
        elif now < target.left + lag + group.delay:
            present.append((target, state, target.left))

    def reachable(left: float | None) -> bool:
        return left is None or now < left + lag

    wanted = HEALTHY if any(s == HEALTHY and reachable(left) for _, s, left in present) else UNHEALTHY
    decisions = []
    for target, state, left in present:
        serving = state == wanted and reachable(left)
        until = None if left is None else left + (lag if reachable(left) else lag + group.delay)
        decisions.append(Decision(target, serving, until))
    return decisions


@dataclass
class Slots:
    """Which target sits in which slot of one target group."""

    size: int = SMALLEST
    taken: dict[TargetKey, int] = field(default_factory=dict)

    def place(self, keys: list[TargetKey]) -> None:
        """Free the slots of targets that are gone and give new ones a slot, with more slots if they run out."""
        self.taken = {k: n for k, n in self.taken.items() if k in keys}
        while self.size < len(keys):
            self.size *= 2
        free = (n for n in range(self.size) if n not in set(self.taken.values()))
        for one in keys:
            if one not in self.taken:
                self.taken[one] = next(free)


@dataclass(frozen=True)
class Plan:
    """The servers of every target group by ARN, and when the plan must be made anew, if at all."""

    servers: dict[str, tuple[Server, ...]]
    until: float | None


def plan(
    model: Model, health: Mapping[TargetKey, Health], slots: dict[str, Slots], now: float, lag: float
) -> Plan:
    """The servers for this moment; `slots` is carried on from one call to the next."""
    servers, deadlines = {}, []
    for arn in set(slots) - {group.arn for group in model.groups}:
        del slots[arn]
    for group in model.groups:
        decisions = {key(group, d.target): d for d in decide(group, health, now, lag)}
        own = slots.setdefault(group.arn, Slots())
        own.place(list(decisions))
        row = [Server(f"t{n + 1}") for n in range(own.size)]
        for one, number in own.taken.items():
            target = decisions[one].target
            row[number] = Server(f"t{number + 1}", target.ip, target.port, decisions[one].serving)
        servers[group.arn] = tuple(row)
        deadlines += [d.until for d in decisions.values() if d.until is not None]
    return Plan(servers, min(deadlines, default=None))
