"""Events on their way in: none is acknowledged that is not kept, and none is lost, whatever happens to the database."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from board_backend import ingest
from board_testing import TOKEN, Backend, an_event, at, image, until

EVENTS = [
    an_event(minute=minute, commit=f"{minute:x}" * 7, application=app)
    for app in ("desk", "shop")
    for minute in range(1, 16)
]


def deliver(backend: Backend, event: dict, acknowledged: list) -> None:
    """Send an event as Argo CD does: again, until it is taken."""
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=15) as client:
        for _ in range(400):
            answer = client.post(f"{backend.url}/api/events", json=event)
            if answer.is_success:
                acknowledged.append(event)
                return
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            time.sleep(0.02)
    raise AssertionError("an event was never taken")


def test_a_database_that_is_away_for_a_while_costs_no_event(postgres, postgres_url, start):
    """Events are sent all the time while it stops and starts: what is sent, acknowledged and kept is the same."""
    backend, acknowledged = start(postgres_url), []
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(deliver, backend, event, acknowledged) for event in EVENTS[:5]]
        until(lambda: len(acknowledged) >= 3, what="some are taken before")
        postgres.stop()
        try:
            sent += [pool.submit(deliver, backend, event, acknowledged) for event in EVENTS[5:]]
            time.sleep(0.5)
            taken = len(acknowledged)
        finally:
            postgres.start()
        assert taken < len(EVENTS)
        for future in sent:
            future.result()
    assert len(acknowledged) == backend.count() == len(EVENTS)
    assert len(backend.deployments()) == len(EVENTS)


def test_what_waits_is_written_together(postgres, postgres_url, start):
    """Many events that come while the table is locked take a few transactions, not one each."""
    backend = start(postgres_url)
    backend.caught_up()
    name = postgres_url.rpartition("/")[2]
    with ThreadPoolExecutor(len(EVENTS)) as pool:
        with postgres.connect(name) as other, other.transaction():
            other.execute("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE")
            sent = [pool.submit(backend.send, event) for event in EVENTS]
            until(lambda: backend.app.state.writer.waiting == len(EVENTS), what="all wait")
        assert {future.result().status_code for future in sent} == {200}
    with postgres.connect(name) as other:
        assert other.execute("SELECT count(DISTINCT xmin::text) FROM facts").fetchone()[0] <= 2


def test_more_than_may_wait_is_turned_away_at_once(postgres, postgres_url, start, monkeypatch):
    """503 and when to come again, so that memory does not fill with what cannot be written."""
    monkeypatch.setattr(ingest, "WAITING", 3)
    backend = start(postgres_url)
    backend.caught_up()
    with ThreadPoolExecutor(3) as pool:
        with postgres.connect(postgres_url.rpartition("/")[2]) as other, other.transaction():
            other.execute("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE")
            sent = [pool.submit(backend.send, event) for event in EVENTS[:3]]
            until(lambda: backend.app.state.writer.waiting == 3, what="three wait")
            began = time.monotonic()
            refused = backend.send(EVENTS[3])
            assert time.monotonic() - began < 1
        assert {future.result().status_code for future in sent} == {200}
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert backend.count() == 3


def test_a_sender_is_answered_in_time_though_nobody_can_say_what_became_of_the_event(
    postgres, postgres_url, start, monkeypatch
):
    """It comes again, and is told that the event was kept."""
    monkeypatch.setattr(ingest, "PATIENCE", 0.3)
    backend = start(postgres_url)
    backend.caught_up()
    with postgres.connect(postgres_url.rpartition("/")[2]) as other, other.transaction():
        other.execute("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        answer = backend.send(EVENTS[0])
        assert (answer.status_code, time.monotonic() - began < 2) == (503, True)
    until(lambda: backend.count() == 1, what="it is kept after all")
    assert backend.send(EVENTS[0]).json() == {"stored": False}


def test_a_backend_that_ends_writes_what_it_took(url, start):
    """Every event that was answered with 200 is in the database of the next one."""
    backend, acknowledged = start(url), []
    until(lambda: backend.http.get("/readyz").is_success, what="it is ready")

    def send(event: dict) -> None:
        try:
            if backend.send(event).is_success:
                acknowledged.append(event["finished_at"])
        except (httpx.HTTPError, RuntimeError):
            """It ended before it answered."""

    threads = [threading.Thread(target=send, args=(event,)) for event in EVENTS]
    for thread in threads:
        thread.start()
    backend.stop()
    for thread in threads:
        thread.join()
    backend.join()
    assert start(url).count() >= len(acknowledged)


def test_the_order_of_events_and_their_repetition_change_nothing(start, migrated_sqlite, tmp_path):
    """Boards that got the same events in different orders, some twice, answer the same."""
    story = [
        an_event(minute=1, commit="1111111"),
        an_event(minute=2, commit="2222222", event="on-sync-running", finished_at=None),
        an_event(minute=2, commit="2222222", images=[image(commit="1111111"), image(commit="2222222")]),
        an_event(minute=2, commit="2222222", event="on-health-degraded", health="Degraded", health_changed_at=at(4)),
        an_event(minute=5, commit="3333333", event="on-sync-failed"),
        an_event(minute=6, commit="1111111"),
        an_event(minute=3, commit="2222222", environment="field"),
    ]  # fmt: skip
    shuffled = random.Random(6)
    answers = set()
    for number in range(3):
        file = tmp_path / f"{number}.sqlite3"
        file.write_bytes(migrated_sqlite.read_bytes())
        backend = start(f"sqlite:///{file}")
        told = [*story, *shuffled.sample(story, number)]
        shuffled.shuffle(told)
        for event in told:
            assert backend.send(event).is_success
        backend.caught_up()
        paths = ("/api/deployments", "/api/dora?environment=lab&until=2026-01-02T00:00:00Z")
        answers.add((*(backend.http.get(path).text for path in paths), str(backend.places())))
    assert len(answers) == 1


def test_two_backends_on_one_database_show_the_same(postgres_url, start):
    """What one took, the other shows a moment later."""
    one, other = start(postgres_url), start(postgres_url)
    for number, event in enumerate(EVENTS):
        assert (one, other)[number % 2].send(event).is_success
    assert one.deployments(limit=1000) == other.deployments(limit=1000)
    assert len(one.deployments(limit=1000)) == len(EVENTS)
    assert one.http.get("/api/now").headers["etag"] == other.http.get("/api/now").headers["etag"]


def test_a_row_that_is_committed_behind_newer_ones_is_still_seen(postgres, postgres_url, start):
    """Its number was given first; another transaction was faster."""
    backend = start(postgres_url)
    assert backend.stored(minute=1)
    backend.caught_up()
    copied = "event, application, 'field', revision, at, started, images, sync, health, message, stored_at"
    columns = copied.replace("'field'", "environment")
    with postgres.connect(postgres_url.rpartition("/")[2]) as slow:
        with slow.transaction():
            slow.execute(f"INSERT INTO facts (hash, {columns}) SELECT 'late', {copied} FROM facts LIMIT 1")
            assert backend.stored(minute=2, commit="2222222")
            backend.caught_up()
        late = slow.execute("SELECT max(id) > (SELECT id FROM facts WHERE hash = 'late') FROM facts")
        assert late.fetchone()[0]
    assert {place["environment"] for place in backend.places()} == {"lab", "field"}


HOSTILE = "'; DROP TABLE facts; --<script>alert(1)</script>{{7*7}}%s\u202e"


@pytest.mark.parametrize("field", ["application", "environment", "revision", "sync", "health", "event"])
def test_a_name_that_is_none_is_refused(refusing, field):
    """SQL and HTML get nowhere near a place, and are not repeated in the answer."""
    answer = refusing.send(an_event(**{field: HOSTILE}))
    assert answer.status_code == 422 and "DROP" not in answer.text and "script" not in answer.text


@pytest.mark.parametrize("text", [HOSTILE, f"r/a:{HOSTILE}", f"{HOSTILE}@sha256:{'a' * 64}"])
def test_an_image_that_is_none_is_refused(refusing, text):
    """The same for what stands in a list."""
    answer = refusing.send(an_event(images=[text]))
    assert answer.status_code == 422


def test_a_message_is_kept_as_the_text_it_is(api):
    """It is data, on its way in and out."""
    assert api.stored(message=HOSTILE)
    assert api.stored(minute=1, commit="2222222")
    assert api.count() == 2
    (first, *_) = api.app.state.store.facts()
    assert first.fact.message == HOSTILE


def test_an_event_played_again_is_known_however_it_is_written(api):
    """Another order of images and fields, another way to write a time: the same fact."""
    event = an_event(minute=3)
    assert api.send(event).json() == {"stored": True}
    again = dict(reversed(event.items())) | {"finished_at": "2026-01-01T11:03:00+01:00"}
    again["images"] = [*reversed(event["images"]), event["images"][0]]
    assert api.send(again).json() == {"stored": False}
    assert api.count() == 1
