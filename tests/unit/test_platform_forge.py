"""What the platform's users may do in its forge, asked of a real Gitea."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from slipway.git.mirror import Mirror
from slipway.platform.forge import ADMIN, ARGOCD, BOARD, BOT, PUBLISHER, RECORDER, REPOSITORIES, Forge
from slipway.platform.forge_guard import confine
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from tests.cli.bump_lab import git
from tests.cli.storm_lab import Gitea

LOG = "/repos/slipway/events/contents"
FILE = {"branch": "main", "message": "dev-board: on-deployed", "content": base64.b64encode(b"{}").decode()}


@pytest.fixture(scope="module")
def forge(tmp_path_factory) -> Iterator[Forge]:
    """A forge that was set up twice, with one commit in the deploy repository."""
    folder = tmp_path_factory.mktemp("platform")
    with Gitea(folder / "gitea") as gitea:
        made = Forge(folder / "state")
        made.url, made.repositories = gitea.url, gitea.folder / "repositories"
        user = ("--username", ADMIN, "--email", f"{ADMIN}@slipway.invalid", "--admin", "--random-password")
        gitea._run("admin", "user", "create", *user, "--must-change-password=false")
        named = ("--username", ADMIN, "--token-name", "t", "--scopes", "all", "--raw")
        token = gitea._run("admin", "user", "generate-access-token", *named)
        made.secrets.put("forge-token", token.strip().splitlines()[-1])
        made.set_up({})
        before = {file.name: file.read_text() for file in made.secrets.folder.iterdir()}
        made.set_up({})
        assert {file.name: file.read_text() for file in made.secrets.folder.iterdir()} == before
        made.secrets.put(f"forge-{BOT}", gitea.password)
        with as_user(made, PUBLISHER) as publisher:
            assert publisher.put("/repos/slipway/deploy/contents/file", json=FILE).status_code == 201
        yield made


def api(forge: Forge, user: str) -> httpx.Client:
    """The API as a user with a token."""
    return forge.client(forge.secrets.get(f"forge-{user}-token"))


def as_user(forge: Forge, user: str) -> httpx.Client:
    """The API as a user with a password."""
    login = (user, forge.secrets.get(f"forge-{user}"))
    return httpx.Client(base_url=f"{forge.url}/api/v1", auth=login, timeout=30)


@retry(retry=retry_if_result(lambda ready: not ready), stop=stop_after_delay(30), wait=wait_fixed(0.1))
def wait_mergeable(api: httpx.Client, pull: str) -> bool:
    """Wait until the forge has worked out that the pull request can be merged, or fail."""
    return api.get(pull).raise_for_status().json()["mergeable"]


def test_the_log_takes_new_files_and_keeps_them(forge):
    """Argo CD's request makes a file; the same name again is refused, not overwritten."""
    with api(forge, RECORDER) as recorder:
        assert recorder.put(f"{LOG}/dev/board/2026-01/1.json", json=FILE).status_code == 201
        assert recorder.put(f"{LOG}/dev/board/2026-01/2.json", json=FILE).status_code == 201
        assert recorder.put(f"{LOG}/dev/board/2026-01/1.json", json=FILE).status_code == 422
        commits = recorder.get("/repos/slipway/events/commits").json()
    assert [c["commit"]["message"].strip() for c in commits][:2] == [FILE["message"]] * 2
    assert commits[0]["author"]["login"] == RECORDER


@pytest.mark.parametrize("user", [ARGOCD, BOARD])
def test_nobody_else_writes_the_log(forge, user):
    """Neither who sets statuses nor who reads."""
    with api(forge, user) as client:
        assert client.put(f"{LOG}/dev/board/2026-01/3.json", json=FILE).status_code in (403, 404)


def test_who_writes_the_log_writes_nothing_else(forge):
    """A stolen token changes no deployment, and reads nobody's account."""
    with api(forge, RECORDER) as recorder:
        assert recorder.put("/repos/slipway/deploy/contents/other", json=FILE).status_code in (403, 404)
        assert recorder.get("/user").status_code == 403


def test_argocd_sets_statuses_and_does_not_write_main(forge):
    """What becomes of a commit is told by a user who cannot make one."""
    with api(forge, ARGOCD) as argocd:
        commit = argocd.get("/repos/slipway/deploy/branches/main").json()["commit"]["id"]
        status = {"context": "argocd/dev-board", "state": "success"}
        answer = argocd.post(f"/repos/slipway/deploy/statuses/{commit}", json=status)
        assert answer.status_code == 201
        assert argocd.put("/repos/slipway/deploy/contents/other", json=FILE).status_code in (403, 404)


