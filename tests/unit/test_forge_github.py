"""Pull requests in GitHub, against a server that answers as the REST API's documentation says."""

import pytest
from slipway.errors import InvalidInput, RemoteRefused
from slipway.forge.github import GitHub, default_api
from slipway.forge.pull_requests import AlreadyOpen, PullRequest, address_of, open_forge

from tests.cli.bump_lab import Deploy, git
from tests.cli.promote_lab import TOKEN, ForgeServer


@pytest.fixture
def lab():
    with ForgeServer("github") as server:
        yield server


@pytest.fixture
def forge(lab):
    return GitHub(lab.api, "bot", "deploy", TOKEN)


def test_create_find_update(lab, forge):
    """A pull request is opened once, found by its branch, and changed in place, with the version of the API named."""
    assert forge.find("slipway/a", "main") is None
    made = forge.create("slipway/a", "main", "title", "body")
    assert made == PullRequest(1, f"{lab.url}/bot/deploy/pulls/1", "open", "slipway/a", "title")
    assert forge.find("slipway/a", "main") == made and forge.find("slipway/a", "release") is None
    assert forge.update(1, "new title", "new body").title == "new title"
    assert lab.pulls[0]["body"] == "new body" and len(lab.pulls) == 1
    assert lab.headers["Authorization"] == f"Bearer {TOKEN}"
    assert lab.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert lab.headers["Accept"] == "application/vnd.github+json"


def test_second_one_is_already_open(forge):
    """GitHub's 422 of that wording means that somebody else was faster."""
    forge.create("slipway/a", "main", "t", "b")
    with pytest.raises(AlreadyOpen):
        forge.create("slipway/a", "main", "t", "b")


def test_other_refusals_are_told(tmp_path):
    """Any other 422 is GitHub's own text."""
    deploy = Deploy.create(tmp_path / "deploy.git", {"a": "1"})
    git("branch", "slipway/a", "main", cwd=deploy.path)
    with (
        ForgeServer("github", deploy) as lab,
        pytest.raises(RemoteRefused, match="No commits between main and slipway/a") as caught,
    ):
        GitHub(lab.api, "bot", "deploy", TOKEN).create("slipway/a", "main", "t", "b")
    assert caught.value.exit_code == 4


def test_forks_and_closed_ones_are_not_ours(lab, forge):
    """A fork's branch of the same name is somebody else's, also when the fork is gone; closed ones are past."""
    lab.open("slipway/a", repo=2)
    lab.open("slipway/a")["head"]["repo"] = None
    lab.open("slipway/a")
    lab.close(3)
    assert forge.find("slipway/a", "main") is None
    lab.close(1, merged=True)
    assert [forge.update(n, "t", "b").state for n in (1, 2, 3)] == ["merged", "open", "closed"]


def test_token_is_needed_and_never_shown(lab, monkeypatch):
    """Without a token the variable is named at once; a wrong one is not repeated in the error, nor tried again."""
    monkeypatch.delenv("SLIPWAY_FORGE_TOKEN", raising=False)
    with pytest.raises(InvalidInput, match="no token for GitHub") as caught:
        open_forge("https://github.com/bot/deploy.git")
    assert "SLIPWAY_FORGE_TOKEN" in caught.value.fix
    with pytest.raises(RemoteRefused, match="401.*Bad credentials") as refused:
        GitHub(lab.api, "bot", "deploy", "wr0ng").find("a", "main")
    assert "wr0ng" not in refused.value.render() and len(lab.requests) == 1
    monkeypatch.setenv("SLIPWAY_FORGE_TOKEN", TOKEN)
    assert isinstance(open_forge("git@github.com:bot/deploy.git"), GitHub)
    assert open_forge("file:///srv/bot/deploy.git", kind="github", api=lab.api).find("a", "main") is None


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com/bot/deploy.git", "https://api.github.com"),
        ("git@github.com:bot/deploy.git", "https://api.github.com"),
        ("https://github.example/bot/deploy.git", "https://github.example/api/v3"),
    ],
)
def test_address_of_the_api(url, api):
    """github.com has one of its own, an Enterprise Server has it below its name."""
    assert default_api(address_of(url)) == api
