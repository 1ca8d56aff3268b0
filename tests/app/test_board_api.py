"""The backend's API, over SQLite and over PostgreSQL."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from board_backend import schema
from board_backend.events import BODY_LIMIT
from board_backend.model import Model
from board_testing import TOKEN, an_event, at, image
from slipway.dora.metrics import Figures
from slipway.registry.references import NOTHING


def test_what_was_reported_can_be_read_back(api):
    """Everything the board shows of a deployment comes from the event, the source commit from the image tag."""
    assert api.stored(commit="abc1234")
    (item,) = api.deployments()
    assert len(item.pop("id")) == 16
    assert item.pop("images")[0] == {
        "name": "registry.test:5000/team/board-backend",
        "tag": "main-20260101T000000Z-abc1234",
        "digest": "sha256:" + "a" * 64,
    }
    where = {"application": "shop", "environment": "lab", "revision": "00" * 20}
    links = {"commit": None, "deploy": None, "argocd": None}
    told = {"version": "main-20260101T000000Z-abc1234", "commit": "abc1234", "subject": None, "links": links}
    state = {"health": "Healthy", "sync": "Synced"}
    assert item == {
        **where, **told, **state, "kind": "images", "state": "live", "failure": None, "commits": 0,
        "started_at": at(0), "live_at": at(0), "at": at(0), "lead_seconds": None,
    }  # fmt: skip
    (place,) = api.places()
    assert place.pop("images") and place == {
        **where, **told, **state, "rolling": False, "failure": None, "wanted": None, "hold": None,
        "started_at": at(0), "deployed_at": at(0), "running_since": at(0), "compared": None,
    }  # fmt: skip


def test_answers_are_those_that_the_models_promise(api):
    """Every route's answer, empty and with a deployment, has exactly the fields of the OpenAPI document."""
    routes = {
        "/api/now": schema.Now,
        "/api/deployments": schema.Deployments,
        "/api/promotion?application=shop&from=lab&to=field": schema.Promotion,
        "/api/dora?environment=lab": Figures,
        "/api/changes": schema.Changes,
        "/api/status": schema.Status,
    }
    api.caught_up()
    statuses = {route: api.http.get(route).status_code for route in routes}
    lacking = {route for route, status in statuses.items() if status == 404}
    assert lacking == {"/api/promotion?application=shop&from=lab&to=field", "/api/dora?environment=lab"}
    api.stored()
    api.stored(minute=1, commit="2222222", environment="field")
    api.caught_up()
    for route, model in routes.items():
        model.model_validate_json(api.http.get(route).content)


def test_the_same_event_is_kept_once_however_often_and_at_once_it_is_sent(api):
    """One of many identical events at the same time is news, all others are not, and none fails."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.stored(), range(16)))
    assert sorted(answers) == [False] * 15 + [True]
    assert api.count() == len(api.deployments()) == 1


@pytest.mark.parametrize(
    "field", ["application", "environment", "revision", "event", "finished_at", "health"]
)
def test_events_that_differ_in_what_makes_a_fact_are_all_kept(board, field):
    """Each part of an event's identity counts."""
    other = {"event": "on-sync-failed", "finished_at": at(9), "revision": "f" * 40}.get(field, "other")
    assert board.stored()
    assert board.stored(**{field: other})
    assert board.count() == 2


def test_deployments_are_newest_first_and_filtered(api):
    """The order is that of the events' own times, not of their arrival."""
    for minute, commit in ((2, "2222222"), (1, "1111111"), (3, "3333333")):
        api.stored(minute=minute, commit=commit)
    api.stored(minute=4, environment="field")
    api.stored(minute=5, commit="5555555", event="on-sync-failed")

    def times(**query) -> list[str]:
        return [item["at"] for item in api.deployments(**query)]

    assert times() == [at(5), at(4), at(3), at(2), at(1)]
    assert times(environment="lab") == [at(5), at(3), at(2), at(1)]
    assert times(limit=1) == [at(5)]
    assert times(failed="true") == [at(5)] and times(failed="false") == [at(4), at(3), at(2), at(1)]
    assert times(since=at(2), until=at(4)) == [at(3), at(2)]
    assert times(kind="rollback") == times(application="desk") == times(environment="nowhere") == []


