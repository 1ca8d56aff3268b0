"""A remote branch is read piece by piece and written without losing anybody's commit."""

import os
import re
from pathlib import Path

import pytest
from slipway.errors import EditRefused, InvalidInput, RaceLost, RemoteRefused, Unreachable
from slipway.git.remote import Proposal, RemoteRepo, is_ancestor, log_between
from slipway.git.store import Author

from tests.cli.bump_lab import Deploy, GitServer, failing_fetch, git

FILES = {
    "README.md": "readme\n",
    "base/board/kustomization.yaml": "resources: []\n",
    "overlays/dev/environment.yaml": "name: dev\n",
    "overlays/dev/board/kustomization.yaml": "images: []\n",
    "overlays/dev/board/settings.env": "A=1\n",
    "overlays/dev/other/kustomization.yaml": "images: [1]\n",
    "überlays/ä b\tc/d": "odd names\n",
}
PATH = "overlays/dev/board/kustomization.yaml"


@pytest.fixture
def deploy(tmp_path):
    return Deploy.create(tmp_path / "deploy.git", FILES)


def write(text: str, path: str = PATH, message: str = "write"):
    """A proposal that does not look at the tip."""
    return lambda tip: Proposal({path: text.encode()}, message)


def append(line: str, path: str = PATH):
    """A proposal that adds a line to what the tip has."""
    return lambda tip: Proposal({path: tip.read([path])[path] + line.encode()}, f"add {line.strip()}")


def fake_git(tmp_path: Path, monkeypatch, on_push: str) -> Path:
    """Put a `git` before the real one that runs `on_push` at the first push; returns the log of pushes."""
    log, real = tmp_path / "pushes", git("--exec-path").strip()
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\nreal={real}/git\nif [ "$1" = push ]; then\n  echo push >> {log}\n'
        f'  sha=$(echo "$*" | sed "s/.* \\([0-9a-f]*\\):.*/\\1/")\n'
        f'  if [ $(wc -l < {log}) = 1 ]; then\n{on_push}\n  fi\nfi\nexec $real "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


@pytest.mark.parametrize("settings", [{}, {"uploadpackfilter.tree.maxDepth": "0"}, {"uploadpackfilter.tree.allow": "false"}, {"uploadpackfilter.allow": "false"}, {"uploadpack.allowFilter": "false"}])  # fmt: skip
def test_reads_whatever_the_server_can_filter(deploy, settings):
    """Files, folders and absence are told right, however much of partial fetches the server allows."""
    for key, value in settings.items():
        git("config", key, value, cwd=deploy.path)
    with RemoteRepo(deploy.url) as repo:
        tip = repo.tip()
        paths = [PATH, "overlays/dev/environment.yaml", "überlays/ä b\tc/d", "README.md"]
        absent = ["none", "overlays/none/x", "README.md/x", "overlays/dev"]
        found = tip.read([*paths, *absent])
        assert {p: found[p] and found[p].decode() for p in found} == {
            p: FILES.get(p) for p in [*paths, *absent]
        }
        assert tip.read([PATH], siblings=True) == {PATH: b"images: []\n"}
        folders = tip.folders(["overlays/dev", "none"])
        assert folders == {
            "overlays/dev": {"board": True, "environment.yaml": False, "other": True},
            "none": {},
        }
        assert [c.message for c in tip.history()] == ["first"]
        assert repo.update(write("images: [2]\n")).attempts == 1
    assert deploy.read(PATH) == "images: [2]\n" and deploy.changed() == [PATH]
    git("fsck", "--strict", cwd=deploy.path)


def test_reads_from_a_server_that_keeps_bitmaps(deploy):
    """A repacked repository, whose server trusts that we have all below a commit, still sends what is asked for."""
    git("repack", "--quiet", "-a", "-d", "-b", cwd=deploy.path)
    with RemoteRepo(deploy.url) as repo:
        assert repo.tip().read([PATH], siblings=True) == {PATH: b"images: []\n"}


def test_fetches_only_the_folders_on_the_path(deploy):
    """Neither siblings nor other folders are fetched, so that the cost does not grow with the repository."""
    more = {f"overlays/dev/app-{n}/kustomization.yaml": f"n: {n}\n" for n in range(200)}
    deploy.commit("more", more)
    with RemoteRepo(deploy.url) as repo:
        repo.update(append("# x\n"))
        counted = repo.store.git("count-objects", "-v").stdout
        objects = sum(map(int, re.findall(r"^(?:count|in-pack): (\d+)", counted, re.MULTILINE)))
    assert objects < 20


