"""What is read from Git and from Argo CD: taken in as it changes, and told when it cannot be."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest
from board_testing import Backend, an_event, at, image, until

from tests.cli.bump_lab import GitServer, git, invoke, kustomization
from tests.cli.dora_lab import DAY, Repo, bump, event, overlay, story
from tests.cli.dora_lab import at as minute
from tests.cli.promote_lab import JsonServer

REPOS = ("deploy", "source", "events")
LONG = {"since": DAY.isoformat(), "until": (DAY + timedelta(days=14)).isoformat()}


@pytest.fixture
def repos(tmp_path) -> dict[str, Repo]:
    """A deploy, a source and an event repository with a story in them."""
    return story(tmp_path)


def addresses(repos: dict[str, Repo]) -> dict[str, str]:
    return {f"{name}_repo": str(repos[name].path) for name in REPOS}


def source(backend: Backend, name: str) -> dict:
    return next(one for one in backend.get("/api/status")["sources"] if one["name"] == name)


def read(backend: Backend, *names: str, state: str = "ok") -> Backend:
    """The backend, when these sources are in that state and the table is shown."""
    until(lambda: backend.http.get("/api/status").is_success, what="the table is read")

    def reached(name: str) -> bool:
        found = source(backend, name)
        return found["state"] == state and found["message"] != "it is being read"

    for name in names:
        until(lambda n=name: reached(n), what=f"{name} is {state}")
    backend.caught_up()
    return backend


def test_the_log_alone_gives_what_posting_gave(repos, start, migrated_sqlite, tmp_path):
    """A board that heard nothing reads the log; one that was told everything, in another order, shows the same."""
    urls = [f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / name)}" for name in ("a.db", "b.db")]
    where = addresses(repos)
    silent = read(start(urls[0], **where), *REPOS)
    where.pop("events_repo")
    told = read(start(urls[1], **where), "deploy", "source")
    listed = git("ls-tree", "-r", "--name-only", "main", cwd=repos["events"].path).split()
    files = [name for name in listed if name.endswith(".json")]
    assert len(files) == 4
    for name in reversed(files):
        body = json.loads(git("show", f"main:{name}", cwd=repos["events"].path))
        assert told.send(body).json() == {"stored": True}
        assert silent.send(body).json() == {"stored": False}
    told.caught_up()
    for path in ("/api/deployments", "/api/dora", "/api/changes"):
        query = LONG if path == "/api/dora" else {}
        assert silent.get(path, **query) == told.get(path, **query)
    assert silent.places() == told.places()


def test_figures_are_those_of_the_command_to_the_second(repos, start, sqlite_url):
    """`slipway dora --json` on the same repositories, for one application and for all."""
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    where = ["--repo", str(repos["deploy"].path), "--events", str(repos["events"].path)]
    where += [
        "--source",
        str(repos["source"].path),
        "--since",
        LONG["since"],
        "--until",
        LONG["until"],
        "--json",
    ]
    for environment, application in ((None, None), ("prod", "board"), ("dev", None), ("prod", "desk")):
        chosen = ["--env", environment] if environment else []
        chosen += ["--app", application] if application else []
        command = json.loads(invoke("dora", *where, *chosen).stdout)
        board = backend.get("/api/dora", environment=environment, application=application, **LONG)
        assert board == command
    assert backend.get("/api/dora", **LONG)["lead_time"]["median"] == 55 * 60


def test_a_new_event_in_the_log_is_seen_without_anybody_telling(repos, start, sqlite_url):
    """Only what is new is read; what is no event is left out, and told."""
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    s3 = repos["source"].commit("s3", {"a": "3"}, 290)
    d3 = repos["deploy"].commit(bump(s3), overlay("s3"), 300)
    repos["events"].commit("e", event("on-deployed", d3, s3, 301, 302) | {"prod/board/bad.json": "{"}, 302)
    until(lambda: backend.count() == 5, what="the event is stored")
    backend.caught_up()
    (place,) = backend.places()
    assert (place["commit"], place["subject"], place["revision"]) == (s3, "s3", d3)
    until(
        lambda: "prod/board/bad.json" in source(backend, "events")["message"], what="what is left out is told"
    )
    (newest, *_) = backend.deployments()
    assert (newest["kind"], newest["commits"], newest["lead_seconds"]) == ("images", 1, 12 * 60)


def test_what_git_names_and_holds_and_closes_is_shown(repos, start, sqlite_url):
    """A bump that is not live yet is wanted; the hold says who and why, the freeze when it opens."""
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    (place,) = backend.places()
    assert place["wanted"] is None and place["hold"] is None
    end = (datetime.now(UTC) + timedelta(days=2)).replace(second=0, microsecond=0)
    policy = "name: prod\norder: 2\nfrom: dev\ndelivery: pull-request\n" + (
        "holds: [{app: board, reason: v3 loses orders, since: '2026-03-01T09:30:00Z', by: ana}]\n"
        "freezes: [{name: audit, reason: the books, timezone: UTC, start: '2026-01-01T00:00', "
        f"end: '{end:%Y-%m-%dT%H:%M}'}}]\n"
    )
    name = place["images"][0]["name"]
    s3 = repos["source"].commit("s3", {"a": "3"}, 290)
    files = {
        "overlays/prod/board/kustomization.yaml": kustomization((name, f"v3-{s3[:7]}", "sha256:" + "3" * 64)),
        "overlays/prod/environment.yaml": policy,
    }
    repos["deploy"].commit(bump(s3), files, 300)
    wanted = {"version": f"v3-{s3[:7]}", "commit": s3}
    (place,) = until(lambda: [p for p in backend.places() if p["wanted"] == wanted], what="the bump is seen")
    assert place["hold"] == {"by": "ana", "since": "2026-03-01T09:30:00Z", "reason": "v3 loses orders"}
    assert place["compared"] == {"to": "dev", "state": "unknown", "commits": None}
    dev, prod = backend.get("/api/now")["environments"]
    assert (dev["name"], dev["order"], dev["delivery"], dev["freeze"]) == ("dev", 1, "direct", None)
    assert (prod["from"], prod["delivery"]) == ("dev", "pull-request")
    assert prod["freeze"]["name"] == "audit" and datetime.fromisoformat(prod["freeze"]["until"]) == end
    assert f"it opens at {end:%Y-%m-%d %H:%M} UTC" in prod["freeze"]["text"]


def test_an_environment_is_compared_with_the_one_before_it(repos, start, sqlite_url):
    """The same, so many commits behind, or different when it has what the other has not."""
    chained = {"overlays/prod/environment.yaml": "name: prod\norder: 2\nfrom: dev\ndelivery: direct\n"}
    repos["deploy"].commit("prod is promoted from dev", chained, 250)
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)

    def compared() -> dict:
        return next(p["compared"] for p in backend.places() if p["environment"] == "prod")

    def live(environment: str, commit: str, began: int) -> None:
        body = json.loads(
            next(iter(event("on-deployed", repos["deploy"].tip, commit, began, began + 1).values()))
        )
        assert backend.send(body | {"environment": environment}).is_success

    commits = [repos["source"].commit(f"s{n}", {"a": str(n)}, 260 + n) for n in range(3, 6)]
    live("dev", commits[2], 300)
    until(lambda: compared() == {"to": "dev", "state": "behind", "commits": 4}, what="prod is behind")
    live("prod", commits[2], 310)
    until(lambda: compared() == {"to": "dev", "state": "same", "commits": 0}, what="prod is the same")
    live("dev", commits[0], 320)
    until(lambda: compared() == {"to": "dev", "state": "different", "commits": None}, what="prod is ahead")


def test_a_repository_that_goes_away_is_told_and_comes_back(repos, start, sqlite_url, tmp_path):
    """What was read is shown on; the others are read on; when it is back, so is what it got meanwhile."""
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    shown = backend.places()
    hidden = repos["deploy"].path.rename(tmp_path / "hidden")
    read(backend, "deploy", state="stale")
    assert "is not there" in source(backend, "deploy")["message"] and source(backend, "deploy")["since"]
    assert source(backend, "events")["state"] == "ok" and backend.places() == shown
    hidden.rename(repos["deploy"].path)
    repos["deploy"].commit(
        "gone", {"overlays/dev/environment.yaml": "name: dev\norder: 7\ndelivery: direct\n"}, 400
    )
    read(backend, "deploy")
    until(lambda: backend.get("/api/now")["environments"][0]["name"] == "prod", what="the new order is seen")


def test_a_branch_that_was_rewritten_is_read_anew(repos, start, sqlite_url):
    """Reverted by force, the deployment is no rollback by Git's evidence any more."""
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    until(lambda: backend.deployments()[0]["kind"] == "rollback", what="the revert is read")
    git("update-ref", "refs/heads/main", "main~1", cwd=repos["deploy"].path)
    repos["deploy"].commit("something else", {"README.md": "x"}, 500)
    until(
        lambda: (
            backend.deployments()[1]["failure"]["reason"] == "degraded"
            and not backend.deployments()[0]["failure"]
            and backend.get("/api/deployments", kind="rollback")["items"] != []
            and source(backend, "deploy")["state"] == "ok"
        ),
        what="the new branch is read",
    )


