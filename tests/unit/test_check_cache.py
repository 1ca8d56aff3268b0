"""The cache costs time when it fails, and nothing else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from slipway.gate.check_cache import CheckCache, code
from slipway.gate.graph import Reach

REACH = Reach(("base/k.yaml",), ("base/other.yaml",))


def test_what_was_kept_is_found_by_the_next_run(tmp_path: Path) -> None:
    """Results, reaches and stamps."""
    stamps = {"base/k.yaml": ((1, 2, 3, 4), "id")}
    with CheckCache(tmp_path / "render" / "check.sqlite") as cache:
        cache.keep("overlays/dev/a", REACH, "fingerprint", "result")
        cache.keep_stamps(tmp_path, stamps)
    with CheckCache(tmp_path / "render" / "check.sqlite") as cache:
        assert cache.result("fingerprint") == "result"
        assert list(cache.reaches()) == [("overlays/dev/a", REACH)]
        assert cache.stamps(tmp_path) == stamps
        assert cache.stamps(tmp_path / "elsewhere") == {}


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    """Cut short, or something else altogether."""
    file = tmp_path / "check.sqlite"
    for content in (b"not a database at all", b"SQLite format 3\0" + b"\xff" * 4000):
        file.write_bytes(content)
        with CheckCache(file) as cache:
            assert cache.result("fingerprint") is None
            cache.keep("overlays/dev/a", REACH, "fingerprint", "result")
        with CheckCache(file) as cache:
            assert cache.result("fingerprint") == "result"


def test_a_cache_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    """Its tables may mean something else."""
    file = tmp_path / "check.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("CREATE TABLE results (other TEXT)")
    with CheckCache(file) as cache:
        cache.keep("overlays/dev/a", REACH, "fingerprint", "result")
    assert CheckCache(file).result("fingerprint") == "result"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "render").write_text("")
    with CheckCache(tmp_path / "render" / "check.sqlite") as cache:
        cache.keep("overlays/dev/a", REACH, "fingerprint", "result")
        assert cache.result("fingerprint") is None


def test_without_a_file_nothing_is_kept() -> None:
    """`--no-cache`."""
    with CheckCache(None) as cache:
        cache.keep("overlays/dev/a", REACH, "fingerprint", "result")
        assert cache.result("fingerprint") is None


def test_two_runs_at_once_both_keep_what_they_found(tmp_path: Path) -> None:
    """Neither waits for the other's end."""
    file = tmp_path / "check.sqlite"
    with CheckCache(file) as one, CheckCache(file) as other:
        one.keep("overlays/dev/a", REACH, "a", "1")
        other.keep("overlays/dev/b", REACH, "b", "2")
    with CheckCache(file) as cache:
        assert (cache.result("a"), cache.result("b")) == ("1", "2")


def test_what_nobody_used_for_a_month_is_forgotten(tmp_path: Path) -> None:
    """What was used stays."""
    file = tmp_path / "check.sqlite"
    with CheckCache(file) as cache:
        cache.keep("overlays/dev/a", REACH, "old", "1")
        cache.keep("overlays/dev/b", REACH, "used", "2")
    with sqlite3.connect(file) as db:
        db.execute("UPDATE results SET used = ?", (int(time.time()) - 40 * 86400,))
    with CheckCache(file) as cache:
        assert cache.result("used") == "2"
    with CheckCache(file) as cache:
        cache.forget_old()
        assert (cache.result("old"), cache.result("used")) == (None, "2")


def test_a_change_of_a_rule_or_of_what_it_imports_changes_the_salt(tmp_path: Path) -> None:
    """And a change of another verb does not."""
    package = tmp_path / "slipway"
    (package / "rules").mkdir(parents=True)
    (package / "gate").mkdir()
    (package / "gate" / "check.py").write_text(
        "from slipway import paths as places\nfrom slipway.gate import graph\n"
    )
    (package / "rules" / "one.py").write_text("def check():\n    from slipway.yaml_tree import Node\n")
    for name in ("paths", "gate/graph", "yaml_tree", "bump"):
        (package / f"{name}.py").write_text(f"# {name}\n")
    read = b"".join(code(package))
    assert all(f"# {name}".encode() in read for name in ("paths", "gate/graph", "yaml_tree"))
    assert b"# bump" not in read
