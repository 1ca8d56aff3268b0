"""No password or token of the platform is anywhere but in its own file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from slipway.platform.preflight import process_commands

from .conftest import Platform


@pytest.fixture(scope="module")
def values(platform: Platform) -> dict[str, str]:
    """Every one-word secret by name."""
    found = {f.name: f.read_text().strip() for f in platform.secrets.folder.iterdir()}
    words = {name: value for name, value in found.items() if re.fullmatch(r"[\w-]{16,}", value)}
    assert len(words) >= 10, "the platform's secrets were not found"
    return words


def names_in(text: str, values: dict[str, str]) -> list[str]:
    """Which secrets the text holds, by name: a failing test must not print them either."""
    return sorted(name for name, value in values.items() if value in text)


def test_no_secret_in_a_process_argument(values: dict[str, str]) -> None:
    """Arguments are readable by every user of the machine."""
    leaks = {
        command.split("\0")[0]: names_in(command, values)
        for command in process_commands().values()
        if names_in(command, values)
    }
    assert leaks == {}


def test_no_secret_in_a_log(platform: Platform, values: dict[str, str]) -> None:
    """Neither in those of the services nor in those of builds and Pods."""
    folders = ("supervisor", "pipeline", "node/control", "alb")
    logs = [f for folder in folders for f in (platform.state / folder).rglob("*log*") if f.is_file()]
    logs += [*platform.state.glob("*.log")]
    pods = list((platform.state / "node/overlay/var-log/upper/pods").rglob("*.log"))
    assert len(logs) > 5 and len(pods) > 10, "the logs were not found"
    leaks = {str(f): names_in(f.read_text(errors="replace"), values) for f in (*logs, *pods)}
    assert {file: names for file, names in leaks.items() if names} == {}


@pytest.mark.parametrize("repository", ["source", "deploy"])
def test_no_secret_in_git(
    platform: Platform, values: dict[str, str], repository: str, tmp_path: Path
) -> None:
    """In no file, message or address of any commit."""
    subprocess.run(
        ["git", "clone", "-q", "--bare", platform.remote(repository), tmp_path / "clone"], check=True
    )
    log = subprocess.run(
        ["git", "-C", tmp_path / "clone", "log", "--all", "-p", "--format=fuller"],
        capture_output=True,
        check=True,
    )
    assert names_in(log.stdout.decode(errors="replace"), values) == []


def test_secret_files_are_for_root_only(platform: Platform) -> None:
    """The files and every configuration that has to hold one."""
    holders = [f for f in platform.secrets.folder.iterdir() if f.suffix != ".pub"]
    holders += [platform.state / "forge" / "app.ini", platform.state / "kubeconfig"]
    open_ones = [str(f) for f in holders if f.stat().st_mode & 0o077]
    assert open_ones == []
    assert platform.secrets.folder.stat().st_mode & 0o077 == 0
