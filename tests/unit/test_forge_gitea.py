"""Pull requests in Gitea, against a server that answers as its API is described."""

import pytest
from slipway.errors import InvalidInput, RemoteRefused
from slipway.forge.gitea import Gitea
from slipway.forge.pull_requests import AlreadyOpen, PullRequest, address_of, open_forge

from tests.cli.promote_lab import TOKEN, ForgeServer
from tests.unit.test_rest import Echo


@pytest.fixture
def lab():
    with ForgeServer("gitea") as server:
        yield server


@pytest.fixture
def forge(lab):
    return Gitea(lab.api, "bot", "deploy", TOKEN)


def test_create_find_update(lab, forge):
    """A pull request is opened once, found by its branch, and changed in place."""
    assert forge.find("slipway/a", "main") is None
    made = forge.create("slipway/a", "main", "title", "body")
    assert made == PullRequest(1, f"{lab.url}/bot/deploy/pulls/1", "open", "slipway/a", "title")
    assert forge.find("slipway/a", "main") == made and forge.find("slipway/a", "release") is None
    assert forge.update(1, "new title", "new body").title == "new title"
    assert lab.pulls[0]["body"] == "new body" and len(lab.pulls) == 1
    assert {request[1] for request in lab.requests} == {"/api/v1/repos/bot/deploy/pulls", "/api/v1/repos/bot/deploy/pulls/1"}  # fmt: skip


def test_second_one_is_already_open(lab, forge):
    """Gitea's 409 means that somebody else was faster."""
    forge.create("slipway/a", "main", "t", "b")
    with pytest.raises(AlreadyOpen):
        forge.create("slipway/a", "main", "t", "b")


def test_every_page_is_looked_at(lab, forge):
    """The one that is looked for may be on a later page, whatever the server's page size."""
    for n in range(7):
        lab.open(f"feature-{n}")
    lab.open("slipway/a")
    assert forge.find("slipway/a", "main").number == 8
    assert forge.find("slipway/b", "main") is None and lab.count("GET") == 8


def test_forks_and_closed_ones_are_not_ours(lab, forge):
    """A fork's branch of the same name is somebody else's; merged and closed ones are past."""
    lab.open("slipway/a", repo=2)
    lab.open("slipway/a")
    lab.close(2)
    lab.open("slipway/a")
    lab.close(3, merged=True)
    assert forge.find("slipway/a", "main") is None
    assert [forge.update(n, "t", "b").state for n in (1, 2, 3)] == ["open", "closed", "merged"]


def test_token_or_git_credentials(lab, monkeypatch):
    """The token goes first; without it Git's own user and password serve, and without those the way is named."""
    for name in ("SLIPWAY_GIT_USERNAME", "SLIPWAY_GIT_PASSWORD", "SLIPWAY_FORGE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInput, match="no credentials for Gitea") as caught:
        Gitea(lab.api, "bot", "deploy")
    assert "SLIPWAY_FORGE_TOKEN" in caught.value.fix
    monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "bot")
    monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", TOKEN)
    with pytest.raises(RemoteRefused) as caught:
        Gitea(lab.api, "bot", "deploy").find("a", "main")
    assert lab.requests[-1][2].startswith("Basic ") and TOKEN not in caught.value.render()
    Gitea(lab.api, "bot", "deploy", TOKEN).find("a", "main")
    assert lab.requests[-1][2] == f"token {TOKEN}"


@pytest.mark.parametrize(
    ("url", "root", "owner", "name"),
    [
        ("https://git.example/team/deploy.git", "https://git.example", "team", "deploy"),
        ("https://git.example:8443/sub/path/team/deploy", "https://git.example:8443/sub/path", "team", "deploy"),
        ("https://bot@git.example/team/deploy.git", None, None, None),
        ("ssh://git@git.example:2222/team/deploy.git", "https://git.example", "team", "deploy"),
        ("git@git.example:team/deploy.git", "https://git.example", "team", "deploy"),
        ("git.example:team/deploy.git", "https://git.example", "team", "deploy"),
        ("file:///srv/team/deploy.git", "", "team", "deploy"),
        ("https://git.example/deploy.git", None, None, None),
    ],
)  # fmt: skip
def test_address_of_the_forge(url, root, owner, name):
    """The repository's address tells the forge's, its owner and its name."""
    if root is None:
        with pytest.raises(InvalidInput):
            address_of(url)
    else:
        found = address_of(url)
        assert (found.root, found.owner, found.name) == (root, owner, name)


def test_kind_is_told_by_the_answer(lab, monkeypatch):
    """A host that answers as Gitea is Gitea; any other must be named, and GitHub is known by its name."""
    monkeypatch.setenv("SLIPWAY_FORGE_TOKEN", TOKEN)
    forge = open_forge(f"{lab.url}/bot/deploy.git")
    assert isinstance(forge, Gitea) and forge.find("slipway/a", "main") is None
    with Echo() as other, pytest.raises(InvalidInput, match="does not answer as Gitea") as caught:
        open_forge(f"{other.url}/bot/deploy.git")
    assert "--forge gitea or --forge github" in caught.value.fix
    with ForgeServer("github") as other, pytest.raises(InvalidInput, match="does not answer as Gitea"):
        open_forge(f"{other.url}/bot/deploy.git")
    with pytest.raises(InvalidInput, match="tells no forge"):
        open_forge("file:///srv/team/deploy.git", kind="gitea")
    assert open_forge("file:///srv/bot/deploy.git", kind="gitea", api=lab.api).find("a", "main") is None


def test_token_is_not_sent_before_the_kind_is_known(monkeypatch):
    """A host that is not known to be a forge gets no credential."""
    monkeypatch.setenv("SLIPWAY_FORGE_TOKEN", TOKEN)
    with Echo() as other:
        with pytest.raises(InvalidInput):
            open_forge(f"{other.url}/bot/deploy.git")
        assert {request[2] for request in other.requests} == {None}
