"""Which target gets traffic at which moment, and in which slot."""

from __future__ import annotations

from dataclasses import replace

from slipway.platform.alb.health import CHECKING, Health, HealthCheck
from slipway.platform.alb.model import Model, Target, TargetGroup
from slipway.platform.alb.plan import Plan, Slots, key, plan

LAG, DELAY = 5.0, 30.0
CHECK = HealthCheck(False, None, "/", 5, 2, 5, 2, "200")
GOOD, BAD = Health("healthy"), Health("unhealthy")


def target(number: int, left: float | None = None, state: str = "healthy") -> Target:
    return Target(f"10.244.0.{number}", 8000, 1.0, left, state, None)


def planned(
    targets: dict[Target, Health],
    now: float = 100.0,
    slots: dict[str, Slots] | None = None,
    delay: float = DELAY,
) -> Plan:
    group = TargetGroup("arn", "board", False, "roundrobin", delay, None, 60, CHECK, tuple(targets))
    health = {key(group, one): seen for one, seen in targets.items()}
    return plan(Model(groups=(group,)), health, {} if slots is None else slots, now, LAG)


def states(made: Plan) -> dict[str, bool]:
    """Address to whether it gets new requests, of the slots that are taken."""
    return {server.ip: server.serving for server in made.servers["arn"] if server.ip}


def test_only_healthy_targets_get_requests() -> None:
    """New and unhealthy ones wait as long as one is healthy."""
    made = planned({target(1): GOOD, target(2): BAD, target(3): CHECKING})
    assert states(made) == {"10.244.0.1": True, "10.244.0.2": False, "10.244.0.3": False}
    assert made.until is None


def test_without_a_healthy_target_the_unhealthy_ones_are_used() -> None:
    """An ALB fails open, but a target that never passed a check is not used."""
    assert states(planned({target(1): BAD, target(2): CHECKING})) == {"10.244.0.1": True, "10.244.0.2": False}


def test_a_target_that_left_gets_requests_for_the_lag_and_keeps_connections_for_the_delay() -> None:
    """Serving until the lag is over, then connected for the deregistration delay, then gone; the plan says when."""
    targets = {target(1, left=100.0): GOOD, target(2): GOOD}
    row = [planned(targets, now) for now in (100.0, 104.9, 105.0, 134.9, 135.0)]
    assert [states(made).get("10.244.0.1") for made in row] == [True, True, False, False, None]
    assert [made.until for made in row] == [105.0, 105.0, 135.0, 135.0, None]


def test_a_lag_longer_than_the_delay_holds_the_target() -> None:
    """With a delay of 0 the target still gets requests until the load balancer learns of it."""
    targets = {target(1, left=100.0): GOOD, target(2): GOOD}
    assert states(planned(targets, 104.9, delay=0))["10.244.0.1"] is True
    assert "10.244.0.1" not in states(planned(targets, 105.0, delay=0))


def test_a_request_that_the_lag_let_in_has_the_whole_delay() -> None:
    """The load balancer counts the delay from when it learns: else it would cut what it has only just sent."""
    targets = {target(1, left=100.0): GOOD, target(2): GOOD}
    assert states(planned(targets, 107.9, delay=3))["10.244.0.1"] is False
    assert "10.244.0.1" not in states(planned(targets, 108.0, delay=3))


def test_a_target_that_left_unchecked_keeps_the_state_it_had() -> None:
    """A data plane that starts after the deregistration goes by the state that the API kept."""
    gone = target(1, left=100.0, state="unhealthy")
    group = TargetGroup("arn", "board", False, "roundrobin", DELAY, None, 60, CHECK, (gone, target(2)))
    made = plan(Model(groups=(group,)), {}, {}, 101.0, LAG)
    assert states(made) == {"10.244.0.1": False, "10.244.0.2": True}


def test_a_target_keeps_its_slot_while_others_come_and_go() -> None:
    """A slot is given again only when its target holds no connection any more."""
    slots: dict[str, Slots] = {}
    planned({target(1): GOOD, target(2): GOOD}, slots=slots)
    made = planned({target(2): GOOD, target(3): GOOD}, slots=slots)
    assert [server.ip for server in made.servers["arn"][:2]] == ["10.244.0.3", "10.244.0.2"]
    again = replace(target(2), since=2.0)
    assert planned({again: GOOD}, slots=slots).servers["arn"][0].ip == "10.244.0.2"


def test_more_targets_than_slots_make_more_slots() -> None:
    """Nothing is left out; the number of slots only grows."""
    slots: dict[str, Slots] = {}
    assert len(planned({target(1): GOOD}, slots=slots).servers["arn"]) == 8
    many = planned({target(n): GOOD for n in range(9)}, slots=slots)
    assert (len(many.servers["arn"]), len(states(many))) == (16, 9)
    assert len(planned({target(1): GOOD}, slots=slots).servers["arn"]) == 16