def test_every_byte_and_mode_survives(deploy, tmp_path):
    """Binary content, executable bits and names that sort oddly come out as they went in."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", deploy.url, str(clone))
    for name in ("a", "a.b", "a-b", "a0"):
        (clone / "overlays" / name).mkdir()
        (clone / "overlays" / name / "run").write_bytes(b"\0\r\n\xff")
        (clone / "overlays" / name / "run").chmod(0o755)
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "odd", cwd=clone)
    git("push", "--quiet", cwd=clone)
    data = bytes(range(256)) + b"\r\n\xef\xbb\xbf"
    with RemoteRepo(deploy.url) as repo:
        assert repo.tip().read(["overlays/a/run"])["overlays/a/run"] == b"\0\r\n\xff"
        repo.update(lambda tip: Proposal({"overlays/a/run": data, "overlays/new/deep/file": b"new"}, "x"))
        assert repo.tip().read(["overlays/a/run"])["overlays/a/run"] == data
    assert git("ls-tree", "main", "overlays/a/run", cwd=deploy.path).startswith("100755")
    assert sorted(deploy.changed()) == ["overlays/a/run", "overlays/new/deep/file"]
    git("fsck", "--strict", cwd=deploy.path)


def test_commit_says_who_and_what(deploy):
    """Author, message and parent are as given; the history stays linear."""
    with RemoteRepo(deploy.url, author=Author("Bötchen <x>", "bot@example")) as repo:
        landed = repo.update(write("x\n", message="dev: größer ✓\n\nImage: a:1\n"))
    assert landed.commit == deploy.tip and deploy.count == 2
    assert deploy.message().strip() == "dev: größer ✓\n\nImage: a:1"
    shown = git("log", "-1", "--format=%an|%ae|%cn|%P", "main", cwd=deploy.path).strip()
    assert shown == f"Bötchen x|bot@example|Bötchen x|{landed.base}"


def test_links_and_folders_are_not_written_through(deploy, tmp_path):
    """A symbolic link in place of a file is refused; so is a file in place of a folder."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", deploy.url, str(clone))
    (clone / "overlays/dev/link").symlink_to("board/kustomization.yaml")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "link", cwd=clone)
    git("push", "--quiet", cwd=clone)
    before = deploy.tip
    with RemoteRepo(deploy.url) as repo:
        with pytest.raises(EditRefused, match="symbolic link"):
            repo.tip().read(["overlays/dev/link"])
        for path in ("overlays/dev/link", "README.md/x", "overlays/dev"):
            with pytest.raises(EditRefused, match="not a regular file"):
                repo.update(write("x", path))
    assert deploy.tip == before


def test_B1_moved_tip_is_applied_again(deploy):
    """A commit that arrives between fetch and push is kept, and the change goes on top of it."""
    seen = []

    def propose(tip):
        seen.append(tip.sha)
        if len(seen) == 1:
            deploy.commit("meanwhile", {PATH: "images: [meanwhile]\n"})
        return append("# mine\n")(tip)

    with RemoteRepo(deploy.url) as repo:
        landed = repo.update(propose)
    assert landed.attempts == 2 and len(set(seen)) == 2
    assert deploy.read(PATH) == "images: [meanwhile]\n# mine\n" and deploy.count == 3


def test_B1_deadline_ends_a_lost_race(deploy):
    """When others are always faster, the writer gives up at its deadline and says so."""

    def propose(tip):
        deploy.commit("faster", {"x": tip.sha})
        return append("# mine\n")(tip)

    with (
        RemoteRepo(deploy.url, deadline=1) as repo,
        pytest.raises(RaceLost, match="faster for 1 s") as caught,
    ):
        repo.update(propose)
    assert caught.value.exit_code == 5 and "# mine" not in deploy.read(PATH)


