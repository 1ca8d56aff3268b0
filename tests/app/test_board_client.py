"""The frontend's client against real servers."""

from __future__ import annotations

import time

import pytest
from board_frontend.client import BoardClient, BoardError, BoardMismatch, BoardUnavailable
from board_testing import free_port


def test_the_client_reads_what_the_backend_says(board):
    """Both sides agree on the schema."""
    board.stored(minute=1, commit="1111111")
    board.stored(minute=2, commit="2222222")
    (item,) = BoardClient(board.url, timeout=5).current()
    assert (item.application, item.environment, item.commit) == ("shop", "lab", "2222222")
    assert item.images[0].digest == "sha256:" + "2" * 64
    assert item.running_since == item.deployed_at


def test_nobody_there_is_unavailable():
    """A refused connection."""
    with pytest.raises(BoardUnavailable, match="cannot be reached"):
        BoardClient(f"http://127.0.0.1:{free_port()}", timeout=1).current()


def test_an_answer_that_takes_too_long_is_unavailable(stub):
    """The time allowed is what was asked for."""
    stub.delay = 5
    begin = time.monotonic()
    with pytest.raises(BoardUnavailable, match=r"did not answer within 0\.2 s"):
        BoardClient(stub.url, timeout=0.2).current()
    assert time.monotonic() - begin < 2


def test_a_connection_that_is_cut_is_unavailable(stub):
    """As when the backend's Pod is killed in the middle of a request."""
    stub.cut = True
    with pytest.raises(BoardUnavailable, match="cannot be reached"):
        BoardClient(stub.url, timeout=1).current()


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, BoardUnavailable), (503, BoardUnavailable), (429, BoardUnavailable), (404, BoardMismatch), (302, BoardMismatch)],
)  # fmt: skip
def test_a_bad_status_is_an_error_that_names_it(stub, status, error):
    """Whether trying again may help is in the class."""
    stub.status = status
    with pytest.raises(error, match=str(status)):
        BoardClient(stub.url, timeout=1).current()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items": [{"application": 1}]}', b"\xff"])
def test_an_answer_of_another_shape_is_a_mismatch(stub, body):
    """A proxy's page, or a version too far away."""
    stub.body = body
    with pytest.raises(BoardMismatch, match="understands"):
        BoardClient(stub.url, timeout=1).current()


def test_fields_the_page_does_not_know_are_ignored(stub):
    """The backend may be newer than the page: both are replaced one Pod at a time."""
    stub.body = b"""{"more": 1, "items": [{"application": "a", "environment": "b", "revision": "c",
                     "deployed_at": "2026-01-01T00:00:00Z", "more": {}}]}"""
    assert BoardClient(stub.url, timeout=1).current()[0].images == []


def test_every_error_says_something_to_a_reader():
    """The page shows the text as it is."""
    assert issubclass(BoardUnavailable, BoardError) and issubclass(BoardMismatch, BoardError)
    with pytest.raises(BoardError) as caught:
        BoardClient(f"http://127.0.0.1:{free_port()}", timeout=1).current()
    assert str(caught.value).endswith(".")
