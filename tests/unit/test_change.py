"""A change reaches the branch directly, or by one pull request that is opened once and then kept current."""

import re

import pytest
from slipway.errors import InvalidInput, PolicyRefused, RaceLost, RemoteRefused
from slipway.forge.gitea import Gitea
from slipway.forge.github import GitHub
from slipway.git.remote import Proposal, RemoteRepo
from slipway.git.store import Author
from slipway.writing.change import BODY_LIMIT, TITLE_LIMIT, Change, fit, shortened, submit

from tests.cli.bump_lab import Deploy, git
from tests.cli.promote_lab import TOKEN, ForgeServer

BRANCH = "slipway/promote/prod/board"
FILES = {"README.md": "readme\n", "prod/board.yaml": "digest: 1\n", "prod/other.yaml": "digest: 1\n"}


@pytest.fixture
def deploy(tmp_path):
    return Deploy.create(tmp_path / "deploy.git", FILES)


@pytest.fixture(params=["gitea", "github"])
def lab(request, deploy):
    with ForgeServer(request.param, deploy) as server:
        yield server


def digest(number: int, path: str = "prod/board.yaml", body: str = "body"):
    """A proposal that writes a digest, if it is another than the tip's."""

    def propose(tip):
        data = tip.read([path])[path]
        wanted = re.sub(rb"digest: \d+", b"digest: %d" % number, data)
        title, trailers = f"prod: digest {number}", [f"Digest: {number}"]
        return Change({path: wanted}, title, trailers, f"{body} {number}") if wanted != data else None

    return propose


def deliver(deploy, lab, propose, *, delivery="pull-request", branch=BRANCH):
    """One run, as a process of its own would be."""
    forge = lab and (Gitea if lab.kind == "gitea" else GitHub)(lab.api, "bot", "deploy", TOKEN)
    with RemoteRepo(deploy.url) as repo:
        return submit(repo, propose, delivery=delivery, branch=branch, forge=forge)


def person(
    deploy, branch: str, message: str, path: str, text: str, *parents: str, header: bytes = b""
) -> str:
    """A commit of a person on a branch, byte for byte as given; returns its id."""
    blob = git("hash-object", "-w", "--stdin", cwd=deploy.path, input=text.encode()).strip()
    index = {"GIT_INDEX_FILE": str(deploy.path / "index")}
    first = parents[0] if parents else branch
    with pytest.MonkeyPatch.context() as patch:
        for name, value in index.items():
            patch.setenv(name, value)
        git("read-tree", first, cwd=deploy.path)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", cwd=deploy.path)
        tree = git("write-tree", cwd=deploy.path).strip()
    above = [git("rev-parse", parent, cwd=deploy.path).strip() for parent in parents or [branch]]
    who = "Ana <ana@example> 1700000000 +0100"
    lines = [f"tree {tree}", *(f"parent {sha}" for sha in above), f"author {who}", f"committer {who}"]
    raw = "\n".join(lines).encode() + b"\n" + header + b"\n" + message.encode()
    sha = git("hash-object", "-t", "commit", "-w", "--stdin", cwd=deploy.path, input=raw).strip()
    git("update-ref", f"refs/heads/{branch}", sha, cwd=deploy.path)
    return sha


def parents(deploy, revision: str) -> list[str]:
    return git("log", "-1", "--format=%P", revision, cwd=deploy.path).split()


def test_direct_goes_onto_the_branch(deploy):
    """A direct change is one commit with title and trailers, and needs no forge; a second one is nothing."""
    done = deliver(deploy, None, digest(2), delivery="direct")
    assert done.commit == deploy.tip and done.pull_request is None and done.attempts == 1
    assert deploy.message() == "prod: digest 2\n\nDigest: 2\n\n"
    again = deliver(deploy, None, digest(2), delivery="direct")
    assert again.as_dict() == {"commit": None, "base": deploy.tip, "attempts": 0, "pull_request": None, "opened": False}  # fmt: skip