def test_pages_follow_each_other_while_events_arrive(api):
    """What comes in meanwhile is on no later page, and nothing is there twice or left out."""
    for minute in range(1, 11):
        api.stored(minute=minute, commit=f"{minute:x}000000")
    expected, found, cursor = [at(minute) for minute in range(10, 0, -1)], [], None
    api.caught_up()
    while True:
        page = api.get("/api/deployments", limit=3, cursor=cursor)
        found += [item["at"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        api.stored(minute=20 + len(found), commit=f"b{len(found):06}")
        api.caught_up()
    assert found == expected


@pytest.mark.parametrize("cursor", ["x", "0", "é", "bm90IGEgdGltZQ", "A" * 201])
def test_a_cursor_that_was_not_given_out_is_refused(refusing, cursor):
    """422 in a sentence."""
    answer = refusing.http.get("/api/deployments", params={"cursor": cursor})
    assert answer.status_code == 422 and answer.json()["detail"].startswith("cursor: ")


def test_where_an_application_waits_for_its_first_image_nothing_runs(api):
    """It is shown, with what was told of it; it is no deployment, and what follows is the first."""
    waiting = f"registry.test:5000/team/hello:unreleased@{NOTHING}"
    api.stored(minute=1, application="hello", images=[waiting], revision="a" * 40)
    api.stored(minute=2, commit="2222222")
    (place,) = [one for one in api.places() if one["application"] == "hello"]
    assert (place["images"], place["version"], place["deployed_at"]) == ([], None, None)
    assert (place["revision"], place["health"]) == ("a" * 40, "Healthy")
    assert not place["rolling"] and place["failure"] is None
    assert [one["application"] for one in api.deployments()] == ["shop"]
    api.stored(minute=3, application="hello", commit="3333333")
    (place,) = [one for one in api.places() if one["application"] == "hello"]
    assert place["deployed_at"] == at(3)


def test_what_runs_is_the_newest_of_each_application_and_environment(api):
    """An event that arrives late does not bring an old version back."""
    api.stored(minute=2, commit="2222222")
    api.stored(minute=1, commit="1111111")
    api.stored(minute=1, environment="field")
    api.stored(minute=3, application="desk")
    found = [(i["application"], i["environment"], i["commit"]) for i in api.places()]
    assert found == [("desk", "lab", "1111111"), ("shop", "field", "1111111"), ("shop", "lab", "2222222")]
    names = [one["name"] for one in api.get("/api/now")["environments"]]
    assert names == ["field", "lab"], "first seen at once: by name"


def test_health_is_what_was_reported_last(api):
    """Degrading after a deployment shows, and so does recovering."""

    def seen() -> tuple:
        (place,) = api.places()
        failure = place["failure"]
        return place["health"], failure and failure["reason"]

    api.stored()
    api.stored(event="on-health-degraded", health="Degraded", health_changed_at=at(5))
    assert seen() == ("Degraded", "degraded")
    (item,) = api.deployments()
    assert (item["state"], item["failure"]["at"], item["failure"]["recovered_at"]) == ("live", at(5), None)
    assert api.stored(health_changed_at=at(7))
    assert seen() == ("Healthy", None)
    (item,) = api.deployments()
    assert item["failure"]["recovered_at"] == at(7)


def test_a_failed_sync_leaves_the_running_version_where_it_is(api):
    """What did not deploy does not run; that it was tried, and failed, shows."""
    api.stored(minute=1, commit="1111111")
    api.stored(minute=2, commit="2222222", event="on-sync-failed", sync="OutOfSync", health="Degraded")
    (place,) = api.places()
    assert (place["commit"], place["sync"], place["health"]) == ("1111111", "OutOfSync", "Degraded")
    assert place["failure"] == {"reason": "sync failed", "at": at(2)} and not place["rolling"]
    assert [item["state"] for item in api.deployments()] == ["failed", "live"]


def test_a_sync_that_runs_shows_as_rolling_until_it_ends(api):
    """And as superseded when a newer one began before its end was told."""

    def states() -> tuple:
        (place,) = api.places()
        return place["rolling"], [item["state"] for item in api.deployments()]

    api.stored(minute=1, commit="1111111")
    running = {"event": "on-sync-running", "finished_at": None, "health": "Progressing"}
    api.stored(minute=2, commit="2222222", **running)
    assert states() == (True, ["running", "live"])
    api.stored(minute=3, commit="3333333", **running)
    assert states() == (True, ["running", "superseded", "live"])
    api.stored(minute=3, commit="3333333", finished_at=at(4))
    assert states() == (False, ["live", "superseded", "live"])


def test_running_since_survives_a_change_of_configuration_but_not_of_images(api):
    """A version that comes back after a rollback runs since then, not since its first time."""

    def since() -> list[str]:
        return [item["running_since"] for item in api.places()]

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
    assert [i["commit"] for i in api.places()] == ["2222222"]
    api.stored(minute=3, images=both)
    (item,) = api.places()
    assert (item["commit"], len(item["images"])) == ("1111111", 2)


@pytest.mark.parametrize(
    "path", ["/api/now", "/api/deployments?limit=5", "/api/dora?until=2026-02-01T00:00:00Z", "/api/status"]
)
def test_an_answer_that_is_known_is_not_sent_again(api, path):
    """304 without a body while nothing changed; after an event the tag is another one."""
    api.stored()
    api.caught_up()
    first = api.http.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    for sent in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        again = api.http.get(path, headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    api.stored(minute=1, commit="2222222")
    api.caught_up()
    changed = api.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200 and changed.headers["etag"] != first.headers["etag"]


def test_what_is_known_stays_the_same_when_a_source_was_away_between_two_looks(api):
    """A source that is as it was makes no new snapshot, whose time would be in the answer; one that is not, does."""
    api.stored()
    running = api.app.state.model
    model = Model(running._store, {name: "not here" for name in ("deploy", "source", "events", "argocd")})
    model._turn()
    first = model.snapshot
    model.sources.stale("database", "for a moment")
    model._turn()
    assert model.snapshot is first
    model.sources.stale("argocd", "for long")
    model._turn()
    assert model.snapshot is not first and model.snapshot.facts == first.facts == 1


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("/api/deployments?limit=0", 422, "limit: "),
        ("/api/deployments?limit=1001", 422, "limit: "),
        ("/api/deployments?environment=../etc", 422, "environment: "),
        ("/api/deployments?since=yesterday", 422, "since: "),
        ("/api/dora?environment=nowhere", 404, "no environment nowhere; there are: lab"),
        ("/api/dora?since=2026-01-02&until=2026-01-01", 422, "since: not before `until`"),
        ("/api/promotion?application=shop&to=nowhere", 404, "no environment nowhere"),
        ("/api/promotion?application=desk&to=lab", 404, "no application desk; there are: shop"),
        ("/api/promotion?application=shop&to=lab", 422, "give `from`"),
        ("/api/promotion?application=shop&to=lab&from=lab", 422, "to itself"),
        ("/api/promotion?to=lab", 422, "application: "),
        ("/api/changes?limit=201", 422, "limit: "),
        ("/api/nothing", 404, "Not Found"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(refusing, query, status, said):
    """One sentence, in the field in which every error tells it."""
    answer = refusing.http.get(query)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
)
def test_events_without_the_token_are_refused_and_not_kept(refusing, header):
    """401 whatever is wrong with the credentials, before the body is looked at."""
    headers = {} if header is None else {"Authorization": header}
    answer = refusing.http.post("/api/events", content=b"not even JSON", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert refusing.http.post("/api/events", json=an_event(), headers=headers).status_code == 401
    assert refusing.count() == 1


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


def test_a_body_declared_too_long_is_not_waited_for(refusing):
    """The answer comes before the first byte of it."""
    head = f"POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", httpx.URL(refusing.url).port), timeout=5) as connection:
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
        ({"images": ["https://not an image"]}, "is not an image name"),
        ({"images": ["r/a@sha256:123"]}, "is not a digest"),
        ({"images": [image()] * 101}, "images"),
        ({"finished_at": "yesterday"}, "finished_at"),
        ({"finished_at": "0001-01-01T00:00:00+01:00"}, "finished_at"),
        ({"finished_at": "9999-12-31T23:59:59-01:00"}, "finished_at"),
        ({"finished_at": None, "started_at": "<no value>"}, "started_at or finished_at"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_malformed_event_is_refused_with_the_reason(refusing, wrong, where):
    """422 names the field; nothing is kept."""
    answer = refusing.send(an_event(**wrong))
    assert answer.status_code == 422
    assert where in answer.json()["detail"]
    assert refusing.count() == 1


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


def test_every_answer_carries_a_request_id(refusing):
    """The caller's own if it is harmless, else a new one."""
    given = refusing.http.get("/healthz", headers={"X-Request-Id": "Root=1-67891233-abcdef"})
    assert given.headers["x-request-id"] == "Root=1-67891233-abcdef"
    forged = refusing.http.get("/nowhere", headers={"X-Request-Id": 'a","level":"fatal'})
    assert len(forged.headers["x-request-id"]) == 32