@pytest.mark.parametrize("wording", ["fetch first", "non-fast-forward", "cannot lock ref 'refs/heads/main'", "incorrect old value provided", "failed to update ref", "etwas ganz anderes"])  # fmt: skip
def test_B2_any_wording_is_a_race_when_the_tip_moved(deploy, tmp_path, monkeypatch, wording):
    """Whatever the rejection says, a moved tip means: apply again."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    clone = tmp_path / "clone"
    git("clone", "--quiet", deploy.url, str(clone))
    on_push = (
        f"(unset GIT_DIR GIT_OBJECT_DIRECTORY; cd {clone} && $real -c user.name=o -c user.email=o commit -q --allow-empty -m o"
        f" && $real push -q) 2>/dev/null >&2\nprintf '!\\tx:refs/heads/main\\t[remote rejected] (%s)\\n' \"{wording}\"; exit 1"
    )
    log = fake_git(tmp_path, monkeypatch, on_push)
    with RemoteRepo(deploy.url) as repo:
        assert repo.update(append("# mine\n")).attempts == 2
    assert deploy.count == 3 and "push\npush\n" in log.read_text()


@pytest.mark.parametrize("wording", ["cannot lock ref 'refs/heads/main'", "failed to update ref"])
def test_B2_a_held_lock_passes(deploy, tmp_path, monkeypatch, wording):
    """A lock that another writer holds while the tip still stands is waited out."""
    reject = f"printf '!\\tx:refs/heads/main\\t[remote rejected] (%s)\\n' \"{wording}\"; exit 1"
    fake_git(tmp_path, monkeypatch, reject)
    with RemoteRepo(deploy.url) as repo:
        assert repo.update(append("# mine\n")).attempts == 2
    assert deploy.count == 2


def test_B2_real_lock_is_waited_out(deploy):
    """The same against the real thing: the ref's lock file exists at first and is gone later."""
    lock = deploy.path / "refs/heads/main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    runs = deploy.path / "pre-receive.log"
    deploy.hook(
        "pre-receive", f'if [ $(wc -l < "{runs}") = 1 ]; then touch "{lock}"; else rm -f "{lock}"; fi'
    )
    with RemoteRepo(deploy.url) as repo:
        assert repo.update(append("# mine\n")).attempts == 2
    assert deploy.count == 2


def test_B3_declining_hook_is_asked_once(deploy):
    """A hook that declines ends the work after one attempt, with its own text and exit code 4."""
    log = deploy.hook("pre-receive", "echo 'policy: not on a Friday' >&2; exit 1")
    before = deploy.tip
    with RemoteRepo(deploy.url) as repo, pytest.raises(RemoteRefused, match="not on a Friday") as caught:
        repo.update(append("# mine\n"))
    assert log.read_text() == "run\n" and deploy.tip == before
    assert caught.value.exit_code == 4 and "hook declined" in caught.value.message


def test_B3_declining_hook_on_a_busy_branch_is_asked_twice(deploy):
    """Other writers' commits do not hide for long that the remote says no."""
    unset = "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES"
    commit = "git -c user.name=o -c user.email=o commit-tree -p main -m busy main^{tree}"
    log = deploy.hook("pre-receive", f"{unset}\ngit update-ref refs/heads/main $({commit})\nexit 1")
    with RemoteRepo(deploy.url) as repo, pytest.raises(RemoteRefused, match="hook declined"):
        repo.update(append("# mine\n"))
    assert log.read_text() == "run\nrun\n" and deploy.count == 3


def test_lost_answer_counts_as_landed(deploy, tmp_path, monkeypatch):
    """A push that arrived although its answer was lost is not repeated."""
    lost = '$real "$@" >/dev/null 2>&1; echo "fatal: the remote end hung up unexpectedly" >&2; exit 128'
    log = fake_git(tmp_path, monkeypatch, lost)
    with RemoteRepo(deploy.url) as repo:
        landed = repo.update(append("# mine\n"))
    assert landed.commit == deploy.tip and deploy.count == 2 and log.read_text() == "push\n"


