"""Fact 1.13: an Ingress in another namespace's load balancer, or in its own before the paths of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Overlay
from slipway.rules import Rule
from slipway.rules._facts import alb_annotations, facts, number, routes

_LAST = 1000
"""The largest order that every version of the controller takes."""


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every foreign group, and every order that stops the controller or hides the paths of other Ingresses."""
    members = {one.key: (one, alb_annotations(one)) for one in facts(overlay).load_balancers}
    orders = Counter(
        (given["group.name"], given["group.order"])
        for _, given in members.values()
        if {"group.name", "group.order"} <= given.keys()
    )
    for ingress, given in members.values():
        group, order = given.get("group.name"), given.get("group.order")
        if group is None:
            continue
        if group != ingress.namespace:
            yield RULE.on(ingress, f"it is in the group {group}, and in the namespace {ingress.namespace}")
        if order is not None and not 1 <= (number(order) or 0) <= _LAST:
            fix = f"state a number from 1 to {_LAST}, or none"
            yield RULE.on(ingress, f"group.order is {order}, not a number from 1 to {_LAST}", fix)
        elif orders[group, order] > 1:
            yield RULE.on(ingress, f"another Ingress has the group.order {order} too", "give each its own")
        elif _takes_everything(ingress) and number(order) != _LAST:
            fix = f'annotate it with alb.ingress.kubernetes.io/group.order: "{_LAST}"'
            yield RULE.on(ingress, "its path / comes before the paths of others in the group", fix)


def _takes_everything(ingress: Object) -> bool:
    return any(route.path in ("/", "/*") and route.path_type != "Exact" for route in routes(ingress))


RULE = Rule(
    id="ingress-group",
    why="Whoever is in a group adds rules to its load balancer, so a foreign or misplaced Ingress takes requests of others.",
    fix="annotate the Ingress with alb.ingress.kubernetes.io/group.name: the name of its namespace",
    link="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/#ingressgroup",
    check=check,
)
