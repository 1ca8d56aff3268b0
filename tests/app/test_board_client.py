"""The frontend's client against a server on loopback."""

from __future__ import annotations

import time

import pytest
from board_frontend import client as module
from board_frontend.client import (
    BoardClient,
    BoardError,
    BoardForbidden,
    BoardInvalid,
    BoardMismatch,
    BoardUnavailable,
    BoardUnknown,
)
from board_frontend.settings import Settings, SettingsError
from board_stub import BoardStub, sha
from board_testing import READ_TOKEN, free_port


@pytest.fixture
def backend():
    """A stub of the backend."""
    stub = BoardStub()
    yield stub
    stub.stop()


@pytest.fixture
def client(backend) -> BoardClient:
    return BoardClient(backend.url, timeout=5, token="a-token")


def test_every_question_is_asked_where_the_api_answers_it(backend, client):
    """Path, parameters in one order, nothing for what is not asked."""
    assert client.now().value.places[0].application == "shop"
    assert client.deployments(environment="prod", limit="5", application=None).value.items
    assert client.promotion(application="shop", to="prod").value.from_ == "staging"
    assert client.figures(environment="prod").value.change_failure.of == 152
    assert client.changes().value.items[0].author == "Ada Lovelace"
    assert client.change("registry/a b@sha256:1").value.verdicts[0].state == "live"
    assert client.status().value.sources[0].name == "deploy"
    assert list(backend.asked) == [
        "/api/now",
        "/api/deployments?environment=prod&limit=5",
        "/api/promotion?application=shop&to=prod",
        "/api/dora?environment=prod",
        "/api/changes?limit=30",
        "/api/changes/registry%2Fa%20b%40sha256%3A1",
        "/api/status",
    ]


def test_the_real_backend_answers_what_the_pages_understand(board):
    """Both sides agree on paths, parameters and shapes, with and without a deployment."""
    client = BoardClient(board.url, timeout=5, token=READ_TOKEN)
    assert client.now().value.places == []
    with pytest.raises(BoardUnknown, match="No environment lab"):
        client.figures(environment="lab")
    assert board.stored(minute=1, commit="1111111") and board.stored(minute=2, commit="2222222")
    board.caught_up()
    (place,) = client.now().value.places
    assert (place.application, place.environment, place.commit) == ("shop", "lab", "2222222")
    (newest, oldest) = client.deployments(environment="lab", limit="10").value.items
    assert newest.at > oldest.at and newest.state == "live"
    asked = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    assert client.figures(environment="lab", application="shop", **asked).value.frequency.count == 2
    assert client.status().value.deployments == 2
    assert client.changes().value.items == []
    with pytest.raises(BoardUnknown):
        client.change("0000000")
    with pytest.raises(BoardForbidden):
        BoardClient(board.url, timeout=5, token="another").now()
    with pytest.raises(BoardInvalid):
        client.deployments(limit="0")


def test_the_token_goes_along_as_bearer_and_nowhere_else(backend, client):
    """Not into the address; nothing is sent when there is none."""
    client.now()
    assert backend.headers["authorization"] == "Bearer a-token"
    assert not any("a-token" in address for address in backend.asked)
    BoardClient(backend.url, timeout=5).now()
    assert "authorization" not in backend.headers


def test_an_unchanged_answer_is_kept_and_true_again(backend, client):
    """The server says 304; the same object is shown with a newer time."""
    first = client.now()
    second = client.now()
    assert backend.unchanged == 1
    assert second.value is first.value and second.at > first.at
    backend.answers["/api/now"] = {"environments": [], "places": []}
    assert client.now().value.places == []


def test_answers_to_different_questions_are_kept_apart(backend, client):
    """As many as there is room for; the one longest unused is asked for anew."""
    for n in range(module.KEPT + 1):
        client.deployments(application=f"a{n}")
    client.deployments(application=f"a{module.KEPT}")
    assert backend.unchanged == 1
    client.deployments(application="a0")
    assert backend.unchanged == 1


def test_a_failure_carries_what_was_known_before(backend, client):
    """So that a page can go on showing it."""
    known = client.now()
    backend.cut = True
    with pytest.raises(BoardUnavailable, match="cannot be reached") as caught:
        client.now()
    assert caught.value.known == known
    with pytest.raises(BoardUnavailable) as caught:
        client.status()
    assert caught.value.known is None


