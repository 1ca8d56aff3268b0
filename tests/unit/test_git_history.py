"""Every version of a file on a branch is found, wherever the repository is and however little of it is fetched."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from slipway.errors import InvalidInput
from slipway.git.history import contents, versions
from slipway.git.remote import RemoteRepo

from tests.cli.bump_lab import Deploy, git

PATH = "overlays/dev/board/kustomization.yaml"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Eighty commits, made in one go; every second one changes the overlay."""
    path = tmp_path_factory.mktemp("template") / "deploy.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
    stream = []
    for n in range(80):
        name = PATH if n % 2 or not n else "base/other.yaml"
        head = f"commit refs/heads/main\ncommitter p <p@p> {1700000000 + n} +0000\ndata 1\nc\n"
        stream.append(f"{head}M 100644 inline {name}\ndata {len(str(n)) + 1}\n{n}\n\n")
    git("fast-import", "--quiet", cwd=path, input="".join(stream).encode())
    git("config", "uploadpack.allowFilter", "true", cwd=path)
    return path


@pytest.fixture
def deploy(template, tmp_path):
    return Deploy(
        Path(shutil.copytree(template, tmp_path / "deploy.git")), (tmp_path / "deploy.git").as_uri()
    )


def read(url: str, folder: str = "overlays") -> list[tuple[str, str | None]]:
    """Each version's path and text."""
    with RemoteRepo(url, whole=True) as repo:
        found = versions(repo, repo.tip(), folder)
        bodies = contents(repo, [v.oid for v in found if v.oid and v.regular])
    return [(v.path, bodies[v.oid].decode() if v.oid in bodies else None) for v in found]


@pytest.mark.parametrize("filters", ["true", "false"])
def test_all_versions_are_found_newest_first(deploy, filters):
    """Beyond what other verbs fetch, and without what other folders say; a server without filters is enough."""
    git("config", "uploadpack.allowFilter", filters, cwd=deploy.path)
    assert read(deploy.url) == [(PATH, f"{n}\n") for n in range(79, 0, -2)] + [(PATH, "0\n")]


def test_versions_say_when_and_by_which_commit(deploy):
    """Commit and time are those of the commit that made the version."""
    with RemoteRepo(deploy.url, whole=True) as repo:
        newest = versions(repo, repo.tip(), "overlays")[0]
    assert newest.commit == deploy.tip and newest.time == datetime.fromtimestamp(1700000079, UTC)


def test_contents_of_other_files_are_not_fetched(deploy):
    """Only the bytes that were asked for come, whatever else is in the repository."""
    deploy.commit("large", {"base/large": "x" * 3_000_000})
    with RemoteRepo(deploy.url, whole=True) as repo:
        contents(repo, [v.oid for v in versions(repo, repo.tip(), "overlays")])
        counted = repo.store.git("-c", "core.commitGraph=false", "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").stdout  # fmt: skip
    assert len(re.findall("blob", counted)) == 41


def test_a_merge_is_one_change_of_the_branch(deploy, tmp_path):
    """What a pull request's own commits said before the merge never ran; links and removals are told apart."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", deploy.url, str(clone))
    git("checkout", "--quiet", "-b", "topic", cwd=clone)
    for text in ("draft\n", "final\n"):
        (clone / PATH).write_text(text)
        git("commit", "--quiet", "-am", text, cwd=clone)
    git("checkout", "--quiet", "main", cwd=clone)
    git("merge", "--quiet", "--no-ff", "-m", "merge", "topic", cwd=clone)
    (clone / "overlays" / "dev" / "ünï code\t").symlink_to("board")
    git("add", ".", cwd=clone)
    git("commit", "--quiet", "-m", "link", cwd=clone)
    git("rm", "--quiet", PATH, cwd=clone)
    git("commit", "--quiet", "-m", "remove", cwd=clone)
    git("push", "--quiet", cwd=clone)
    expected = [(PATH, None), ("overlays/dev/ünï code\t", None), (PATH, "final\n"), (PATH, "79\n")]
    assert read(deploy.url)[:4] == expected
    with RemoteRepo(deploy.url, whole=True) as repo:
        removed, link, *_ = versions(repo, repo.tip(), "overlays")
    assert (removed.oid, removed.regular, link.regular) == (None, True, False)


def test_C18_a_shallow_clone_is_refused(deploy, tmp_path):
    """A history that is not all there would make needed images look unneeded."""
    git("clone", "--quiet", "--depth", "2", deploy.url, str(tmp_path / "clone"))
    with pytest.raises(InvalidInput, match="shallow clone") as caught:
        read((tmp_path / "clone").as_uri())
    assert "--unshallow" in caught.value.fix
    git("fetch", "--quiet", "--unshallow", cwd=tmp_path / "clone")
    assert len(read((tmp_path / "clone").as_uri())) == 41


def test_the_users_settings_change_nothing(deploy, tmp_path, monkeypatch):
    """A configuration that hides root commits or shows signatures does not lose a version."""
    config = tmp_path / "config"
    config.write_text("[log]\nshowRoot = false\nshowSignature = true\n[diff]\nrenames = copies\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert len(read(deploy.url)) == 41
