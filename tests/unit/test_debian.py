"""The few Debian packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from slipway.errors import MachineError
from slipway.platform import debian


def test_without_root_the_exact_command_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user can copy the line; nothing was tried."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="2 Debian packages are missing") as error:
        debian.install(["groovy", "runc"], tmp_path / "log")
    assert error.value.fix == "as root: apt-get install -y --no-install-recommends groovy runc"
    assert not (tmp_path / "log").exists()


def test_a_package_that_is_not_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """dpkg knows nothing of this one, and git is there."""
    monkeypatch.setattr(debian, "PACKAGES", {"git": "x", "slipway-no-such-package": "x"})
    assert debian.missing() == ["slipway-no-such-package"]


def test_every_package_says_what_needs_it() -> None:
    """What nobody needs is not installed."""
    assert all(debian.PACKAGES.values())
    assert list(debian.PACKAGES) == sorted(debian.PACKAGES)