def test_a_policy_that_is_not_clear_costs_its_own_environment_only(repos, start, sqlite_url):
    """Named with its file; all the rest is there."""
    repos["deploy"].commit("oops", {"overlays/dev/environment.yaml": "name: dev\norder: soon\n"}, 260)
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    assert "overlays/dev/environment.yaml" in source(backend, "deploy")["message"]
    names = {one["name"]: one["order"] for one in backend.get("/api/now")["environments"]}
    assert names == {"prod": 2}
    assert backend.places()[0]["subject"] == "s1"


def test_repositories_are_read_with_credentials_that_nobody_sees(repos, start, url, caplog):
    """A wrong password is told as such, and not what it is; a server that does not answer holds nothing up."""
    root = repos["deploy"].path.parent
    with GitServer(root, login=("reader", "a-git-password")) as server:
        where = {f"{name}_repo": f"{server.url}/{name}.git" for name in REPOS}
        login = {"git_username": "reader", "git_password": "a-git-password"}
        backend = read(start(url, **where, **login, git_url="https://git.example/team/"), *REPOS)
        assert len(backend.deployments()) == 3
        (place,) = backend.places()
        assert place["links"]["commit"] == f"https://git.example/team/source/commit/{place['commit']}"
        assert place["links"]["deploy"] == f"https://git.example/team/deploy/commit/{place['revision']}"
        wrong = start(url, **where, **login | {"git_password": "a-wrong-password"})
        read(wrong, "deploy", state="stale")
        message = source(wrong, "deploy")["message"]
    assert "does not accept these credentials" in message
    assert "password" not in message.lower() + caplog.text.replace("SLIPWAY_GIT_PASSWORD", "")


