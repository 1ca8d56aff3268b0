"""One change on the board: the answer of `slipway live`, and its way step by step."""

from __future__ import annotations

import json

import pytest
from board_testing import Backend, until

from tests.cli.bump_lab import kustomization
from tests.cli.dora_lab import Repo, at, event, story
from tests.cli.test_live import BROKEN, SOURCE, ReplayedArgo, World, frames, images, revision, stand_for
from tests.cli.test_live import TOKEN as ARGO_TOKEN


def settled(backend: Backend, *names: str) -> Backend:
    """The backend, when these repositories are read."""

    def states() -> set[str]:
        answer = backend.http.get("/api/status")
        found = answer.json()["sources"] if answer.is_success else []
        return {one["state"] for one in found if one["name"] in names}

    until(lambda: states() == {"ok"}, what="the repositories are read")
    backend.caught_up()
    return backend


@pytest.fixture
def world(tmp_path) -> World:
    """A deploy repository whose newest commit bumped the images of a recording."""
    return World(tmp_path)


def recorded(world: World, frame: int) -> list[dict]:
    """What Argo CD answered at one moment of a rollout that never gets ready, of this world's bump."""
    found = frames(BROKEN)
    sha = world.bump(images(found[0]))
    return stand_for(found, revision(found[min(frame, 1)]), sha)[frame : frame + 1]


@pytest.mark.parametrize(("frame", "state"), [(0, "live"), (3, "rolling"), (5, "degraded")])
def test_verdicts_are_those_of_the_command(world, start, sqlite_url, frame, state):
    """Byte for byte, for a commit, an image and a deploy commit."""
    answers = recorded(world, frame)
    image, (tag, digest) = next(iter(images(answers[0]).items()))
    with ReplayedArgo(answers) as argo:
        login = {"argocd_server": argo.url, "argocd_token": ARGO_TOKEN}
        backend = settled(start(sqlite_url, deploy_repo=str(world.deploy.path), **login), "deploy")
        for what in (SOURCE, SOURCE[:9], f"{image}:{tag}", f"{image}@{digest}", world.deploy.tip[:12]):
            command = json.loads(world.live(argo, what, "--json").stdout)["verdicts"]
            board = backend.get(f"/api/changes/{what}")
            assert board["verdicts"] == command, what
            assert board["live_known"] is True
            dev = next(one for one in board["steps"] if one["environment"] == "dev")
            assert (
                dev["state"] == next(one["state"] for one in command if one["environment"] == "dev") == state
            )


def test_without_argocd_it_says_what_git_says(world, start, sqlite_url):
    """And that nobody asked whether it is live."""
    recorded(world, 0)
    backend = settled(start(sqlite_url, deploy_repo=str(world.deploy.path)), "deploy")
    found = backend.get(f"/api/changes/{SOURCE}")
    assert found["live_known"] is False and found["verdicts"] == [] and found["commit"] is None
    assert [(one["environment"], one["state"]) for one in found["steps"]] == [("dev", "waiting")]


def test_an_argocd_that_is_away_is_no_error(world, start, sqlite_url):
    """Git's answer is better than none."""
    recorded(world, 0)
    login = {"argocd_server": "http://127.0.0.1:1", "argocd_token": ARGO_TOKEN}
    backend = settled(start(sqlite_url, deploy_repo=str(world.deploy.path), **login), "deploy")
    assert backend.get(f"/api/changes/{SOURCE}")["live_known"] is False


@pytest.fixture
def repos(tmp_path) -> dict[str, Repo]:
    """The story of three deployments, with images in the overlays."""
    repos = story(tmp_path)
    body = json.loads(next(iter(event("on-deployed", "a" * 40, repos["source"].tip, 0, 1).values())))
    name, _, digest = body["images"][0].partition("@")
    name, _, tag = name.rpartition(":")
    files = {
        f"overlays/{env}/board/kustomization.yaml": kustomization((name, tag, digest))
        for env in ("dev", "prod")
    }
    repos["deploy"].commit("images written out", files, 250)
    return repos


@pytest.fixture
def backend(repos, start, url) -> Backend:
    """The board over the story."""
    where = {f"{name}_repo": str(repo.path) for name, repo in repos.items()}
    return settled(start(url, **where), *repos)


def test_each_step_has_its_time(backend, repos):
    """Of the change that went live: 20 minutes to the bump, 30 to the merge, one to the sync, four to healthy."""
    found = backend.get(f"/api/changes/{repos['source'].tip}")
    assert (found["commit"]["subject"], found["commit"]["author"]) == ("s2", "a")
    (prod,) = [one for one in found["steps"] if one["environment"] == "prod"]
    times = [(one["name"], one["at"] and one["at"][:16], one["seconds"]) for one in prod["steps"]]
    assert times == [
        ("committed", f"{at(100):%Y-%m-%dT%H:%M}", None), ("built", f"{at(120):%Y-%m-%dT%H:%M}", 1200),
        ("written", f"{at(120):%Y-%m-%dT%H:%M}", 0), ("merged", f"{at(150):%Y-%m-%dT%H:%M}", 1800),
        ("synced", f"{at(151):%Y-%m-%dT%H:%M}", 60), ("live", f"{at(155):%Y-%m-%dT%H:%M}", 240),
    ]  # fmt: skip


def test_the_newest_changes_are_listed(backend, repos):
    """Those that some environment runs, ran or will run; one that nothing bumped is not among them."""
    repos["source"].commit("not built yet", {"a": "9"}, 290)
    assert [one["subject"] for one in backend.get("/api/changes")["items"]] == ["s2", "s1"]
    assert [one["subject"] for one in backend.get("/api/changes", limit=1)["items"]] == ["s2"]


def test_a_commit_that_was_not_built_is_said_so(backend, repos):
    """Known to the source repository alone: the verdict of the command."""
    sha = repos["source"].commit("not built yet", {"a": "9"}, 290)
    answer = until(
        lambda: (found := backend.http.get(f"/api/changes/{sha}")).is_success and found.json(),
        what="it is read",
    )
    assert answer["commit"]["subject"] == "not built yet" and answer["steps"] == []
    assert [one["state"] for one in answer["verdicts"]] == ["not-built"]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("9" * 40, 404, "no commit of the deploy or source repository is"),
        ("abcdef1", 404, "no commit of the deploy or source repository is"),
        ("registry.example/other:v1", 404, "no application has an image of"),
        ("hello", 422, "is neither a commit nor an image"),
        ("registry.example/UPPER:v1", 422, "is not an image name"),
        ("registry.example/a/b", 422, "names no version"),
        ("<script>alert(1)</script>", 422, ""),
        ("x" * 601, 422, "text: "),
    ],
)
def test_what_nothing_records_is_said_in_a_sentence(start, sqlite_url, repos, text, status, said):
    """404 for what may still come or never was, 422 for what cannot be."""
    backend = settled(start(sqlite_url, deploy_repo=str(repos["deploy"].path)), "deploy")
    answer = backend.http.get(f"/api/changes/{text}")
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/json"


def test_without_the_deploy_repository_nothing_is_known(refusing):
    """404, and why."""
    answer = refusing.http.get(f"/api/changes/{SOURCE}")
    assert answer.status_code == 404 and "the deploy repository has not been read" in answer.json()["detail"]