def test_what_may_no_longer_be_read_is_forgotten(backend, client):
    """Not shown again when the backend is away afterwards."""
    client.now()
    backend.status = 403
    with pytest.raises(BoardForbidden, match="status 403") as caught:
        client.now()
    assert caught.value.known is None
    backend.cut = True
    with pytest.raises(BoardUnavailable) as caught:
        client.now()
    assert caught.value.known is None


def test_nobody_there_is_unavailable():
    """A refused connection."""
    with pytest.raises(BoardUnavailable, match="cannot be reached"):
        BoardClient(f"http://127.0.0.1:{free_port()}", timeout=1).now()


def test_an_answer_that_takes_too_long_is_unavailable(backend):
    """The time allowed is what was asked for."""
    backend.delay = 5
    begin = time.monotonic()
    with pytest.raises(BoardUnavailable, match=r"did not answer within 0\.2 s"):
        BoardClient(backend.url, timeout=0.2).now()
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("status", "detail", "error", "text"),
    [
        (500, "", BoardUnavailable, "cannot answer right now (status 500)."),
        (503, "The database is away.", BoardUnavailable, "(status 503): The database is away."),
        (401, "", BoardForbidden, "does not let this page read (status 401)"),
        (404, "Nothing records abc.", BoardUnknown, "Nothing records abc."),
        (404, "Not Found", BoardMismatch, "refused the question (status 404)"),
        (422, "since is no time", BoardInvalid, "Since is no time."),
        (422, [{"loc": []}], BoardInvalid, "one of the values (status 422)"),
        (302, "", BoardMismatch, "refused the question (status 302)"),
    ],
)
def test_a_bad_status_is_an_error_that_says_what_to_make_of_it(backend, client, status, detail, error, text):
    """Whether trying again may help is in the class; the backend's own sentence is in the text."""
    backend.status, backend.detail = status, detail
    with pytest.raises(error) as caught:
        client.now()
    assert text in str(caught.value)


def test_a_detail_of_any_length_stays_short(backend, client):
    """A page has to show it."""
    backend.status, backend.detail = 503, "x" * 100_000
    with pytest.raises(BoardUnavailable) as caught:
        client.now()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("wait", ["30", "soon", "-5", "1e9"])
def test_a_backend_that_is_asked_too_often_is_left_alone(backend, client, wait):
    """For as long as it says, if that can be read."""
    backend.status, backend.more_headers = 429, {"Retry-After": wait}
    for _ in range(3):
        with pytest.raises(BoardUnavailable, match="asked too often"):
            client.now()
    assert backend.asked.total() == 1
    backend.status = 200
    if wait != "30":
        time.sleep(1.1)
        assert client.now().value.places


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"places": [{"application": 1}]}', b"\xff"])
def test_an_answer_of_another_shape_is_a_mismatch(backend, client, body):
    """A proxy's page, or a version too far away."""
    backend.answers["/api/now"] = body
    with pytest.raises(BoardMismatch, match="understands"):
        client.now()


def test_fields_the_page_does_not_know_are_ignored(backend, client):
    """The backend may be newer than the page: both are replaced one Pod at a time."""
    backend.answers["/api/now"]["places"][0] |= {"more": {}, "health": "Novel"}
    backend.answers["/api/now"]["more"] = 1
    assert client.now().value.places[0].health == "Novel"


def test_answers_are_never_changed(client):
    """All open pages of a process share them."""
    with pytest.raises(ValueError, match="frozen"):
        client.now().value.places[0].version = "x"


def test_every_error_is_a_sentence_for_a_reader(backend):
    """The page shows the text as it is."""
    client = BoardClient(backend.url, timeout=1)
    for status in (302, 401, 404, 422, 500, 429):
        backend.status = status
        with pytest.raises(BoardError) as caught:
            client.now()
        assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOARD_REFRESH_SECONDS", "soon"),
        ("BOARD_REFRESH_SECONDS", "0"),
        ("BOARD_TIMEOUT_SECONDS", "nan"),
        ("BOARD_API_URL", "board-backend"),
        ("BOARD_READ_TOKEN", "söcret"),
        ("BOARD_READ_TOKEN", "two\nlines"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(variable, value):
    """At the start, not on the page; and a secret is not repeated."""
    with pytest.raises(SettingsError, match=variable) as caught:
        Settings.from_environment({variable: value})
    assert variable != "BOARD_READ_TOKEN" or value not in str(caught.value)


def test_the_token_is_not_part_of_what_settings_print():
    """They may come into a log."""
    settings = Settings.from_environment({"BOARD_READ_TOKEN": f"{sha('secret')}\n"})
    assert settings.read_token == sha("secret") and sha("secret") not in repr(settings)