def test_pull_request_is_opened(deploy, lab):
    """A branch of one commit on main's tip, and a pull request with title and body; main is not touched."""
    before = deploy.tip
    done = deliver(deploy, lab, digest(2))
    assert deploy.tip == before and parents(deploy, BRANCH) == [before]
    assert deploy.read("prod/board.yaml", BRANCH) == "digest: 2\n"
    assert deploy.message(BRANCH).strip() == f"prod: digest 2\n\nDigest: 2\nProposed-On: {BRANCH}"
    assert git("interpret-trailers", "--parse", input=deploy.message(BRANCH).encode()).count("\n") == 2
    assert done.opened and done.pull_request.number == 1 and done.base == before
    assert (lab.pulls[0]["title"], lab.pulls[0]["body"]) == ("prod: digest 2", "body 2")
    assert done.as_dict()["pull_request"]["url"] == f"{lab.url}/bot/deploy/pulls/1"


def test_nothing_to_write_opens_nothing(deploy, lab):
    """Without a change there is neither branch nor pull request; one that is open still is named."""
    assert deliver(deploy, lab, digest(1)).pull_request is None
    assert lab.pulls == [] and git("for-each-ref", "refs/heads/slipway", cwd=deploy.path) == ""
    deliver(deploy, lab, digest(2))
    done = deliver(deploy, lab, digest(1))
    assert done.commit is None and done.pull_request.number == 1


def test_B13_open_pull_request_is_updated(deploy, lab):
    """A newer change replaces the branch of the open pull request and its text; there is never a second."""
    first = deliver(deploy, lab, digest(2))
    moved = deploy.commit("meanwhile", {"README.md": "new\n"})
    second = deliver(deploy, lab, digest(3))
    assert second.pull_request.number == first.pull_request.number and not second.opened
    assert parents(deploy, BRANCH) == [moved] and deploy.read("prod/board.yaml", BRANCH) == "digest: 3\n"
    assert [(p["title"], p["body"]) for p in lab.pulls] == [("prod: digest 3", "body 3")]


def test_B13_same_change_again_keeps_the_commit(deploy, lab):
    """A repetition pushes nothing, so that approvals stay, even when main moved elsewhere; the text is brought up."""
    first = deliver(deploy, lab, digest(2))
    second = deliver(deploy, lab, digest(2))
    assert (second.commit, second.attempts) == (first.commit, 0)
    deploy.commit("meanwhile", {"prod/other.yaml": "digest: 9\n"})
    third = deliver(deploy, lab, digest(2, body="newer"))
    assert third.commit == first.commit and third.attempts == 0 and lab.pulls[0]["body"] == "newer 2"


def test_B13_moved_base_of_the_same_file_is_taken_up(deploy, lab):
    """When main changed the very file, the branch is made anew on it, so that it can be merged."""
    deliver(deploy, lab, digest(2))
    moved = deploy.commit("meanwhile", {"prod/board.yaml": "# a comment\ndigest: 1\n"})
    deliver(deploy, lab, digest(2))
    assert parents(deploy, BRANCH) == [moved]
    assert deploy.read("prod/board.yaml", BRANCH) == "# a comment\ndigest: 2\n" and len(lab.pulls) == 1


def test_B13_merged_pull_request_is_not_reused(deploy, lab):
    """After a merge whose branch was left, the same change, taken back meanwhile, gets a new commit and a new one."""
    first = deliver(deploy, lab, digest(2))
    lab.close(1, merged=True)
    reverted = deploy.commit("revert", {"prod/board.yaml": "digest: 1\n"})
    second = deliver(deploy, lab, digest(2))
    assert second.opened and second.pull_request.number == 2 and second.commit != first.commit
    assert parents(deploy, BRANCH) == [reverted]
    assert lab.pulls[0]["state"] == "closed" and lab.pulls[0]["title"] == "prod: digest 2"