def test_lost_answer_counts_as_landed_under_later_commits(deploy, tmp_path, monkeypatch):
    """The same when others wrote on top before it was noticed."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", deploy.url, str(clone))
    lost = (
        f'$real "$@" >/dev/null 2>&1; (unset GIT_DIR GIT_OBJECT_DIRECTORY; cd {clone} && $real pull -q && '
        "$real -c user.name=o -c user.email=o commit -q --allow-empty -m o && $real push -q) >/dev/null 2>&1\nexit 128"
    )
    fake_git(tmp_path, monkeypatch, lost)
    with RemoteRepo(deploy.url) as repo:
        landed = repo.update(append("# mine\n"))
    assert deploy.count == 3 and git("rev-parse", "main^", cwd=deploy.path).strip() == landed.commit


def test_credentials_that_may_only_read_are_refused_at_once(deploy, tmp_path, monkeypatch):
    """A push that is denied is asked for once, and the variables to set are named."""
    log = fake_git(tmp_path, monkeypatch, 'echo "fatal: Authentication failed for x" >&2; exit 128')
    with (
        RemoteRepo(deploy.url) as repo,
        pytest.raises(RemoteRefused, match="SLIPWAY_GIT_USERNAME|wants cred"),
    ):
        repo.update(append("# mine\n"))
    assert log.read_text() == "push\n" and deploy.count == 1


def test_dropped_connection_is_repeated(deploy, tmp_path, monkeypatch):
    """A push that did not arrive is made again."""
    fake_git(tmp_path, monkeypatch, 'echo "error: RPC failed; HTTP 502" >&2; exit 1')
    with RemoteRepo(deploy.url) as repo:
        assert repo.update(append("# mine\n")).attempts == 2
    assert deploy.count == 2


def test_unreachable_remote_is_given_up():
    """A closed port is tried a few times, then named."""
    with RemoteRepo("http://127.0.0.1:1/deploy.git") as repo, pytest.raises(Unreachable, match="127.0.0.1:1"):
        repo.tip()


def test_absent_repository_and_branch_are_named(deploy):
    """A wrong address or branch is told apart."""
    with RemoteRepo(deploy.url + "x") as repo, pytest.raises(RemoteRefused, match="not there"):
        repo.tip()
    with RemoteRepo(deploy.url, branch="mian") as repo, pytest.raises(InvalidInput, match="no branch mian"):
        repo.tip()


def test_a_branch_is_absent_only_when_the_remote_says_so_repeatedly(deploy, tmp_path, monkeypatch):
    """A forge that replaces a ref while it lists them may leave it out once; four times in a row it is not there."""
    gone = "fatal: couldn't find remote ref refs/heads/main"
    log = failing_fetch(tmp_path, monkeypatch, "1|2|3", gone)
    with RemoteRepo(deploy.url) as repo:
        assert repo.tip().sha == deploy.tip
    log.unlink()
    with RemoteRepo(deploy.url, branch="mian") as repo, pytest.raises(InvalidInput, match="no branch mian"):
        repo.tip()
    log.unlink()
    with RemoteRepo(deploy.url, branch="mian") as repo, pytest.raises(InvalidInput, match="no branch mian"):
        repo.ask(lambda tip: tip.read([PATH]))
    assert log.read_text() == "fetch\n" * 4


def test_a_question_is_asked_again_when_the_connection_fails_in_its_middle(deploy, tmp_path, monkeypatch):
    """What is read after the tip was fetched may fail too, and needs the tip again."""
    log = failing_fetch(tmp_path, monkeypatch, "2", "error: RPC failed; HTTP 502")
    with RemoteRepo(deploy.url) as repo:
        assert repo.ask(lambda tip: tip.read([PATH])) == {PATH: b"images: []\n"}
    assert log.read_text().count("fetch") >= 4


def test_nothing_to_write_makes_no_commit(deploy):
    """A proposal of nothing leaves the remote alone."""
    before = deploy.tip
    with RemoteRepo(deploy.url) as repo:
        assert repo.update(lambda tip: None).commit is None
    assert deploy.tip == before


def test_user_hooks_and_settings_do_not_interfere(deploy, tmp_path, monkeypatch):
    """The user's hooks, signing and follow-tags settings touch nothing."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction"):
        (hooks / name).write_text(
            f'#!/bin/sh\ncase "$GIT_DIR" in */slipway-*) touch {tmp_path}/ran; exit 1 ;; esac\n'
        )
        (hooks / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\nhooksPath = {hooks}\n[push]\ngpgSign = true\nfollowTags = true\n[commit]\ngpgSign = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    with RemoteRepo(deploy.url) as repo:
        repo.update(append("# mine\n"))
    monkeypatch.delenv("GIT_DIR")
    assert deploy.count == 2 and not (tmp_path / "ran").exists()


@pytest.fixture
def http(tmp_path, deploy):
    with GitServer(tmp_path, ("bot", "s3cr:t ü")) as server:
        yield server


def test_credentials_come_from_the_environment(http, deploy, monkeypatch):
    """User and password reach the server, and nothing that stays: no argument, no file, no error text."""
    monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "bot")
    monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", "s3cr:t ü")
    with RemoteRepo(f"{http.url}/deploy.git") as repo:
        repo.update(append("# mine\n"))
        kept = [p.read_bytes() for p in Path(repo.store.folder.parent).rglob("*") if p.is_file()]
        assert not any(b"s3cr" in data for data in kept)
    assert deploy.count == 2 and any(http.seen)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_C22_missing_or_wrong_credentials_are_named(http, monkeypatch, password):
    """Without access the variables to set are named, at once and without the password."""
    if password:
        monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "bot")
        monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", password)
    with RemoteRepo(f"{http.url}/deploy.git") as repo, pytest.raises(RemoteRefused) as caught:
        repo.tip()
    text = caught.value.render()
    assert "SLIPWAY_GIT_USERNAME" in text and "wrong" not in text and caught.value.exit_code == 4
    assert len(http.seen) <= 3


