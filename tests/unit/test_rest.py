"""JSON APIs: passing failures are repeated within bounds, refusals are told apart, credentials stay unseen."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from slipway.errors import InvalidInput, RemoteRefused, Unreachable
from slipway.rest import Rest, check_api

from tests.cli.promote_lab import JsonServer


class Echo(JsonServer):
    def answer(self, method, path, asked, body):
        return 200, {"path": path, "asked": asked, "body": body}, {}


@pytest.fixture
def lab():
    with Echo() as server:
        yield server


def rest(lab, patience=60, base=""):
    headers = {"Authorization": "Bearer s3cret"}
    return Rest(f"{lab.url}{base}", headers, name="the lab", login="set LAB_TOKEN", patience=patience)


def failing(*statuses, data={"message": "no"}, **headers):  # noqa: B006
    """A `before` that fails with these statuses, one after the other, and then no more."""
    left = [(status, data, {k.replace("_", "-"): v for k, v in headers.items()}) for status in statuses]
    return lambda method, path: left.pop(0) if left else None


def test_requests_go_below_the_base(lab):
    """Path, parameters, body and headers arrive."""
    answer = rest(lab, base="/api/v3/").ask("POST", "/repos", json={"a": 1}, params={"b": 2}).json()
    assert answer == {"path": "/api/v3/repos", "asked": {"b": "2"}, "body": {"a": 1}}
    assert lab.headers["Authorization"] == "Bearer s3cret" and lab.headers["User-Agent"] == "slipway"


def test_passing_failures_are_repeated(lab):
    """Overload and outage are waited out."""
    lab.before = failing(503, 429, 502)
    assert rest(lab).ask("GET", "/x").status_code == 200
    assert len(lab.requests) == 4


def test_retry_after_is_obeyed(lab):
    """The pause that the server asks for is made, in seconds or as a date."""
    lab.before = failing(429, Retry_After="1")
    begun = time.monotonic()
    rest(lab).ask("GET", "/x")
    assert 1 <= time.monotonic() - begun < 5
    lab.before = failing(
        503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    )
    begun = time.monotonic()
    rest(lab).ask("GET", "/x")
    assert 0.5 <= time.monotonic() - begun < 5


@pytest.mark.parametrize("by_clock", [False, True], ids=["for seconds", "until a time"])
@pytest.mark.parametrize("status", [403, 429])
def test_a_long_pause_is_not_waited_for(lab, status, by_clock):
    """A limit that lasts for an hour ends the run at once, and the time is named."""
    reset = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": f"{time.time() + 3600:.0f}"}
    lab.before = failing(*[status] * 9, **(reset if by_clock else {"Retry_After": "3600"}))
    with pytest.raises(Unreachable, match=r"left alone for 3\d{3} s") as caught:
        rest(lab).ask("GET", "/x")
    assert len(lab.requests) == 1 and caught.value.exit_code == 6


def test_outage_is_given_up(lab):
    """What goes on for longer than the patience is an error of its own."""
    lab.before = failing(*[500] * 99)
    with pytest.raises(Unreachable, match="the lab does not answer: 500 no"):
        rest(lab, patience=0.05).ask("GET", "/x")
    with pytest.raises(Unreachable, match="127.0.0.1:1"):
        Rest("http://127.0.0.1:1", {}, name="x", login="", patience=0.05).ask("GET", "/x")


@pytest.mark.parametrize(("status", "text"), [(401, "LAB_TOKEN"), (403, "LAB_TOKEN"), (404, "has no /x"), (400, "refuses GET /x"), (422, "refuses GET /x")])  # fmt: skip
def test_refusals_are_not_repeated(lab, status, text):
    """A refusal is asked for once, with the API's own words and the way out, without the credential."""
    lab.before = failing(status, data={"message": "said so", "errors": [{"message": "and so"}, "x"]})
    with pytest.raises(RemoteRefused) as caught:
        rest(lab).ask("GET", "/x")
    assert text in caught.value.render() and "s3cret" not in caught.value.render()
    assert len(lab.requests) == 1 and caught.value.exit_code == 4
    assert status == 404 or "said so; and so" in caught.value.message


def test_redirects_are_not_followed(lab):
    """A credential does not travel to where a redirect points."""
    with Echo() as other:
        lab.before = failing(307, Location=f"{other.url}/x")
        with pytest.raises(InvalidInput, match="redirects GET /x"):
            rest(lab).ask("GET", "/x")
        assert other.requests == []


def test_errors_that_are_no_json_are_told(lab):
    """A gateway's HTML, or JSON of another shape, does not hide the status."""
    for data in (b"<html>", ["x"], {"message": 1, "errors": None}):
        lab.before = failing(400, data=data)
        with pytest.raises(RemoteRefused, match=r"\(400\)"):
            rest(lab).ask("GET", "/x")


@pytest.mark.parametrize("url", ["http://git.example", "http://8.8.8.8/api", "ftp://git.example", "git.example", "https://", "https://user:s3cret@git.example"])  # fmt: skip
def test_unsafe_addresses_are_refused(url):
    """Plain HTTP is for private addresses; a credential in an address is not repeated."""
    with pytest.raises(InvalidInput) as caught:
        check_api(url)
    assert "s3cret" not in caught.value.render()


@pytest.mark.parametrize("url", ["https://git.example/api/", "http://127.0.0.1:3000", "http://10.250.1.2:30080", "http://localhost", "http://[::1]:80", "http://[fd00::1]"])  # fmt: skip
def test_safe_addresses_are_taken(url):
    """HTTPS anywhere, and what stays within private networks."""
    assert check_api(url) == url.rstrip("/")