def test_B13_closed_pull_request_is_not_reused(deploy, lab):
    """A pull request that somebody closed stays closed; the repetition opens another one."""
    deliver(deploy, lab, digest(2))
    lab.close(1)
    again = deliver(deploy, lab, digest(2))
    assert again.opened and again.pull_request.number == 2 and lab.pulls[0]["state"] == "closed"


def test_B13_merge_while_the_branch_is_written(deploy, lab):
    """A pull request that is merged between two looks is left, and what is left over is decided anew."""
    deliver(deploy, lab, digest(2))
    looks = []

    def before(method, path):
        looks.append(method)
        if looks == ["GET", "GET"]:
            lab.close(1, merged=True)

    lab.before = before
    done = deliver(deploy, lab, digest(3))
    assert done.commit is None and deploy.read("prod/board.yaml") == "digest: 3\n" and len(lab.pulls) == 1


def test_B13_two_at_once_open_one(deploy, lab):
    """Who is told that there is one already updates that one."""

    def before(method, path):
        if method == "POST":
            lab.before = None
            lab.open(BRANCH, "the other's")

    lab.before = before
    done = deliver(deploy, lab, digest(2))
    assert done.pull_request.number == 1 and not done.opened
    assert [p["title"] for p in lab.pulls] == ["prod: digest 2"]


def test_B13_endless_changes_are_given_up(deploy, lab):
    """A pull request that is always closed at once is not opened for ever."""
    lab.open(BRANCH)

    def before(method, path):
        state = lab.pulls[0]["state"]
        lab.pulls[0]["state"] = "closed" if state == "open" and method == "GET" and lab.toggle else "open"
        lab.toggle = not lab.toggle

    lab.toggle, lab.before = False, before
    with pytest.raises(RaceLost, match="changed 5 times"):
        deliver(deploy, lab, digest(2))


def test_crash_between_push_and_pull_request_heals(deploy, lab):
    """A branch without a pull request gets one on repetition."""
    with RemoteRepo(deploy.url) as repo:
        repo.propose_on(BRANCH, lambda tip: digest(2)(tip).proposal)
    done = deliver(deploy, lab, digest(2))
    assert done.opened and len(lab.pulls) == 1 and deploy.read("prod/board.yaml", BRANCH) == "digest: 2\n"


def test_B12_signed_commits_of_others_stay_as_they_are(deploy, lab):
    """Commits below and beside ours keep their ids and bytes, signature included: nothing is ever rebased."""
    header = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQEz\n -----END PGP SIGNATURE-----\n"
    ours = person(deploy, "main", "signed\n", "README.md", "signed\n", header=header)
    raw = git("cat-file", "commit", ours, cwd=deploy.path)

    def propose(tip):
        if tip.sha == ours:
            person(deploy, "main", "meanwhile\n", "x", "x\n", header=header)
        return digest(2)(tip)

    deliver(deploy, None, propose, delivery="direct")
    deliver(deploy, lab, digest(3))
    for branch in ("main", BRANCH):
        line = git("rev-list", branch, cwd=deploy.path).split()
        assert ours in line and "gpgsig" in git("cat-file", "commit", line[-3], cwd=deploy.path)
    assert git("cat-file", "commit", ours, cwd=deploy.path) == raw and "gpgsig" in raw
    git("fsck", "--strict", cwd=deploy.path)


def test_B12_remote_that_wants_signatures_refuses_for_good(deploy, lab):
    """Where only signed commits are taken, ours is refused once, with the remote's words and exit code 4."""
    log = deploy.hook("pre-receive", "echo 'Commits must have verified signatures.' >&2; exit 1")
    for how, forge in (("direct", None), ("pull-request", lab)):
        with pytest.raises(RemoteRefused, match="Commits must have verified signatures") as caught:
            deliver(deploy, forge, digest(2), delivery=how)
        assert caught.value.exit_code == 4
    assert log.read_text() == "run\nrun\n" and lab.pulls == []


