"""Tools carried to another machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from slipway import toolchain, toolchain_archive
from slipway.errors import InvalidInput, ToolError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Switches between caches, as if between machines."""

    def use(name: str) -> Path:
        monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / name))
        return tmp_path / name

    return use


def built(group: str) -> Path:
    """A group as `build` leaves it, with one small tool."""
    home = toolchain.home(group)
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "tool").write_bytes(b"\x7fELF")
    (home / "bin" / "tool").chmod(0o755)
    toolchain._write_manifest(group, home)
    return home


def test_an_exported_set_is_taken_over_whole(machine, tmp_path: Path) -> None:
    """The second machine finds the tools, executable."""
    machine("first")
    built("cluster")
    assert toolchain_archive.export(tmp_path / "tools.tar.zst") == ["cluster"]
    machine("second")
    assert toolchain_archive.import_(tmp_path / "tools.tar.zst") == ["cluster"]
    assert toolchain.built("cluster")
    assert (toolchain.home("cluster") / "bin" / "tool").stat().st_mode & 0o111


def test_a_set_of_another_toolchain_is_refused_and_nothing_is_left(machine, tmp_path: Path) -> None:
    """Tools whose key does not match are never run."""
    machine("first")
    home = built("cluster")
    manifest = json.loads((home / "manifest.json").read_text())
    (home / "manifest.json").write_text(json.dumps({**manifest, "key": "0" * 20}))
    toolchain_archive.export(tmp_path / "tools.tar.zst")
    cache = machine("second")
    with pytest.raises(InvalidInput, match="this checkout wants"):
        toolchain_archive.import_(tmp_path / "tools.tar.zst")
    assert list((cache / "tools").iterdir()) == []


def test_a_changed_binary_is_refused(machine, tmp_path: Path) -> None:
    """What was not built from the sources does not get in."""
    machine("first")
    (built("cluster") / "bin" / "tool").write_bytes(b"something else")
    toolchain_archive.export(tmp_path / "tools.tar.zst")
    machine("second")
    with pytest.raises(InvalidInput, match="bin/tool is not what was built"):
        toolchain_archive.import_(tmp_path / "tools.tar.zst")


def test_a_cut_archive_is_refused(machine, tmp_path: Path) -> None:
    """Half a download is not half a set of tools."""
    machine("first")
    built("cluster")
    file = tmp_path / "tools.tar.zst"
    toolchain_archive.export(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    machine("second")
    with pytest.raises(InvalidInput, match="cut short"):
        toolchain_archive.import_(file)


def test_nothing_built_is_an_error_not_an_empty_archive(machine, tmp_path: Path) -> None:
    """An empty export would import as a success that brought nothing."""
    machine("first")
    with pytest.raises(ToolError, match="no tool is built"):
        toolchain_archive.export(tmp_path / "tools.tar.zst")
