"""The load balancer end to end on loopback: the AWS API, HAProxy and targets are real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from alb_lab import Lab, Process, alive, fixed, lab, path, until
from alb_targets import Load, Target, free_port
from slipway.platform import scrape
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as laboratory:
        yield laboratory


def echo(socket: ClientConnection, word: str) -> str:
    socket.send(word)
    return str(socket.recv(timeout=5))


def opened(url: str) -> ClientConnection:
    return connect(url.replace("http", "ws", 1) + "/ws", ping_interval=None, proxy=None)


def shown(one: Lab, group: str) -> list[dict]:
    """The targets of a group in the status file."""
    return next(g["targets"] for g in one.status()["target_groups"] if g["name"] == group)


def test_the_first_matching_rule_decides(one: Lab) -> None:
    """Host, path, header, query and method conditions pick the rule with the lowest number that holds."""
    rules = [
        (
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.Example.org"]}},
            fixed(410, 'host "x" $y'),
        ),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["a*"]}},
            fixed(411),
        ),
        (
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]}},
            fixed(412),
        ),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}, fixed(413)),
        (path("/exact"), fixed(414)),
        (path("/tree", "/tree/*"), fixed(415)),
        (path("/a?c"), fixed(416)),
    ]
    created = [one.aws.rule(one.listener, 100 + n, action, when) for n, (when, action) in enumerate(rules)]
    created.append(one.aws.rule(one.listener, 1, fixed(417), path("/tree/top")))
    until(lambda: httpx.get(f"{one.url}/tree/top").status_code == 417)
    cases = {
        "/": 404,
        "/exact": 414,
        "/exact/": 404,
        "/Exact": 404,
        "/tree": 415,
        "/tree/leaf?x=y": 415,
        "/trees": 404,
        "/abc": 416,
        "/ac": 404,
        "/x?v=1": 412,
        "/x?w=0&V=1": 412,
        "/x?v=11": 404,
    }
    assert {url: httpx.get(one.url + url).status_code for url in cases} == cases
    answer = httpx.get(one.url, headers={"Host": "www.example.org:8080"})
    assert (answer.status_code, answer.text, answer.headers["server"]) == (410, 'host "x" $y', "awselb/2.0")
    assert httpx.get(one.url, headers={"X-Kind": "Abc"}).status_code == 411
    assert httpx.put(one.url).status_code == 413
    for arn in created:
        one.aws.elb.delete_rule(RuleArn=arn)
    until(lambda: httpx.get(f"{one.url}/exact").status_code == 404)


def test_a_redirect_keeps_host_path_and_query(one: Lab) -> None:
    """`#{host}`, `#{path}` and `#{query}` come from the request; a listener's port becomes its local one."""
    config = {"Protocol": "HTTP", "Port": "#{port}", "Path": "/new/#{path}", "StatusCode": "HTTP_302"}
    rule = one.aws.rule(one.listener, 1, {"Type": "redirect", "RedirectConfig": config}, path("/old*"))
    answer = until(lambda: (r := httpx.get(f"{one.url}/old/a?b=c%20d")).is_redirect and r)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{one.url}/new/old/a?b=c%20d")
    assert httpx.get(f"{one.url}/old").headers["location"] == f"{one.url}/new/old"
    one.aws.elb.delete_rule(RuleArn=rule)


def test_what_is_not_supported_is_reported_and_refused(one: Lab) -> None:
    """An authentication rule is named in the status file and answers 501: nobody gets past it unseen."""
    group = one.aws.group("behind-login")
    login = {
        "Type": "authenticate-oidc",
        "Order": 1,
        "AuthenticateOidcConfig": {
            "Issuer": "https://id.example.org",
            "AuthorizationEndpoint": "https://id.example.org/a",
            "TokenEndpoint": "https://id.example.org/t",
            "UserInfoEndpoint": "https://id.example.org/u",
            "ClientId": "x",
            "ClientSecret": "y",
        },
    }
    forward = {"Type": "forward", "Order": 2, "TargetGroupArn": group}
    rule = one.aws.elb.create_rule(
        ListenerArn=one.listener, Priority=7, Conditions=[path("/login")], Actions=[login, forward]
    )["Rules"][0]["RuleArn"]
    answer = until(lambda: (r := httpx.get(f"{one.url}/login")).status_code == 501 and r)
    assert "authenticate-oidc" in answer.text
    expected = {"resource": "lab:80 rule 7", "feature": "action authenticate-oidc"}
    until(lambda: expected in one.status()["unsupported"])
    one.aws.elb.delete_rule(RuleArn=rule)
    until(lambda: expected not in one.status()["unsupported"])