def test_C22_half_a_credential_is_named(deploy, monkeypatch):
    """A user without a password names the variable that is missing."""
    monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "bot")
    monkeypatch.delenv("SLIPWAY_GIT_PASSWORD", raising=False)
    with pytest.raises(InvalidInput, match="SLIPWAY_GIT_PASSWORD is not set"):
        RemoteRepo(deploy.url)


def test_credentials_are_not_handed_to_another_host(tmp_path, deploy, monkeypatch):
    """A redirect to another host does not get the password."""
    from http.server import BaseHTTPRequestHandler

    from tests.cli.bump_lab import Server

    with GitServer(tmp_path, ("bot", "secret")) as other:

        class Redirect(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(302)
                self.send_header("Location", other.url.replace("127.0.0.1", "localhost") + self.path)
                self.end_headers()

            def log_message(self, *_):
                return

        with (
            Server(Redirect) as first,
            RemoteRepo(f"{first.url}/deploy.git", credentials=("bot", "secret")) as repo,
        ):
            pytest.raises(RemoteRefused, repo.tip)
        assert set(other.seen) == {None}


@pytest.mark.parametrize("url", ["https://bot:token@git.example/x.git", "https://token@git.example/x.git", "ssh://git:pw@git.example/x.git"])  # fmt: skip
def test_B9_credentials_in_the_address_are_refused(url):
    """An address that carries a secret is refused, and the secret is not repeated."""
    with pytest.raises(InvalidInput, match="carries a credential") as caught, RemoteRepo(url):
        raise AssertionError
    assert "token" not in caught.value.render() and "pw" not in caught.value.render()


@pytest.mark.parametrize("url", ["", "--upload-pack=x", "a\nb"])
def test_odd_addresses_are_refused(url):
    """What is no address never reaches git's command line."""
    with pytest.raises(InvalidInput), RemoteRepo(url):
        raise AssertionError


def test_ancestry_of_local_commits(deploy, tmp_path):
    """Older and newer are told apart, and what is not there is not guessed."""
    first, second = deploy.tip, deploy.commit("second", {"x": "y"})
    assert is_ancestor(deploy.path, first, second) is True
    assert is_ancestor(deploy.path, second, first) is False
    assert is_ancestor(deploy.path, first, "0" * 40) is None
    assert is_ancestor(tmp_path, first, second) is None
    assert is_ancestor(deploy.path, "--help", first) is None


def test_age_of_a_path_is_told_from_the_branch(deploy):
    """What a path has counts from the commit or merge that brought it; what is older than the fetch, from there."""
    stream = "".join(
        f"commit refs/heads/main\ncommitter p <p@p> {1_750_000_000 + n} +0000\ndata 1\nx\n"
        + "from refs/heads/main^0\n" * (n == 0)
        + (f"M 100644 inline {PATH}\ndata 1\ny\n" if n == 90 else "")
        for n in range(100)
    )
    git("fast-import", "--quiet", cwd=deploy.path, input=stream.encode())
    with RemoteRepo(deploy.url) as repo:
        tip = repo.tip()
        ages = [
            int(tip.last_change(path).timestamp()) for path in ("overlays/dev/board", "README.md", "none")
        ]
    assert [age - 1_750_000_000 for age in ages] == [90, 36, 36]


def test_log_of_local_commits(deploy):
    """What one commit has and another has not, newest first and counted in all; anything else is nothing."""
    first = deploy.tip
    second, third = deploy.commit("second ✓", {"x": "1"}), deploy.commit("third", {"x": "2"})
    log = log_between(deploy.path, first, third, limit=1)
    assert (log.commits, log.total) == (((third, "third"),), 2)
    assert log_between(deploy.path, first, second, limit=9).commits == ((second, "second ✓"),)
    assert log_between(deploy.path, third, first, limit=9).total == 0
    for odd in ("0" * 40, "--output=/tmp/x", "main", ""):
        assert log_between(deploy.path, first, odd, limit=1) is None
