"""HAProxy's configuration for a model; pure text.

Where an ALB's behaviour had to be chosen for: a request is never sent twice (`retries 0`, no redispatch), so a
target that cannot be reached is a 502 and one that does not accept within 10 s a 504, never a quiet second try. A
503 comes only from an empty target group. HAProxy evaluates every `http-request` rule before any `use_backend`;
the matching rule is therefore found first, and answers and back ends follow from its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

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

CONNECT_TIMEOUT = 10
"""Seconds, as an ALB's."""
ADDRESS = "127.0.0.1"
_ESCAPES = {"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_NO_ANSWER = "<html><body><center><h1>No target answered</h1></center></body></html>"


def render(
    model: Model,
    servers: Mapping[str, tuple[Server, ...]],
    folder: Path,
    user: str | None = None,
    metrics: int | None = None,
) -> str:
    """The whole configuration file, with the servers as they are now; the workers run as `user` if it is given.

    `folder` is where the certificates lie and where HAProxy may put its sockets; `metrics` is the port of the
    Prometheus exporter.
    """
    longest = max((lb.idle for lb in model.load_balancers), default=60)
    lines = _preamble(longest, folder, user, metrics)
    for balancer in model.load_balancers:
        for listener in balancer.listeners:
            lines += ["", *_frontend(model, balancer, listener, folder)]
    for group in model.groups:
        lines += ["", *_backend(group, servers.get(group.arn, ()))]
    return "\n".join(lines) + "\n"


def backend_name(group: TargetGroup) -> str:
    """The back end of a target group, as the runtime API names it."""
    return f"tg-{group.name}"


def quote(text: str) -> str:
    """A word of the configuration that means exactly `text`."""
    return '"' + "".join(_ESCAPES.get(c, c) for c in text) + '"'


def _preamble(longest_idle: float, folder: Path, user: str | None, metrics: int | None) -> list[str]:
    """A worker that a reload replaced keeps its WebSockets for an hour, or for the longest idle timeout."""
    owner = [f"    user {user}", f"    group {user}"] if user else []
    return [
        "global",
        "    log stdout format raw local0",
        "    fd-hard-limit 20000",
        f"    hard-stop-after {max(3600, round(longest_idle))}s",
        *owner,
        "",
        "defaults",
        "    mode http",
        "    log global",
        "    option httplog",
        "    option dontlog-normal",
        "    option idle-close-on-response",
        "    retries 0",
        f"    timeout connect {CONNECT_TIMEOUT}s",
        "",
        # HAProxy does not run without a listener, and there may be no load balancer yet, or none any more.
        "frontend metrics",
        "    timeout client 10s",
        f"    bind {quote(f'unix@{folder}/metrics.sock')} mode 600",
        *([f"    bind {ADDRESS}:{metrics}"] if metrics else []),
        "    http-request use-service prometheus-exporter",
    ]


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _frontend(model: Model, balancer: LoadBalancer, listener: Listener, folder: Path) -> list[str]:
    scheme = "https" if listener.certificate else "http"
    tls = (
        f" ssl crt {quote(str(certificate_file(folder, listener.certificate)))}"
        if listener.certificate
        else ""
    )
    idle = _milliseconds(balancer.idle)
    lines = [
        f"frontend {balancer.name}-{listener.port}",
        f"    bind {ADDRESS}:{listener.local}{tls}",
        f"    timeout client {idle}",
        f"    timeout http-keep-alive {idle}",
        "    http-request set-var(txn.start) date(0,ms)",
        "    http-request set-var(txn.forwarded) req.fhdr(X-Forwarded-For)",
        '    http-request set-header X-Forwarded-For "%[var(txn.forwarded)], %[src]" if { var(txn.forwarded) -m found }',
        '    http-request set-header X-Forwarded-For "%[src]" if !{ var(txn.forwarded) -m found }',
        f"    http-request set-header X-Forwarded-Proto {scheme}",
        f"    http-request set-header X-Forwarded-Port {listener.local}",
        '    http-request set-var-fmt(txn.query) "?%[query]" if { query -m len gt 0 }',
    ]
    if balancer.strict:
        lines.append('    http-request del-header "[^A-Za-z0-9-]" -m reg')
    # The last rule that matches stays in the variable, so the rules go from the lowest priority to the highest.
    for index, rule in reversed(list(enumerate(listener.rules))):
        when = " ".join(_matches(condition) for condition in rule.conditions)
        lines.append(f"    http-request set-var(txn.rule) int({index})" + (f" if {when}" if when else ""))
    for index, rule in enumerate(listener.rules):
        lines += _answer(index, rule, balancer, listener, scheme)
    for index, rule in enumerate(listener.rules):
        if isinstance(rule.action, Forward):
            lines += _forward(model, index, rule.action)
    return lines


def certificate_file(folder: Path, arn: str | None) -> Path:
    """Where the PEM (certificate and key) of a listener's certificate must lie: its id, the end of the ARN."""
    return folder / "certificates" / f"{(arn or '').rpartition('/')[2]}.pem"


def _matches(condition: Condition) -> str:
    if condition.field == "query-string":
        fetch, patterns = (
            "query -m reg -i --",
            [_query_pattern(name, value) for name, value in condition.values],
        )
    elif condition.field == "host-header":
        fetch, patterns = "req.hdr(host),host_only -m reg -i --", map(_pattern, condition.values)
    elif condition.field == "http-header":
        fetch, patterns = f"req.fhdr({condition.name}) -m reg -i --", map(_pattern, condition.values)
    elif condition.field == "path-pattern":
        fetch, patterns = "path -m reg --", map(_pattern, condition.values)
    elif condition.field == "source-ip":
        fetch, patterns = "src --", condition.values
    else:
        fetch, patterns = "method --", condition.values
    return f"{{ {fetch} {' '.join(quote(p) for p in patterns)} }}"


def _pattern(value: str) -> str:
    """A value with `*` (any characters) and `?` (one character) as a regular expression."""
    return "^" + _wildcards(value, ".") + "$"


def _wildcards(value: str, character: str) -> str:
    return re.escape(value).replace(r"\*", f"{character}*").replace(r"\?", character)


def _query_pattern(name: str | None, value: str) -> str:
    left = f"{_wildcards(name, '[^&=]')}=" if name else "([^&=]*=)?"
    return f"(^|&){left}{_wildcards(value, '[^&]')}(&|$)"


def _answer(index: int, rule: Rule, balancer: LoadBalancer, listener: Listener, scheme: str) -> list[str]:
    when = f"if {{ var(txn.rule) -m int {index} }}"
    match rule.action:
        case Fixed(status, content_type, body):
            payload = f"content-type {quote(content_type)} string {quote(body)} " if body else ""
            return [f"    http-request return status {status} {payload}hdr Server awselb/2.0 {when}"]
        case Redirect() as redirect:
            location = quote(_location(redirect, balancer, listener, scheme))
            return [f"    http-request redirect code {redirect.status} location {location} {when}"]
    return []


def _location(redirect: Redirect, balancer: LoadBalancer, listener: Listener, scheme: str) -> str:
    """The Location as a log-format; a port that is a listener of ours becomes the port it has here."""
    local = {str(other.port): str(other.local) for other in balancer.listeners}
    port = str(listener.local) if redirect.port == "#{port}" else local.get(redirect.port, redirect.port)
    values = {
        "#{protocol}": scheme,
        "#{host}": "%[req.hdr(host),host_only]",
        "#{port}": port,
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }
    query = "" if not redirect.query else "?" + redirect.query
    text = f"{redirect.protocol}://{redirect.host}:{port}{redirect.path}{query}".replace("%", "%%")
    if redirect.query == "#{query}":
        text = text.removesuffix("?#{query}")
    for name, value in values.items():
        text = text.replace(name, value)
    if redirect.query == "#{query}":
        text += "%[var(txn.query)]"
    return re.sub(r"^(HTTPS?):", lambda m: m[0].lower(), text)


def _forward(model: Model, index: int, action: Forward) -> list[str]:
    """Weighted choice as a row of draws: each group takes its share of what the ones before it left."""
    names = {group.arn: backend_name(group) for group in model.groups}
    groups = [(arn, weight) for arn, weight in action.groups if weight and arn in names]
    left = sum(weight for _, weight in groups)
    lines = []
    for arn, weight in groups:
        draw = "" if weight == left else f" {{ rand({left}) lt {weight} }}"
        lines.append(f"    use_backend {names[arn]} if {{ var(txn.rule) -m int {index} }}{draw}")
        left -= weight
    return lines


def _backend(group: TargetGroup, servers: tuple[Server, ...]) -> list[str]:
    idle, patience = _milliseconds(group.idle), CONNECT_TIMEOUT * 1000
    unanswered = "{ status 503 } { srv_id gt 0 } !{ var(txn.answered) -m found }"
    lines = [
        f"backend {backend_name(group)}",
        f"    balance {group.balance}",
        f"    timeout server {idle}",
        f"    timeout tunnel {idle}",
        # HAProxy says 503 whenever it has no answer; an ALB says so only without a target, else 502, or 504 when the
        # time to connect is over. (`nbsrv` does not do to tell them apart: it is 0 in a worker that is being replaced.)
        f'    http-error status 503 content-type "text/html" string {quote(_NO_ANSWER)} hdr Server awselb/2.0',
        "    http-response set-var(txn.answered) bool(true)",
        f"    http-after-response set-status 504 if {unanswered} {{ date(0,ms),sub(txn.start) ge {patience} }}",
        f"    http-after-response set-status 502 if {unanswered}",
    ]
    if group.stickiness is not None:
        # The cookie follows from the target's address, so it outlives reloads, slots and this process.
        lines += [
            f"    cookie AWSALB insert dynamic maxidle {max(1, round(group.stickiness))}",
            f"    dynamic-cookie-key {group.name}",
        ]
    tls = " ssl verify none" if group.tls else ""
    for server in servers:
        address = f"{server.ip}:{server.port}" if server.ip else "0.0.0.0:1"
        lines.append(f"    server {server.name} {address}{tls}{'' if server.serving else ' disabled'}")
    return lines