def test_a_server_that_hangs_holds_up_neither_answers_nor_the_end(repos, start, sqlite_url):
    """The other repositories are not read then, but events are taken, and the process ends in time."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        repo = f"http://127.0.0.1:{deaf.getsockname()[1]}/deploy.git"
        backend = start(sqlite_url, deploy_repo=repo)
        assert backend.stored() and len(backend.deployments()) == 1
        began = time.monotonic()
        backend.stop()
        backend.join()
        assert time.monotonic() - began < 8


class Argo(JsonServer):
    """Argo CD's list of Applications, and whoever asks with another token than this one."""

    def __init__(self, *applications: dict):
        super().__init__()
        self.items = list(applications)

    def answer(self, method, path, asked, body):
        if self.requests[-1][2] != "Bearer an-argo-token":
            return 401, {"message": "no session"}, {}
        return (200, {"items": self.items}, {}) if path == "/api/v1/applications" else (404, {}, {})


def application(number: int, **status) -> dict:
    """An Application whose sync of this minute ended well, after two that its history has."""
    told = an_event(minute=number)
    operation = {"phase": "Succeeded", "startedAt": at(number), "finishedAt": at(number), "message": "done"}
    operation |= {
        "syncResult": {
            "revision": told["revision"],
            "resources": [{"status": "Synced", "images": told["images"]}],
        }
    }
    history = [
        {"revision": f"{n:02}" * 20, "deployStartedAt": at(n), "deployedAt": at(n)}
        for n in (number - 2, number - 1)
    ]
    return {
        "metadata": {"name": "lab-shop", "labels": {"application": "shop", "environment": "lab"}},
        "status": {
            "operationState": operation, "history": history, "sync": {"status": "Synced", "revision": told["revision"]},
            "health": {"status": "Healthy", "lastTransitionTime": at(number)}, "summary": {"images": [image(commit="9999999"), "postgres:15"]},
        } | status,
    }  # fmt: skip


