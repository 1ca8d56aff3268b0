"""What the platform's users may do in its forge, asked of a real Gitea."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from slipway.git.mirror import Mirror
from slipway.platform.forge import ADMIN, ARGOCD, BOARD, BOT, RECORDER, REPOSITORIES, Forge

from tests.cli.storm_lab import Gitea

LOG = "/repos/slipway/events/contents"
FILE = {"branch": "main", "message": "dev-board: on-deployed", "content": base64.b64encode(b"{}").decode()}


@pytest.fixture(scope="module")
def forge(tmp_path_factory) -> Iterator[Forge]:
    """A forge that was set up twice, with one commit in the deploy repository."""
    folder = tmp_path_factory.mktemp("platform")
    with Gitea(folder / "gitea") as gitea:
        made = Forge(folder / "state")
        made.url = gitea.url
        user = ("--username", ADMIN, "--email", f"{ADMIN}@slipway.invalid", "--admin", "--random-password")
        gitea._run("admin", "user", "create", *user, "--must-change-password=false")
        named = ("--username", ADMIN, "--token-name", "t", "--scopes", "all", "--raw")
        token = gitea._run("admin", "user", "generate-access-token", *named)
        made.secrets.put("forge-token", token.strip().splitlines()[-1])
        made.set_up({})
        before = {file.name: file.read_text() for file in made.secrets.folder.iterdir()}
        made.set_up({})
        assert {file.name: file.read_text() for file in made.secrets.folder.iterdir()} == before
        with httpx.Client(base_url=f"{gitea.url}/api/v1", auth=(BOT, gitea.password)) as bot:
            assert bot.put("/repos/slipway/deploy/contents/file", json=FILE).status_code == 201
        yield made


def api(forge: Forge, user: str) -> httpx.Client:
    """The API as a user with a token."""
    return forge.client(forge.secrets.get(f"forge-{user}-token"))


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


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_the_board_reads_every_repository_and_pushes_to_none(forge, repository, tmp_path):
    """With its token as Git's password."""
    login = (BOARD, forge.secrets.get(f"forge-{BOARD}-token"))
    url = f"{forge.url}/slipway/{repository}.git"
    with closing(Mirror(url, tmp_path, credentials=login)) as mirror:
        assert (mirror.fetch() is None) == (repository == "source")
    push = httpx.get(f"{url}/info/refs", params={"service": "git-receive-pack"}, auth=login)
    assert push.status_code == 403
