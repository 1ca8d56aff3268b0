"""The backend's API, over SQLite and over PostgreSQL."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from board_backend.app import BODY_LIMIT
from board_testing import TOKEN, an_event, at, image


def test_a_deployment_that_was_reported_can_be_read_back(api):
    """Everything the board shows of a deployment comes from the event, the source commit from the image tag."""
    assert api.stored(commit="abc1234")
    (item,) = api.deployments()
    assert item["images"][0] == {
        "name": "registry.test:5000/team/board-backend",
        "tag": "main-20260101T000000Z-abc1234",
        "digest": "sha256:" + "a" * 64,
    }
    del item["images"]
    assert item == {
        "application": "shop",
        "environment": "lab",
        "revision": "00" * 20,
        "commit": "abc1234",
        "version": "main-20260101T000000Z-abc1234",
        "health": "Healthy",
        "sync": "Synced",
        "deployed_at": at(0),
        "running_since": None,
    }


def test_the_same_event_is_kept_once_however_often_and_at_once_it_is_sent(api):
    """One of many identical events at the same time is news, all others are not, and none fails."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.stored(), range(16)))
    assert sorted(answers) == [False] * 15 + [True]
    assert len(api.deployments()) == 1


@pytest.mark.parametrize("field", ["application", "environment", "revision", "event", "finished_at"])
def test_events_that_differ_in_what_makes_a_fact_are_all_kept(api, field):
    """Each part of an event's identity counts."""
    other = {"event": "on-sync-failed", "finished_at": at(9), "revision": "f" * 40}.get(field, "other")
    assert api.stored()
    assert api.stored(**{field: other})


def test_deployments_are_newest_first_filtered_and_limited(api):
    """The order is that of the events' own times, not of their arrival."""
    for minute in (2, 1, 3):
        api.stored(minute=minute)
    api.stored(minute=4, environment="field")
    assert [item["deployed_at"] for item in api.deployments()] == [at(4), at(3), at(2), at(1)]
    assert [item["deployed_at"] for item in api.deployments(environment="lab")] == [at(3), at(2), at(1)]
    assert [item["deployed_at"] for item in api.deployments(limit=1)] == [at(4)]
    assert api.deployments(environment="nowhere") == []


def test_current_is_the_newest_of_each_application_and_environment(api):
    """An event that arrives late does not bring an old version back."""
    api.stored(minute=2, commit="2222222")
    api.stored(minute=1, commit="1111111")
    api.stored(minute=1, environment="field")
    api.stored(minute=3, application="desk")
    current = [(i["application"], i["environment"], i["commit"]) for i in api.deployments(current=True)]
    assert current == [("desk", "lab", "1111111"), ("shop", "lab", "2222222"), ("shop", "field", "1111111")]
    assert len(api.deployments(current=True, environment="field")) == 1


def test_current_health_is_what_was_reported_last(api):
    """Degrading after a deployment shows, and so does recovering, which repeats the deployment's own event."""
    api.stored()
    api.stored(event="on-health-degraded", health="Degraded")
    assert [i["health"] for i in api.deployments(current=True)] == ["Degraded"]
    assert [i["health"] for i in api.deployments()] == ["Healthy"]
    assert not api.stored()
    assert [i["health"] for i in api.deployments(current=True)] == ["Healthy"]


def test_a_failed_sync_leaves_the_running_version_current(api):
    """What did not deploy does not run."""
    api.stored(minute=1, commit="1111111")
    api.stored(minute=2, commit="2222222", event="on-sync-failed", sync="OutOfSync", health="Degraded")
    (item,) = api.deployments(current=True)
    assert (item["commit"], item["sync"], item["health"]) == ("1111111", "OutOfSync", "Degraded")


def test_running_since_survives_a_change_of_configuration_but_not_of_images(api):
    """A version that comes back after a rollback runs since then, not since its first time."""

    def since() -> list[str]:
        return [item["running_since"] for item in api.deployments(current=True)]

    api.stored(minute=1, commit="1111111")
    api.stored(minute=2, commit="1111111")
    assert since() == [at(1)]
    api.stored(minute=3, commit="2222222")
    assert since() == [at(3)]
    api.stored(minute=4, commit="1111111")
    api.stored(minute=5, commit="1111111")
    assert since() == [at(4)]


def test_pods_on_their_way_out_do_not_blur_the_version(api):
    """Argo CD lists the images of all Pods, the ending ones too, on the way forward and on the way back."""
    both = [image(commit="1111111"), image(commit="2222222"), "postgres:15"]
    api.stored(minute=1, images=[image(commit="1111111"), "postgres:15"])
    api.stored(minute=2, images=both)
    assert [i["commit"] for i in api.deployments(current=True)] == ["2222222"]
    api.stored(minute=3, images=both)
    (item,) = api.deployments(current=True)
    assert (item["commit"], len(item["images"])) == ("1111111", 2)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
