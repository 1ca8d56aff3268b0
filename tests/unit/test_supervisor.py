"""Processes under supervisord."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway.errors import StateError
from slipway.platform.supervisor import Program, Supervisor, runs


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """An instance in a folder whose path is short enough for a socket."""
    instance = Supervisor(tmp_path_factory.mktemp("s"))
    yield instance
    instance.stop()


def sleeper(name: str, folder: Path, value: str = "1") -> Program:
    """A program that writes its environment's VALUE and sleeps."""
    code = "import os,pathlib,time; pathlib.Path('value').write_text(os.environ['VALUE']); time.sleep(600)"
    return Program(name, [sys.executable, "-c", code], {"VALUE": value}, directory=folder)


def pid(supervisor: Supervisor, name: str) -> int:
    """The program's process id."""
    return next(p["pid"] for p in supervisor.processes() if p["name"] == name)


def until(condition) -> None:
    """Wait at most five seconds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 5 s"
        time.sleep(0.05)


def test_a_killed_program_comes_back(supervisor: Supervisor, tmp_path: Path) -> None:
    """kill -9 of a service is repaired without anybody's help."""
    supervisor.start([sleeper("one", tmp_path)])
    supervisor.run("one")
    first = pid(supervisor, "one")
    until((tmp_path / "value").exists)
    (tmp_path / "value").unlink()
    os.kill(first, 9)
    until(lambda: pid(supervisor, "one") not in (0, first) and (tmp_path / "value").exists())


def test_running_twice_changes_nothing(supervisor: Supervisor, tmp_path: Path) -> None:
    """A running program is not restarted by a second `up`."""
    for _ in range(2):
        supervisor.start([sleeper("one", tmp_path)])
        supervisor.run("one")
        seen = pid(supervisor, "one")
        until((tmp_path / "value").exists)
    assert pid(supervisor, "one") == seen
    os.kill(seen, 0)


def test_a_changed_program_is_started_anew_and_others_are_left_alone(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """Only what changed is interrupted. Values with spaces, percent signs and commas arrive as they are."""
    value = "a b %c,f=g"
    supervisor.start([sleeper("one", tmp_path), sleeper("two", tmp_path)])
    supervisor.run("one")
    supervisor.run("two")
    kept = pid(supervisor, "two")
    until((tmp_path / "value").exists)
    supervisor.start([sleeper("one", tmp_path, value), sleeper("two", tmp_path)])
    supervisor.run("one")
    until(lambda: (tmp_path / "value").read_text() == value)
    assert pid(supervisor, "two") == kept


def test_a_halted_program_stays_down_and_an_unknown_one_is_no_error(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """A half-made node is ended before its files are removed, and on a first start there is none."""
    supervisor.halt("one")
    supervisor.start([sleeper("one", tmp_path)])
    supervisor.run("one")
    until((tmp_path / "value").exists)
    seen = pid(supervisor, "one")
    supervisor.halt("one")
    supervisor.halt("two")
    assert not runs(seen) and not supervisor.running("one")


def test_git_settings_of_the_callers_shell_do_not_reach_a_service(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With GIT_CONFIG_GLOBAL=/dev/null inherited, the forge does not start."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("KEPT", "1")
    code = "import os,pathlib,time; pathlib.Path('value').write_text(' '.join(os.environ)); time.sleep(600)"
    supervisor.start([Program("one", [sys.executable, "-c", code], directory=tmp_path)])
    supervisor.run("one")
    until(lambda: (tmp_path / "value").is_file() and (tmp_path / "value").read_text())
    names = (tmp_path / "value").read_text().split()
    assert "KEPT" in names and "GIT_CONFIG_GLOBAL" not in names


def test_after_stop_nothing_is_left(supervisor: Supervisor, tmp_path: Path) -> None:
    """No process of an instance outlives it."""
    supervisor.start([sleeper("one", tmp_path)])
    supervisor.run("one")
    seen = pid(supervisor, "one")
    until((tmp_path / "value").exists)  # a signal between fork and exec is lost
    supervisor.stop()
    assert not supervisor.alive()
    assert not runs(seen)


@pytest.mark.parametrize("value", ['a"b', "a'b", "a;b", "a#b", "a\nb"])
def test_a_value_that_would_not_arrive_is_refused(supervisor: Supervisor, tmp_path: Path, value: str) -> None:
    """supervisord's own syntax would change it in silence."""
    with pytest.raises(StateError, match="cannot pass on"):
        supervisor.start([sleeper("one", tmp_path, value)])