def test_health_is_what_the_checks_see(one: Lab) -> None:
    """A target is unused, initial, healthy after one pass, unhealthy after two failures, and never healthy before."""
    group, target = one.aws.group("health"), Target("127.0.0.11")
    one.aws.register(group, target)
    assert one.aws.health(group, target)["Reason"] == "Target.NotInUse"
    target.healthy = False
    one.aws.rule(one.listener, 20, group, path("/health*"))
    until(lambda: one.aws.health(group, target)["Reason"] == "Elb.InitialHealthChecking")
    assert httpx.get(f"{one.url}/health").status_code == 503
    target.healthy = True
    until(lambda: one.aws.health(group, target)["State"] == "healthy")
    until(lambda: httpx.get(f"{one.url}/health").json()["by"] == "127.0.0.11")
    target.healthy = False
    seen = until(lambda: (h := one.aws.health(group, target))["State"] == "unhealthy" and h)
    assert seen["Reason"] == "Target.ResponseCodeMismatch"
    assert seen["Description"] == "Health checks failed with these codes: [503]"
    assert shown(one, "health")[0]["serving"], "an ALB whose targets are all unhealthy fails open"


def test_a_target_sees_who_asks(one: Lab) -> None:
    """X-Forwarded-For is appended to, Proto and Port are set, Host is left alone, invalid headers are dropped."""
    group, target = one.aws.group("headers"), Target("127.0.0.12")
    one.aws.rule(one.listener, 21, group, path("/headers*"))
    one.aws.serve(group, target)
    sent = {
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "gopher",
        "Host": "board.example.org",
        "X_Bad": "1",
    }
    answer = until(lambda: (r := httpx.get(f"{one.url}/headers/x?y=z", headers=sent)).is_success and r)
    headers = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert headers["x-forwarded-for"] == "192.0.2.7, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-port"] == one.url.rpartition(":")[2]
    assert headers["host"] == "board.example.org"
    assert "x_bad" not in headers
    assert answer.json()["path"] == "/headers/x?y=z"


def test_prometheus_is_told_of_requests_answers_and_targets(one: Lab) -> None:
    """Under the names that the rules read: one front end a listener, one back end a target group."""
    group, target = one.aws.group("k8s-lab-counted"), Target("127.0.0.13")
    one.aws.rule(one.listener, 29, group, path("/counted*"))
    one.aws.serve(group, target)
    until(lambda: httpx.get(f"{one.url}/counted").is_success)

    def told() -> dict[str, float]:
        text = httpx.get(f"http://127.0.0.1:{one.metrics}/metrics?scope=frontend&scope=backend").text
        pairs = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    before = told()
    assert {name.partition("{")[0] for name in before} >= set(scrape.KEPT["load-balancer"])
    target.die()
    bad = until(lambda: (r := httpx.get(f"{one.url}/counted")).status_code >= 500 and r)
    assert bad.status_code in (502, 503, 504)
    requests = 'haproxy_frontend_http_requests_total{proxy="lab-80"}'
    errors = 'haproxy_frontend_http_responses_total{proxy="lab-80",code="5xx"}'
    serving = 'haproxy_backend_active_servers{proxy="tg-k8s-lab-counted"}'
    assert before[serving] == 1
    one.aws.elb.deregister_targets(TargetGroupArn=group, Targets=[target.id])
    after = until(lambda: (now := told())[serving] == 0 and now)
    assert after[requests] > before[requests] and after[errors] > before[errors]