def test_a_developer_merges_nothing_into_what_is_deployed(forge):
    """A developer may propose; the same merge is refused to the developer and done for the operator."""
    deploy = "/repos/slipway/deploy"

    def person(name: str) -> httpx.Client:
        login = (name, forge.secrets.get(f"forge-{name}"))
        return httpx.Client(base_url=f"{forge.url}/api/v1", auth=login, timeout=30)

    with person("developer") as developer, person("operator") as operator:
        assert developer.put(f"{deploy}/contents/mine", json=FILE).status_code in (403, 404)
        proposed = {**FILE, "new_branch": "proposal"}
        assert developer.post(f"{deploy}/contents/mine", json=proposed).status_code == 201
        pull = {"title": "Mine", "head": "proposal", "base": "main"}
        number = developer.post(f"{deploy}/pulls", json=pull).raise_for_status().json()["number"]
        wait_mergeable(operator, f"{deploy}/pulls/{number}")
        refused = developer.post(f"{deploy}/pulls/{number}/merge", json={"Do": "rebase"})
        assert refused.status_code == 405 and "not allowed to merge" in refused.text, refused.text
        assert not developer.get(f"{deploy}/pulls/{number}").json()["merged"]
        assert operator.post(f"{deploy}/pulls/{number}/merge", json={"Do": "rebase"}).status_code == 200


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_the_board_reads_every_repository_and_pushes_to_none(forge, repository, tmp_path):
    """With its token as Git's password."""
    login = (BOARD, forge.secrets.get(f"forge-{BOARD}-token"))
    url = f"{forge.url}/slipway/{repository}.git"
    with closing(Mirror(url, tmp_path, credentials=login)) as mirror:
        assert (mirror.fetch() is None) == (repository == "source")
    push = httpx.get(f"{url}/info/refs", params={"service": "git-receive-pack"}, auth=login)
    assert push.status_code == 403


DELIVERY = {"dev": "direct", "staging": "direct", "prod": "pull-request"}


@pytest.fixture(scope="module")
def environments(forge) -> str:
    """The deploy repository's contents in the API, where each environment says how it takes changes."""
    contents = "/repos/slipway/deploy/contents"
    with as_user(forge, PUBLISHER) as publisher:
        for name, delivery in DELIVERY.items():
            policy = base64.b64encode(f"name: {name}\ndelivery: {delivery}\n".encode()).decode()
            path = f"{contents}/overlays/{name}/environment.yaml"
            assert publisher.post(path, json=FILE | {"content": policy}).status_code == 201
    return contents


@pytest.mark.parametrize("path", ["overlays/dev/board/kustomization.yaml", "overlays/staging/board/x"])
def test_the_bot_writes_environments_that_take_direct_commits(forge, environments, path):
    """What `slipway bump` does."""
    with as_user(forge, BOT) as bot:
        assert bot.post(f"{environments}/{path}", json=FILE).status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "overlays/prod/board/kustomization.yaml",
        "overlays/prod/environment.yaml",
        "overlays/new/board/kustomization.yaml",
        "overlays/file",
        " overlays/dev/board/x",
        "overlays-dev/x",
        "base/board/backend-deployment.yaml",
        "argocd/environments/prod/project.yaml",
        "README.md",
    ],
)
def test_the_bot_writes_nothing_else_on_main(forge, environments, path, tmp_path):
    """By git itself, also beside a change that it may make."""
    tip, message = pushed(forge, tmp_path, {"overlays/dev/board/beside": "x", path: "delivery: direct\n"})
    assert "may not change" in message
    assert httpx.get(f"{forge.url}/api/v1/repos/slipway/deploy/branches/main").json()["commit"]["id"] == tip


def test_the_bot_cannot_first_open_an_environment_and_then_write_it(forge, environments, tmp_path):
    """The rule is the one on main, not the one that is pushed."""
    files = {"overlays/prod/environment.yaml": "delivery: direct\n", "overlays/prod/board/x": "x"}
    assert "may not change overlays/prod/" in pushed(forge, tmp_path, files)[1]


def test_the_bot_proposes_what_it_may_not_push(forge, environments):
    """On a branch of its own, as a pull request that it cannot merge."""
    pulls = "/repos/slipway/deploy/pulls"
    with as_user(forge, BOT) as bot:
        file = f"{environments}/overlays/prod/board/proposed"
        assert bot.post(file, json=FILE | {"new_branch": "proposal-of-the-bot"}).status_code == 201
        opened = bot.post(pulls, json={"title": "t", "head": "proposal-of-the-bot", "base": "main"})
        assert opened.status_code == 201
        merged = bot.post(f"{pulls}/{opened.json()['number']}/merge", json={"Do": "rebase"})
        assert merged.status_code == 405, merged.text


def test_an_older_hook_is_replaced(forge):
    """`slipway up` on a platform of yesterday."""
    repository = forge.repositories / "slipway" / "deploy.git"
    hook = repository / "hooks" / "pre-receive.d" / "slipway-paths"
    now = hook.read_text()
    hook.write_text("#!/bin/sh\n")
    confine(repository, BOT)
    assert hook.read_text() == now and hook.stat().st_mode & 0o111


def pushed(forge: Forge, folder, files: dict[str, str]) -> tuple[str, str]:
    """Push files to main as the bot, with git; main's tip before, and what git said when it was refused."""
    remote = f"{forge.url}/slipway/deploy.git"
    clone = folder / "clone"
    git("clone", "-q", remote, clone, cwd=folder)
    tip = git("rev-parse", "HEAD", cwd=clone).strip()
    for name, text in files.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    git("add", "--all", cwd=clone)
    git("commit", "-qm", "not the bot's", cwd=clone)
    login = f"{BOT}:{forge.secrets.get(f'forge-{BOT}')}"
    with pytest.raises(AssertionError) as refused:
        git("push", "-q", remote.replace("://", f"://{login}@"), "HEAD:main", cwd=clone)
    return tip, str(refused.value)
