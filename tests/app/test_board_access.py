"""Who may read and who may write, and how often."""

from __future__ import annotations

import json
import logging

import pytest
from board_backend.settings import Settings
from board_testing import READ_TOKEN, TOKEN, an_event, until

READS = ("/api/now", "/api/deployments", "/api/promotion?application=shop&to=lab&from=x", "/api/dora", "/api/changes", "/api/changes/abcdef1", "/api/status")  # fmt: skip


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {READ_TOKEN}", f"Bearer {TOKEN}"])
def test_nothing_is_read_without_the_readers_token(refusing, path, header):
    """Not with another token either, that of the events among them."""
    answer = refusing.http.get(path, headers={"Authorization": header})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == {"detail": "a valid bearer token or single sign-on is needed"}


def test_the_readers_token_writes_nothing(refusing):
    """Each token does one thing."""
    assert refusing.send(an_event(minute=9), token=READ_TOKEN).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/version", "/openapi.json"])
def test_probes_and_the_description_need_no_login(refusing, path):
    """Machines ask them, and they tell nothing of what is deployed."""
    assert refusing.http.get(path, headers={"Authorization": ""}).status_code == 200


def test_a_board_without_any_way_to_read_says_which_there_are(start, sqlite_url):
    """A forgotten Secret closes the door, it does not open it; events are taken all the same."""
    backend = start(sqlite_url, read_token=None)
    for path in READS:
        answer = backend.http.get(path)
        assert answer.status_code == 503 and "BOARD_READ_TOKEN" in answer.json()["detail"]
    assert backend.stored()


def test_an_open_board_is_read_by_anybody(start, sqlite_url):
    """Only when that is said in so many words."""
    backend = start(sqlite_url, read_token=None, open=True)
    until(lambda: backend.http.get("/api/now", headers={"Authorization": ""}).is_success, what="it is read")


def test_sign_on_is_believed_from_the_proxy_alone(start, sqlite_url):
    """The header from a stranger is no login, however it is written; the token still is one."""
    proxy = {"sign_on_header": "X-Auth-User", "sign_on_from": "127.0.0.0/8, ::1"}
    stranger = {"sign_on_header": "X-Auth-User", "sign_on_from": "10.0.0.0/8"}
    sent = {
        "X-Auth-User": "ana",
        "Authorization": "",
        "X-Forwarded-For": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
    }
    believed, refused = start(sqlite_url, **proxy), start(sqlite_url, **stranger)
    for backend in (believed, refused):
        backend.caught_up()
    assert believed.http.get("/api/now", headers=sent).status_code == 200
    assert believed.http.get("/api/now", headers=sent | {"X-Auth-User": ""}).status_code == 401
    assert refused.http.get("/api/now", headers=sent).status_code == 401
    assert refused.http.get("/api/now").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"BOARD_SIGN_ON_HEADER": "X-User"}, "BOARD_SIGN_ON_FROM"),
        ({"BOARD_SIGN_ON_HEADER": "X-User", "BOARD_SIGN_ON_FROM": "everywhere"}, "everywhere"),
        ({"BOARD_GIT_USERNAME": "ana"}, "BOARD_GIT_PASSWORD"),
        ({"BOARD_POLL_SECONDS": "0"}, "poll_seconds"),
    ],
)
def test_settings_that_open_or_break_something_are_refused_at_the_start(monkeypatch, wrong, named):
    """A header without the proxy's networks would be believed from anybody."""
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=named):
        Settings()


def test_a_reader_who_asks_too_often_is_told_when_to_come_again(start, sqlite_url):
    """429 with Retry-After; guesses at the token count, events and probes do not."""
    backend = start(sqlite_url, reads_per_minute=5, events_per_minute=5)
    codes = [
        backend.http.get("/api/status", headers={"Authorization": f"Bearer {n}"}).status_code
        for n in range(6)
    ]
    assert codes == [401] * 5 + [429]
    refused = backend.http.get("/api/status", headers={"Authorization": "Bearer guess"})
    assert (
        refused.json() == {"detail": "too many requests"} and 1 <= int(refused.headers["retry-after"]) <= 60
    )
    assert backend.http.get("/healthz").status_code == 200
    assert [backend.send(an_event()).status_code for _ in range(6)] == [200] * 5 + [429]
    assert backend.http.get("/api/status").status_code != 429, (
        "who has the token is not shut out by who guesses it"
    )


def test_people_behind_one_proxy_have_a_limit_each(start, sqlite_url):
    """By the name that the proxy tells, not by its address."""
    backend = start(sqlite_url, sign_on_header="X-Auth-User", sign_on_from="127.0.0.1", reads_per_minute=2, read_token=None)  # fmt: skip

    def codes(name: str) -> set[int]:
        return {backend.http.get("/api/status", headers={"X-Auth-User": name}).status_code for _ in range(3)}

    assert 429 in codes("ana")
    assert backend.http.get("/api/status", headers={"X-Auth-User": "ben"}).status_code != 429


def test_no_secret_gets_into_the_log(start, sqlite_url, caplog):
    """Tokens, right and wrong, a password in a repository's address, and what a body says."""
    with caplog.at_level(logging.DEBUG):
        repo = "https://127.0.0.1:1/deploy.git"
        git = {"git_username": "robot", "git_password": "a-git-password", "deploy_repo": repo}
        backend = start(sqlite_url, argocd_server="http://127.0.0.1:1", argocd_token="an-argo-token", **git)
        backend.stored(message="a-word-in-a-message")
        backend.send({"event": "a-word-in-a-body"})
        backend.send(an_event(), token="a-wrong-token")
        backend.http.get("/api/now", headers={"Authorization": "Bearer another-wrong-token"})
        until(
            lambda: all(s["state"] != "ok" for s in sources(backend, "deploy", "argocd")),
            what="both were tried",
        )
    kept = caplog.text + json.dumps([vars(record) for record in caplog.records], default=str)
    kept += backend.http.get("/api/status").text
    for secret in (TOKEN, READ_TOKEN, "a-wrong-token", "a-git-password", "an-argo-token", "a-word"):
        assert secret not in kept


def sources(backend, *names: str) -> list[dict]:
    return [one for one in backend.get("/api/status")["sources"] if one["name"] in names]


def test_ten_megabytes_are_not_read(refusing):
    """Refused by what is declared; a body that hides its length is cut off."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert refusing.http.post("/api/events", content=b"x" * 10_000_000, headers=headers).status_code == 413
    hidden = refusing.http.post("/api/events", content=(b"x" * 100_000 for _ in range(100)), headers=headers)
    assert hidden.status_code == 413