def test_a_new_target_is_taken_in_after_the_lag_of_its_registration(one: Lab, tmp_path: Path) -> None:
    """By a second data plane beside the first, each with its own load balancer: 503 until then."""
    port, lag = free_port(), 3
    listener, url = one.aws.balancer("lab-late"), f"http://127.0.0.1:{port}"
    arguments = ("--aws-url", one.aws.url, "--state", str(tmp_path), "--ports", f"lab-late={port}")
    late = Process("slipway.platform.alb", *arguments, "--register-lag", str(lag), log=tmp_path / "alb.log")
    try:
        group, target = one.aws.group("late"), Target("127.0.0.33")
        one.aws.rule(listener, 1, group, path("/*"))
        until(lambda: httpx.get(url).status_code == 503)
        began = time.monotonic()
        one.aws.register(group, target)
        assert one.aws.health(group, target)["Reason"] == "Elb.RegistrationInProgress"
        until(lambda: httpx.get(url).status_code != 503)
        assert time.monotonic() - began >= lag
        assert httpx.get(url).json()["by"] == target.ip
    finally:
        late.stop()


def test_a_cookie_keeps_a_client_at_its_target(one: Lab) -> None:
    """With AWSALB a client stays, without it requests are spread; a target that left lets its clients go."""
    sticky = {"stickiness.enabled": "true", "stickiness.lb_cookie.duration_seconds": "60"}
    group, targets = one.aws.group("sticky", **sticky), [Target("127.0.0.13"), Target("127.0.0.14")]
    one.aws.rule(one.listener, 22, group, path("/sticky*"))
    one.aws.serve(group, *targets)
    url = f"{one.url}/sticky"
    until(lambda: len({httpx.get(url).json()["by"] for _ in range(4)}) == 2)
    with httpx.Client() as client:
        mine = {client.get(url).json()["by"] for _ in range(10)}
        assert len(mine) == 1
        assert "AWSALB" in client.cookies
        left = next(target for target in targets if target.ip in mine)
        one.aws.deregister(group, left)
        until(lambda: client.get(url).json()["by"] != left.ip)
        assert {client.get(url).json()["by"] for _ in range(10)} == {t.ip for t in targets} - {left.ip}


def test_applications_of_a_group_share_a_listener(one: Lab) -> None:
    """As the controller writes two Ingresses of a group: the paths of one, then the path / of the other.

    Each application has its own targets, its own health check below its path, and its own stickiness.
    """
    sticky = {"stickiness.enabled": "true", "stickiness.lb_cookie.duration_seconds": "60"}
    hello, page = Target("127.0.0.31"), Target("127.0.0.32")
    group = one.aws.group("hello", health="/hello/healthz", **sticky)
    rest = one.aws.group("page", health="/healthz")
    created = [
        one.aws.rule(one.listener, 901, fixed(404, "not found"), path("/hello/metrics")),
        one.aws.rule(one.listener, 902, group, path("/hello", "/hello/*")),
        one.aws.rule(one.listener, 903, rest, path("/*")),
    ]
    one.aws.serve(group, hello)
    one.aws.serve(rest, page)
    until(lambda: httpx.get(f"{one.url}/").status_code == httpx.get(f"{one.url}/hello").status_code == 200)
    by = {
        path: httpx.get(one.url + path).json()["by"] for path in ("/hello", "/hello/x", "/hellos", "/", "/x")
    }
    assert by == {"/hello": hello.ip, "/hello/x": hello.ip, "/hellos": page.ip, "/": page.ip, "/x": page.ip}
    assert httpx.get(f"{one.url}/hello/metrics").text == "not found"
    assert httpx.get(f"{one.url}/hello/x").json()["path"] == "/hello/x", "the prefix stays in the path"
    assert (hello.probed, page.probed) == ({"/hello/healthz"}, {"/healthz"})
    assert "AWSALB" in httpx.get(f"{one.url}/hello").cookies
    assert "AWSALB" not in httpx.get(f"{one.url}/").cookies
    for arn in created:
        one.aws.elb.delete_rule(RuleArn=arn)
    until(lambda: httpx.get(f"{one.url}/x").status_code == 404)