def test_events_without_the_token_are_refused_and_not_kept(board, header):
    """401 whatever is wrong with the credentials, before the body is looked at."""
    headers = {} if header is None else {"Authorization": header}
    answer = board.http.post("/api/events", content=b"not even JSON", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert board.http.post("/api/events", json=an_event(), headers=headers).status_code == 401
    assert board.deployments() == []


def test_a_backend_without_a_token_takes_no_events(start, sqlite_url):
    """A forgotten Secret closes the door, it does not open it."""
    backend = start(sqlite_url, events_token=None)
    for token in ("x", "None", TOKEN):
        assert backend.send(an_event(), token=token).status_code == 503


def test_a_body_over_the_limit_is_refused(board):
    """As soon as more has come than is taken; one that just fits is taken."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    chunks = iter([b" " * BODY_LIMIT, b" "])
    assert board.http.post("/api/events", content=chunks, headers=headers).status_code == 413
    fits = json.dumps(an_event()).encode().ljust(BODY_LIMIT)
    assert board.http.post("/api/events", content=fits, headers=headers).is_success


def test_a_body_declared_too_long_is_not_waited_for(board):
    """The answer comes before the first byte of it."""
    head = f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", httpx.URL(board.url).port), timeout=5) as connection:
        connection.sendall(f"{head}Content-Length: {BODY_LIMIT + 1}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"event": "on-coffee"}, "event"),
        ({"application": "../etc"}, "application"),
        ({"environment": ""}, "environment"),
        ({"environment": "a" * 64}, "environment"),
        ({"revision": "a b"}, "revision"),
        ({"images": "one"}, "images"),
        ({"images": ["https://not an image"]}, "not an image reference"),
        ({"images": ["r/a@sha256:123"]}, "not an image reference"),
        ({"images": [image()] * 101}, "images"),
        ({"finished_at": "yesterday"}, "finished_at"),
        ({"finished_at": None, "started_at": "<no value>"}, "started_at or finished_at"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_malformed_event_is_refused_with_the_reason(board, wrong, where):
    """422 names the field; nothing is kept."""
    answer = board.send(an_event(**wrong))
    assert answer.status_code == 422
    assert where in answer.text
    assert board.deployments() == []


def test_what_templates_print_for_absent_values_is_taken_as_absent(api):
    """A running operation has no end; its start then tells when, and the same start twice is one fact."""
    running = {
        "event": "on-sync-running",
        "finished_at": "<no value>",
        "health": "<nil>",
        "message": None,
        "extra": 1,
    }
    assert api.stored(**running)
    assert not api.stored(**running)
    assert api.stored(**running, minute=1)


def test_a_message_no_database_takes_is_made_storable(api):
    """A NUL, which PostgreSQL refuses, and any length."""
    assert api.stored(message="before\x00after" + "x" * 10_000)


def test_version_names_the_build_and_the_running_digest(start, sqlite_url):
    """The digest is the one of the image reference the Pod was started from."""
    facts = {"version": "v1", "commit": "c" * 40, "environment": "lab"}
    backend = start(sqlite_url, image=image(digit="d"), **facts)
    expected = {"name": "board-backend", "image": image(digit="d"), "digest": "sha256:" + "d" * 64, **facts}
    assert backend.http.get("/version").json() == expected
    bare = start(sqlite_url).http.get("/version").json()
    assert (bare["version"], bare["commit"], bare["digest"]) == ("dev", None, None)


def test_metrics_count_requests_by_route_and_events_by_result(start, sqlite_url):
    """Labels come from route templates, so that strangers' paths cannot multiply them."""
    board = start(sqlite_url)
    board.stored()
    board.stored()
    board.send({})
    for path in ("/wp-admin", "/.env"):
        board.http.get(path)
    text = board.http.get("/metrics").text
    assert 'board_deployment_events_total{event="on-deployed",result="stored"} 1.0' in text
    assert 'board_deployment_events_total{event="on-deployed",result="duplicate"} 1.0' in text
    assert 'board_deployment_events_total{event="unknown",result="rejected"} 1.0' in text
    assert 'board_http_requests_total{method="POST",route="/api/events",status="200"} 2.0' in text
    assert 'board_http_requests_total{method="GET",route="unmatched",status="404"} 2.0' in text
    assert 'board_http_request_seconds_count{method="POST",route="/api/events"} 3.0' in text
    assert "wp-admin" not in text


def test_every_answer_carries_a_request_id(board):
    """The caller's own if it is harmless, else a new one."""
    given = board.http.get("/healthz", headers={"X-Request-Id": "Root=1-67891233-abcdef"})
    assert given.headers["x-request-id"] == "Root=1-67891233-abcdef"
    forged = board.http.get("/nowhere", headers={"X-Request-Id": 'a","level":"fatal'})
    assert len(forged.headers["x-request-id"]) == 32
