"""Stage test: what passed on exactly these files is not run again, and nothing else is left out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from slipway.errors import PipelineFailed
from slipway.pipeline import commit, config
from slipway.pipeline import test as stage

RUN = "import pathlib; pathlib.Path('out').mkdir(exist_ok=True); open('out/ran', 'a').write('x'); import app"
"""The tests of this project: they leave a mark below out/, and fail when the application does not start."""


class Project:
    """A repository with one application, whose tests are one line of Python."""

    def __init__(self, folder: Path, reuse: config.Reuse | None):
        self.folder = folder
        test = config.Test(arguments=["-c", RUN], reuse=reuse)
        self.config = config.load(Path(__file__).parents[2] / config.FILE).model_copy(update={"test": test})
        folder.mkdir()
        for name, text in {
            "app.py": "",
            "tests/test_app.py": "",
            ".gitignore": "out/\n__pycache__/\n",
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        self.git("init", "--quiet")
        self.commit("first")

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self, message: str) -> str:
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return commit.read(self.folder).sha

    def stands(self, **options: bool) -> str | None:
        """The commit whose tests stood for those of the commit at hand, None when they were run; both are checked."""
        mark = self.folder / "out" / "ran"
        before = mark.read_text() if mark.exists() else ""
        answer = stage.run(self.config, self.folder, commit.read(self.folder), lambda line: None, **options)
        assert (mark.read_text() == before) == (answer is not None)
        return answer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tested"


@pytest.fixture
def project(tmp_path) -> Project:
    """A project whose passed tests stand for the next ones; no test reads its Markdown."""
    return Project(tmp_path / "source", config.Reuse(unread=["*.md"]))


def test_tests_that_passed_on_the_same_files_are_not_run_again(project):
    """What no test reads makes no difference; who asks for it has them run all the same."""
    first = commit.read(project.folder).sha
    assert project.stands() is None
    (project.folder / "notes.md").write_text("a note")
    project.commit("a note")
    assert project.stands() == first
    assert project.stands(again=True) is None


@pytest.mark.parametrize("path", ["app.py", "tests/test_app.py", "new.txt", ".gitignore"])
def test_a_change_of_any_file_that_a_test_may_read_runs_them(project, path):
    """A new file counts like a changed one, and so does a change that is not committed."""
    assert project.stands() is None
    with (project.folder / path).open("a") as file:
        file.write("# changed\n")
    assert project.stands() is None
    project.commit("changed")
    assert project.stands() is None
    assert project.stands() is not None


@pytest.mark.parametrize("what", ["packages", "slipway", "command"])
def test_other_packages_or_another_command_run_them(project, monkeypatch, tmp_path, what):
    """The same files say nothing about another machine's Python, or about another state of this package."""
    assert project.stands() is None
    if what == "packages":
        monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    elif what == "slipway":
        monkeypatch.setattr("slipway.paths.CHECKOUT", tmp_path / "another")
    else:
        arguments = ["-c", f"{RUN}; import sys"]
        test = project.config.test.model_copy(update={"arguments": arguments})
        project.config = project.config.model_copy(update={"test": test})
    assert project.stands() is None


def test_only_passed_tests_stand_for_others(project):
    """A failure is not kept: the next run fails, too."""
    (project.folder / "app.py").write_text("raise SystemExit(1)")
    project.commit("wrong")
    for _ in range(2):
        with pytest.raises(PipelineFailed, match="ended with code 1"):
            project.stands()


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "{}",
        "[]",
        '{"at": 1}',
        '{"at": "2026-11-26T00:00:00+00:00"}',
        '{"commit": "a", "at": "2020-01-01T00:00:00+00:00"}',
        '{"commit": "a", "at": "2999-01-01T00:00:00+00:00"}',
    ],
)
def test_a_record_that_is_broken_old_or_of_the_future_counts_for_nothing(project, cache, kept):
    """Then the tests are run, and the record is written anew."""
    assert project.stands() is None
    (record,) = cache.iterdir()
    record.write_text(kept)
    assert project.stands() is None
    assert project.stands() is not None


def test_without_reuse_every_build_is_tested(tmp_path, cache):
    """The settings ask for it, or it does not happen."""
    project = Project(tmp_path / "source", None)
    assert project.stands() is None
    assert project.stands() is None
    assert not cache.exists()