def test_B12_commit_of_a_person_on_the_branch_is_not_lost(deploy, lab):
    """A branch that a reviewer has committed to is not replaced; the commit and its author are named."""
    deliver(deploy, lab, digest(2))
    theirs = person(deploy, BRANCH, "by hand\n", "prod/board.yaml", "digest: 2 # by hand\n")
    with pytest.raises(PolicyRefused, match=f"would be lost: {theirs[:12]} by Ana") as caught:
        deliver(deploy, lab, digest(3))
    assert caught.value.exit_code == 3 and git("rev-parse", BRANCH, cwd=deploy.path).strip() == theirs


def test_branch_that_was_brought_up_to_date_is_replaced(deploy, lab):
    """The forge's merge of main into the branch is no person's work; beyond it the change is made anew."""
    deliver(deploy, lab, digest(2))
    moved = deploy.commit("meanwhile", {"README.md": "new\n"})
    person(deploy, BRANCH, "Merge branch 'main'\n", "README.md", "new\n", BRANCH, "main")
    done = deliver(deploy, lab, digest(2))
    assert parents(deploy, BRANCH) == [moved] and done.attempts == 1


def test_branch_that_moves_meanwhile_is_looked_at_again(deploy, lab):
    """The branch is replaced only as it was seen: a commit that comes in between is found and kept."""
    deliver(deploy, lab, digest(2))
    theirs, real = [], digest(3)

    class Slow(RemoteRepo):
        def _push(self, *arguments):
            if not theirs:
                theirs.append(person(deploy, BRANCH, "by hand\n", "x", "x\n"))
            return super()._push(*arguments)

    forge = (Gitea if lab.kind == "gitea" else GitHub)(lab.api, "bot", "deploy", TOKEN)
    with Slow(deploy.url) as repo, pytest.raises(PolicyRefused, match="would be lost: .* by Ana"):
        submit(repo, real, delivery="pull-request", branch=BRANCH, forge=forge)
    assert git("rev-parse", BRANCH, cwd=deploy.path).strip() == theirs[0]


@pytest.mark.parametrize("branch", ["main", "slipway/", "slipway/a..b", "refs/heads/slipway/a", "slipway/A b", "slipway/a/"])  # fmt: skip
def test_only_branches_of_ours_are_replaced(deploy, branch):
    """No other branch than those under slipway/ is ever written with force."""
    with RemoteRepo(deploy.url) as repo, pytest.raises(InvalidInput, match="no branch to propose on"):
        repo.propose_on(branch, lambda tip: Proposal({"x": b"x"}, "x"))


def test_pull_request_needs_a_forge(deploy):
    """Without a forge nothing is pushed."""
    with pytest.raises(InvalidInput, match="needs a forge"):
        deliver(deploy, None, digest(2))
    assert git("for-each-ref", "refs/heads/slipway", cwd=deploy.path) == ""


def test_text_fits_into_a_pull_request():
    """What is too long is cut after a whole line, and says so."""
    body = "\n".join(f"line {n}" for n in range(9000))
    cut = fit(body)
    assert len(cut) <= BODY_LIMIT and cut.endswith("does not fit into a pull request)\n")
    assert set(cut.splitlines()[:-2]) <= set(body.splitlines()) and fit("short") == "short"
    assert len(shortened("x" * 300)) == TITLE_LIMIT and shortened("short") == "short"


def test_commit_is_by_the_author_given(deploy, lab):
    """Author and committer are who the caller says."""
    with RemoteRepo(deploy.url, author=Author("Ben", "ben@example")) as repo:
        repo.propose_on(BRANCH, lambda tip: Proposal({"x": b"x"}, "only a subject"))
    assert git("log", "-1", "--format=%an %ce", BRANCH, cwd=deploy.path).strip() == "Ben ben@example"
    assert deploy.message(BRANCH).strip() == f"only a subject\n\nProposed-On: {BRANCH}"