def test_what_no_notification_told_is_taken_from_argocd(start, url):
    """A board that was down during a deployment shows it; what was told already is not told twice."""
    with Argo(application(5)) as argo:
        login = {
            "argocd_server": argo.url,
            "argocd_token": "an-argo-token",
            "argocd_url": "https://argo.example",
        }
        backend = read(start(url, **login), "argocd")
        until(lambda: backend.count() == 3, what="the status is stored")
        (place,) = backend.places()
        assert (place["deployed_at"], place["commit"], len(place["images"])) == (at(5), "1111111", 3)
        assert place["links"]["argocd"] == "https://argo.example/applications/argocd/lab-shop"
        backend.app.state.argocd.poke()
        until(lambda: argo.count("GET") >= 2, what="it is asked again")
        again = read(start(url, **login), "argocd")
        assert again.count() == 3


def test_argocd_that_refuses_is_told_and_stops_nothing(start, sqlite_url):
    """With the reason; the events are taken on."""
    with Argo(application(5)) as argo:
        backend = read(
            start(sqlite_url, argocd_server=argo.url, argocd_token="another"), "argocd", state="stale"
        )
        assert "refuses" in source(backend, "argocd")["message"]
        assert backend.stored() and backend.places()


def test_what_is_not_configured_is_off_and_says_by_what(refusing):
    """Never an error: a board that gets only events shows these."""
    found = {one["name"]: (one["state"], one["message"]) for one in refusing.get("/api/status")["sources"]}
    assert found == {
        "deploy": ("off", "BOARD_DEPLOY_REPO is not set"),
        "source": ("off", "BOARD_SOURCE_REPO is not set"),
        "events": ("off", "BOARD_EVENTS_REPO is not set"),
        "argocd": ("off", "BOARD_ARGOCD_SERVER and BOARD_ARGOCD_TOKEN are not both set"),
        "database": ("ok", ""),
    }


def test_an_application_that_git_has_no_more_is_gone_from_what_runs(repos, start, sqlite_url):
    """Its deployments stay; a place that Git never had is not taken for a removed one."""
    backend = read(start(sqlite_url, **addresses(repos)), *REPOS)
    backend.stored(minute=1)
    assert {p["application"] for p in backend.places()} == {"board", "shop"}
    git_remove(repos["deploy"], "overlays/prod/board/kustomization.yaml")
    until(lambda: {p["application"] for p in backend.places()} == {"shop"}, what="the removal is seen")
    assert len(backend.get("/api/deployments", application="board")["items"]) == 3


def git_remove(repo: Repo, path: str) -> None:
    stream = f"commit refs/heads/main\ncommitter c <c@c> {minute(600).timestamp():.0f} +0000\ndata 1\nx\n"
    git("fast-import", "--quiet", cwd=repo.path, input=f"{stream}from refs/heads/main^0\nD {path}\n".encode())
