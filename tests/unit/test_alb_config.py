"""HAProxy's configuration: patterns, quoting, weights; and that HAProxy itself accepts it."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from slipway.platform.alb import config
from slipway.platform.alb.haproxy import PROGRAM, changes
from slipway.platform.alb.health import HealthCheck
from slipway.platform.alb.model import (
    Condition,
    Fixed,
    Forward,
    Listener,
    LoadBalancer,
    Model,
    Redirect,
    Rule,
    TargetGroup,
)
from slipway.platform.alb.plan import Server
from slipway.proc import run

CHECK = HealthCheck(False, None, "/", 5, 2, 5, 2, "200")


def group(name: str, *, tls: bool = False, stickiness: float | None = None) -> TargetGroup:
    return TargetGroup(name, name, tls, "roundrobin", 30, stickiness, 60, CHECK, ())


def balancer(*rules: Rule, certificate: str | None = None) -> LoadBalancer:
    return LoadBalancer("lb", "lab", "lab.example.org", 60, (Listener(80, 8080, certificate, rules),))


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        ("/api/*", ["/api/", "/api/x/y"], ["/api", "/apix/", "/x/api/"]),
        ("/a?c", ["/abc"], ["/ac", "/abbc"]),
        ("/a.b", ["/a.b"], ["/axb"]),
        ("*.(x)", ["/y.(x)"], ["/y.x"]),
    ],
)
def test_a_pattern_means_star_and_question_mark_only(
    pattern: str, matched: list[str], not_matched: list[str]
) -> None:
    """Every other character stands for itself."""
    expression = re.compile(config._pattern(pattern))
    assert [bool(expression.search(path)) for path in [*matched, *not_matched]] == [True] * len(matched) + [
        False
    ] * len(not_matched)


@pytest.mark.parametrize(
    ("name", "value", "matched", "not_matched"),
    [
        ("v", "1", ["v=1", "a=b&v=1", "v=1&c"], ["v=11", "xv=1", "v="]),
        (None, "1", ["v=1", "1"], ["v=2", "1=v"]),
        ("v", "*", ["v=", "v=x"], ["w=x", "v"]),
    ],
)
def test_a_query_condition_matches_whole_pairs(
    name: str | None, value: str, matched: list[str], not_matched: list[str]
) -> None:
    """Key and value are compared between separators, not inside other pairs."""
    expression = re.compile(config._query_pattern(name, value))
    assert all(expression.search(query) for query in matched)
    assert not any(expression.search(query) for query in not_matched)


def test_weights_become_shares_of_what_is_left() -> None:
    """1:2:1 is a quarter, two thirds of the rest, then everything; a weight of 0 gets nothing."""
    model = Model(groups=tuple(map(group, "abcd")))
    lines = config._forward(model, 7, Forward((("a", 1), ("b", 2), ("c", 1), ("d", 0))))
    assert [line.strip() for line in lines] == [
        "use_backend tg-a if { var(txn.rule) -m int 7 } { rand(4) lt 1 }",
        "use_backend tg-b if { var(txn.rule) -m int 7 } { rand(3) lt 2 }",
        "use_backend tg-c if { var(txn.rule) -m int 7 }",
    ]


def certificate(file: Path) -> None:
    """A self-signed certificate with its key in one file."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    signed = builder.not_valid_after(now + datetime.timedelta(days=1)).sign(secret, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    key = secret.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.parent.mkdir(parents=True)
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + key)


def test_haproxy_accepts_everything_we_write(tmp_path: Path) -> None:
    """Every condition, action and option at once, with characters that mean something to HAProxy."""
    nasty = "a b\"c'd$e%f#g{h}i\\j(k)l,m\n\t"
    rules = [
        Rule(1, (Condition("path-pattern", (nasty, "/*")),), Fixed(200, "text/plain", nasty)),
        Rule(2, (Condition("host-header", ("*.example.org",)),), Fixed(404, "text/html", "")),
        Rule(3, (Condition("http-header", (nasty,), "X-Kind"),), Forward((("a", 1), ("b", 1)))),
        Rule(4, (Condition("query-string", ((None, nasty), ("k", "v"))),), Forward((("a", 1),))),
        Rule(5, (Condition("http-request-method", ("PUT", "POST")),), Forward((("gone", 1),))),
        Rule(6, (Condition("source-ip", ("10.0.0.0/8", "::1/128")),), Forward((("b", 0),))),
        Rule(7, (), Redirect(301, "HTTPS", "#{host}", "443", "/#{path}", "#{query}")),
        Rule(8, (), Redirect(302, "#{protocol}", "x.example.org", "#{port}", "/100%", "a=b&#{query}")),
        Rule(None, (), Fixed(503, "text/plain", "x" * 1024)),
    ]
    arn = "arn:aws:acm:eu-central-1:111122223333:certificate/c1"
    certificate(config.certificate_file(tmp_path, arn))
    model = Model((balancer(*rules, certificate=arn),), (group("a", stickiness=0.2), group("b", tls=True)))
    servers = {"a": (Server("t1", "10.244.0.5", 8000, True), Server("t2")), "b": (Server("t1"),)}
    file = tmp_path / "haproxy.cfg"
    file.write_text(config.render(model, servers, tmp_path))
    run([PROGRAM, "-c", "-f", file], fix="install the Debian package haproxy")


def test_a_redirect_to_a_listener_of_ours_gets_its_local_port() -> None:
    """443 on the load balancer is another port on 127.0.0.1; foreign ports stay."""
    both = LoadBalancer("lb", "lab", "x", 60, (Listener(80, 8080, None, ()), Listener(443, 8443, "arn", ())))
    to = Redirect(301, "HTTPS", "#{host}", "443", "/#{path}", "#{query}")
    text = config._location(to, both, both.listeners[0], "http")
    assert text == "https://%[req.hdr(host),host_only]:8443/%[path,regsub(^/,)]%[var(txn.query)]"
    alone = LoadBalancer("lb", "lab", "x", 60, both.listeners[:1])
    assert ":443/" in config._location(to, alone, alone.listeners[0], "http")
    plain = Redirect(302, "#{protocol}", "x.example.org", "#{port}", "/100%", "a=b")
    assert config._location(plain, both, both.listeners[0], "http") == "http://x.example.org:8080/100%%?a=b"


@pytest.mark.parametrize(
    ("old", "new", "commands"),
    [
        (Server("t1"), Server("t1", "10.0.0.1", 80, False), ["addr 10.0.0.1 port 80"]),
        (Server("t1"), Server("t1", "10.0.0.1", 80, True), ["addr 10.0.0.1 port 80", "state ready"]),
        (Server("t1", "10.0.0.1", 80, True), Server("t1", "10.0.0.1", 80, False), ["state maint"]),
        (Server("t1", "10.0.0.1", 80, False), Server("t1"), ["shutdown"]),
        (
            Server("t1", "10.0.0.1", 80, True),
            Server("t1", "10.0.0.2", 80, True),
            ["state maint", "shutdown", "addr 10.0.0.2 port 80", "state ready"],
        ),
        (Server("t1", "10.0.0.1", 80, True), Server("t1", "10.0.0.1", 80, True), []),
    ],
)
def test_a_slot_changes_hands_in_the_right_order(old: Server, new: Server, commands: list[str]) -> None:
    """No request in between goes to the wrong address, and the old target's connections end."""
    full = [c if c == "shutdown" else f"set server tg-a/t1 {c}" for c in commands]
    expected = ["shutdown sessions server tg-a/t1" if c == "shutdown" else c for c in full]
    assert changes("tg-a/t1", old, new) == expected
