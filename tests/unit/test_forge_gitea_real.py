"""Pull requests against Gitea itself: what it does with branches that are pushed again after a merge or a close."""

import pytest
from slipway.errors import PolicyRefused, RemoteRefused
from slipway.forge.pull_requests import AlreadyOpen, open_forge
from slipway.git.remote import RemoteRepo
from slipway.writing.change import submit

from tests.cli.bump_lab import git
from tests.cli.storm_lab import BOT, Gitea
from tests.unit.test_change import BRANCH, FILES, digest, parents


@pytest.fixture(scope="module")
def gitea(tmp_path_factory):
    with Gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


@pytest.fixture
def login(gitea, monkeypatch):
    """The bot's password in the environment, as Git takes it, and no token."""
    monkeypatch.delenv("SLIPWAY_FORGE_TOKEN", raising=False)
    for name, value in gitea.login.items():
        monkeypatch.setenv(name, value)


class World:
    """One repository; `pulls` is the path of its pull requests in the API."""

    def __init__(self, gitea, name: str):
        self.gitea, self.deploy = gitea, gitea.repository(name, FILES)
        self.pulls = f"/repos/{BOT}/{name}/pulls"

    def deliver(self, propose, delivery="pull-request"):
        forge = open_forge(self.deploy.url)
        with RemoteRepo(self.deploy.url) as repo:
            return submit(repo, propose, delivery=delivery, branch=BRANCH, forge=forge)

    def api(self, method: str, path: str = "", **body):
        return self.gitea.api(method, self.pulls + path, **body)


@pytest.fixture
def world(gitea, login, request):
    return World(gitea, request.node.name.lower()[:60])


def test_B13_open_merged_and_closed(world):
    """Open is updated; after a merge, and after a close, the branch is made anew and gets a new pull request."""
    first = world.deliver(digest(2))
    assert first.opened and first.pull_request.state == "open" and first.pull_request.number == 1
    again = world.deliver(digest(2))
    assert (again.commit, again.opened, again.attempts) == (first.commit, False, 0)
    updated = world.deliver(digest(3))
    assert updated.pull_request.number == 1 and updated.commit != first.commit
    seen = world.api("GET", "/1")
    assert (seen["title"], seen["body"], seen["head"]["sha"]) == ("prod: digest 3", "body 3", updated.commit)
    world.gitea.merge(world.pulls, 1)
    assert world.deliver(digest(3)).commit is None
    world.deploy.commit("revert", {"prod/board.yaml": "digest: 1\n"})
    second = world.deliver(digest(3))
    assert second.opened and second.pull_request.number == 2
    kept = git("rev-parse", "refs/pull/1/head", cwd=world.deploy.path).strip()
    assert kept == updated.commit and world.api("GET", "/1")["merged"]
    world.api("PATCH", "/2", state="closed")
    third = world.deliver(digest(3))
    assert third.opened and third.pull_request.number == 3 and world.api("GET", "/2")["state"] == "closed"
    assert world.api("GET", "/3/files")[0]["filename"] == "prod/board.yaml"
    world.gitea.merge(world.pulls, 3, "squash")
    assert world.deploy.read("prod/board.yaml") == "digest: 3\n"


def test_second_pull_request_is_refused_by_gitea_itself(world):
    """Gitea allows one open pull request of a branch, whoever asks."""
    world.deliver(digest(2))
    with pytest.raises(AlreadyOpen):
        open_forge(world.deploy.url).create(BRANCH, "main", "again", "")


def test_every_page_of_a_real_list_is_looked_at(world, gitea):
    """The oldest of more pull requests than fit on a page is found."""
    world.deliver(digest(2))
    for n in range(3):
        git("branch", f"feature-{n}", BRANCH, cwd=world.deploy.path)
        world.api("POST", head=f"feature-{n}", base="main", title=f"feature {n}")
    forge = open_forge(world.deploy.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slipway.forge.gitea._PAGE", 1)
        assert forge.find(BRANCH, "main").number == 1
        assert forge.find("slipway/none", "main") is None


def test_branch_updated_by_gitea_is_replaced_and_a_person_s_is_not(world):
    """Gitea's own `update branch` loses nobody's work; a commit made in its editor would be lost, and is kept."""
    world.deliver(digest(2))
    moved = world.deploy.commit("meanwhile", {"README.md": "new\n"})
    world.api("POST", "/1/update")
    assert len(parents(world.deploy, BRANCH)) == 2
    world.deliver(digest(2))
    assert parents(world.deploy, BRANCH) == [moved]
    path = world.pulls.replace("/pulls", "/contents/by-hand")
    world.gitea.api("POST", path, branch=BRANCH, content="eA==", message="by hand")
    with pytest.raises(PolicyRefused, match="would be lost"):
        world.deliver(digest(3))


def test_B12_protection_that_wants_signatures(world):
    """Gitea's rule for signed commits refuses ours for good; a pull request is still possible."""
    rule = {"rule_name": "main", "enable_push": True, "require_signed_commits": True}
    world.gitea.api("POST", world.pulls.replace("/pulls", "/branch_protections"), **rule)
    with pytest.raises(RemoteRefused) as caught:
        world.deliver(digest(2), delivery="direct")
    assert "pre-receive hook declined" in caught.value.message and caught.value.exit_code == 4
    assert world.deliver(digest(2)).opened


def test_token_instead_of_the_password(world, gitea, monkeypatch):
    """A token of Gitea goes first."""
    scopes = ["write:repository", "write:issue"]
    token = gitea.api("POST", f"/users/{BOT}/tokens", name="t", scopes=scopes)["sha1"]
    monkeypatch.setenv("SLIPWAY_FORGE_TOKEN", token)
    assert world.deliver(digest(2)).opened
    monkeypatch.setenv("SLIPWAY_FORGE_TOKEN", "0" * 40)
    with pytest.raises(RemoteRefused) as caught:
        open_forge(world.deploy.url).find(BRANCH, "main")
    assert "0" * 40 not in caught.value.render()