def test_a_target_replaced_properly_loses_no_request(one: Lab) -> None:
    """New target healthy, old one deregistered, old one serves on until the lag is over: nothing fails."""
    group, old, new = one.aws.group("proper"), Target("127.0.0.15"), Target("127.0.0.16")
    one.aws.rule(one.listener, 23, group, path("/proper*"))
    one.aws.serve(group, old)
    until(lambda: httpx.get(f"{one.url}/proper").is_success)
    with Load(f"{one.url}/proper") as load:
        one.aws.serve(group, new)
        until(lambda: load.by[new.ip])
        one.aws.deregister(group, old)
        assert one.aws.health(group, old)["State"] == "draining"
        time.sleep(one.LAG + 0.5)
        served = load.by[old.ip]
        old.die()
        time.sleep(1)
    assert set(load.statuses) == {"200"}
    assert load.statuses["200"] > 100
    assert load.by[old.ip] == served
    until(lambda: one.aws.health(group, old)["Reason"] == "Target.NotRegistered")
    until(lambda: [target["id"] for target in shown(one, "proper")] == [new.ip])


def test_a_target_that_dies_at_once_shows_the_lag(one: Lab) -> None:
    """Without a preStop pause the load balancer still sends to the dead target for the lag: 502, then none."""
    group, old, new = one.aws.group("sudden"), Target("127.0.0.17"), Target("127.0.0.18")
    one.aws.rule(one.listener, 24, group, path("/sudden*"))
    one.aws.serve(group, old, new)
    until(lambda: len({httpx.get(f"{one.url}/sudden").json()["by"] for _ in range(4)}) == 2)
    with Load(f"{one.url}/sudden") as load:
        time.sleep(0.5)
        assert set(load.statuses) == {"200"}
        one.aws.deregister(group, old)
        old.die()
        died = time.monotonic()
        time.sleep(one.LAG + 1.2)
    assert set(load.statuses) == {"200", "502"}
    assert load.statuses["502"] > 5
    assert 0.8 * one.LAG < load.last["502"] - died < one.LAG + 0.7


def test_a_websocket_outlives_other_targets_and_reloads(one: Lab) -> None:
    """It stays when another target comes and goes and when rules change, and is cut when its own drain is over."""
    group, mine, other = one.aws.group("sockets", delay=2), Target("127.0.0.19"), Target("127.0.0.20")
    one.aws.rule(one.listener, 25, group, path("/ws*"))
    one.aws.serve(group, mine)
    with until(lambda: opened(one.url)) as socket:
        assert echo(socket, "one") == "127.0.0.19 one"
        one.aws.serve(group, other)
        one.aws.deregister(group, other)
        before = one.reloads()
        one.aws.rule(one.listener, 26, fixed(418), path("/new"))
        until(lambda: httpx.get(f"{one.url}/new").status_code == 418)
        until(lambda: one.reloads() > before)
        assert echo(socket, "two") == "127.0.0.19 two"
        one.aws.deregister(group, mine)
        time.sleep(one.LAG + 0.5)
        assert echo(socket, "three") == "127.0.0.19 three"
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)


def test_reloads_lose_no_request(one: Lab) -> None:
    """Rules that change under load cost nothing: not on new connections and not on kept ones."""
    group, target = one.aws.group("reloads"), Target("127.0.0.21")
    one.aws.rule(one.listener, 27, group, path("/reloads*"))
    one.aws.serve(group, target)
    url = f"{one.url}/reloads"
    until(lambda: httpx.get(url).is_success)
    before = one.reloads()
    with Load(url) as load, httpx.Client() as kept:
        for number in range(3):
            assert kept.get(url).is_success
            one.aws.rule(one.listener, 30 + number, fixed(418), path(f"/more-{number}"))
            until(lambda number=number: httpx.get(f"{one.url}/more-{number}").status_code == 418)
            assert kept.get(url).is_success
    until(lambda: one.reloads() >= before + 3)
    assert set(load.statuses) == {"200"}
    assert load.statuses["200"] > 50


