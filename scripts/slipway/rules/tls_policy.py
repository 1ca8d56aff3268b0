"""Fact 1.11: a load balancer that takes HTTPS with the policy of 2016, or also answers without it."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import alb_annotations, facts

_CURRENT = ("ELBSecurityPolicy-TLS13-", "ELBSecurityPolicy-FS-1-2-")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every Ingress with HTTPS and no current policy, or with HTTP beside it and no redirect."""
    for ingress in facts(overlay).load_balancers:
        given = alb_annotations(ingress)
        ports = given.get("listen-ports", "")
        if '"HTTPS"' not in ports and "certificate-arn" not in given:
            continue
        policy = given.get("ssl-policy", "")
        if not policy.startswith(_CURRENT) or "-1-0-" in policy or "-1-1-" in policy:
            yield RULE.on(ingress, f"ssl-policy is {policy or 'the default of 2016'}")
        if '"HTTP"' in ports and "ssl-redirect" not in given:
            message = "it also answers without TLS"
            yield RULE.on(ingress, message, 'annotate it with alb.ingress.kubernetes.io/ssl-redirect: "443"')


RULE = Rule(
    id="tls-policy",
    why="The default policy still speaks TLS 1.0, and without a redirect passwords travel in the clear.",
    fix="annotate it with alb.ingress.kubernetes.io/ssl-policy: ELBSecurityPolicy-TLS13-1-2-2021-06",
    link="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html",
    check=check,
)
