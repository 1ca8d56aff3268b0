"""`slipway tools` when something is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SLIPWAY = Path(sys.prefix) / "bin" / "slipway"


def slipway(*arguments: str, cache: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a cache of its own."""
    environment = {**os.environ, "SLIPWAY_CACHE": str(cache), **env}
    return subprocess.run([SLIPWAY, *arguments], capture_output=True, text=True, env=environment, timeout=120)


def test_an_unreachable_module_proxy_is_named_and_nothing_half_made_stays(tmp_path: Path) -> None:
    """One error with the cause and the fix, an exit code of its own, no partial folder."""
    done = slipway(
        "tools", "build", "loadbalancer", cache=tmp_path, GOPROXY="http://127.0.0.1:9", GONOSUMDB="*"
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "fix: the Go module proxy must be reachable" in done.stderr
    assert list((tmp_path / "tools" / "loadbalancer").iterdir()) == []


def test_an_unknown_group_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """A typing error costs no minute of building."""
    done = slipway("tools", "build", "clutser", cache=tmp_path)
    assert done.returncode == 2
    assert "'cluster', 'forge'" in done.stderr


def test_the_list_says_what_is_not_built(tmp_path: Path) -> None:
    """For programs too."""
    done = slipway("tools", "list", "--json", cache=tmp_path)
    rows = json.loads(done.stdout)
    assert [row["group"] for row in rows] == [
        "cluster", "forge", "loadbalancer", "network", "supplychain", "monitoring", "alertmanager", "registry",
        "render", "crosscheck", "secrets",
    ]  # fmt: skip
    assert not any(row["built"] for row in rows)


def test_an_import_of_something_else_is_refused_with_the_file(tmp_path: Path) -> None:
    """The error starts with the path."""
    file = tmp_path / "notes.txt"
    file.write_text("not an archive")
    done = slipway("tools", "import", str(file), cache=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"slipway: {file}: not an archive")