def test_an_idle_connection_ends_when_the_load_balancer_says(one: Lab) -> None:
    """After the idle timeout a WebSocket is closed and a request that is still waiting becomes a 504."""
    group, target = one.aws.group("idle"), Target("127.0.0.22")
    one.aws.rule(one.short_listener, 1, group, path("/*"))
    one.aws.serve(group, target)
    answer = until(lambda: (a := httpx.get(f"{one.short}/slow")).status_code != 503 and a)
    assert answer.status_code == 504 and answer.elapsed.total_seconds() < 2.5
    with until(lambda: opened(one.short)) as socket:
        assert echo(socket, "busy") == "127.0.0.22 busy"
        started = time.monotonic()
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)
        assert 0.8 < time.monotonic() - started < 2.5


def test_the_load_balancer_serves_on_while_the_api_is_away(one: Lab) -> None:
    """The API killed and started again: the same load balancers and targets, no request lost, changes work again."""
    group, target, more = one.aws.group("memory"), Target("127.0.0.23"), Target("127.0.0.24")
    one.aws.rule(one.listener, 28, group, path("/memory*"))
    one.aws.serve(group, target)
    until(lambda: httpx.get(f"{one.url}/memory").is_success)
    until(lambda: "path-pattern /memory*" in str(one.status()))
    vpc, reloads = one.aws.vpc(), one.reloads()
    with Load(f"{one.url}/memory", rate=20) as load:
        one.aws.kill()
        time.sleep(0.5)
        one.aws.start()
        one.aws.ready()
        assert one.aws.vpc() == vpc
        assert one.aws.health(group, target)["State"] == "healthy"
        one.aws.serve(group, more)
        until(lambda: load.by[more.ip])
    assert set(load.statuses) == {"200"}
    assert one.reloads() == reloads


def test_a_killed_driver_leaves_haproxy_serving_and_the_next_takes_it_over(one: Lab) -> None:
    """Killed with -9 the driver costs no request and no WebSocket; the next one changes what is in force again."""
    group, target = one.aws.group("kept"), Target("127.0.0.25")
    one.aws.rule(one.listener, 5, group, path("/ws*", "/kept*"))
    one.aws.serve(group, target)
    until(lambda: httpx.get(f"{one.url}/kept").is_success)
    before, master = one.haproxy(), one.masters()
    with Load(f"{one.url}/kept") as load, until(lambda: opened(one.url)) as socket:
        one.alb.kill()
        time.sleep(0.5)
        assert all(map(alive, before))
        one.alb.start()
        one.aws.rule(one.listener, 6, fixed(418), path("/after"))
        until(lambda: httpx.get(f"{one.url}/after").status_code == 418)
        assert echo(socket, "still") == f"{target.ip} still"
        assert one.masters() == master, "the new driver did not take over the old one's HAProxy"
    assert set(load.statuses) == {"200"} and load.statuses["200"] > 50

    for pid in one.haproxy():
        os.kill(pid, signal.SIGKILL)
    assert one.alb.process.wait(timeout=10) == 2, "the driver did not notice that HAProxy had ended"
    one.alb.start()
    until(lambda: httpx.get(f"{one.url}/kept").is_success, 10)


def test_nothing_is_left_when_the_driver_is_ended(one: Lab) -> None:
    """Ended properly the driver takes HAProxy with it, also one that it took over."""
    taken_over = one.alb.log.read_text().count("taken over")
    one.alb.kill()
    one.alb.start()
    until(lambda: one.alb.log.read_text().count("taken over") > taken_over)
    assert one.haproxy() != []
    assert one.alb.stop() == 0
    until(lambda: one.haproxy() == [], 5)
