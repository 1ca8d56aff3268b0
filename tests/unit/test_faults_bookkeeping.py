"""What the fault tests compare before and after: a loss of any kind is seen, growth is none."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.platform import faults
from tests.platform.faults import Fault, Kept, Row, noted, record, table

NOTHING = Kept(heads={}, events=frozenset(), deployments=frozenset(), images={})


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    argv = ["git", *who, "--git-dir", folder, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three commits in the forge's repository `deploy`: first, second on it, and another without a parent."""
    monkeypatch.setenv("SLIPWAY_STATE", str(tmp_path))
    folder = tmp_path / "forge" / "data" / "repositories" / "slipway" / "deploy.git"
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    tree = git(folder, "mktree", "--missing")
    first = git(folder, "commit-tree", tree, "-m", "first")
    return [
        first,
        git(folder, "commit-tree", tree, "-p", first, "-m", "second"),
        git(folder, "commit-tree", tree, "-m", "third"),
    ]


def test_a_branch_may_grow_and_not_be_rewritten_or_vanish(history: list[str]) -> None:
    """The earlier head must be in what the later one contains."""
    first, second, other = history
    before, name = Kept({"deploy main": first}, frozenset(), frozenset(), {}), "deploy main"
    for after in (first, second):
        assert before.lost(dataclasses.replace(NOTHING, heads={name: after})) == []
    for heads in ({}, {name: other}, {name: "0" * 40}):
        assert before.lost(dataclasses.replace(NOTHING, heads=heads)) == [f"commit {first} of deploy main"]


def test_events_deployments_and_images_that_are_gone_or_changed_are_named() -> None:
    """More of each is no loss."""
    before = Kept({}, frozenset({"e"}), frozenset({"d"}), {"board:1": "sha256:1", "board:2": "sha256:2"})
    more = Kept({}, frozenset("ef"), frozenset("dg"), {**before.images, "board:3": "sha256:3"})
    assert before.lost(more) == []
    after = Kept({}, frozenset("f"), frozenset("g"), {"board:1": "sha256:9"})
    assert before.lost(after) == ["deployment d", "event e", "image board:1", "image board:2"]


def test_a_note_changes_what_is_rendered_and_can_be_taken_back() -> None:
    """Notes do not pile up, and without one the file is the same to the byte."""
    text = "resources:\n- x.yaml\n"
    once = noted(text, 'one: "it\'s"')
    assert yaml.safe_load(yaml.safe_load(once)["patches"][0]["patch"])["metadata"]["annotations"] == {
        "slipway.local/fault-test": 'one: "it\'s"'
    }
    assert noted(once, "two") == noted(text, "two") != once
    assert noted(once, "") == text


def test_a_row_takes_the_place_of_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has each fault once, in order, with the newest figures."""
    monkeypatch.setattr(faults, "OUTPUT", tmp_path / "out" / "faults.json")
    monkeypatch.setattr(faults, "FAULTS", (Fault("first", str, excuse="why"), Fault("second", str)))
    row = Row("second", 1000, 0, 1.0, 2.0, [], [], "1 May 2026", "abc")
    record(row)
    record(dataclasses.replace(row, fault="first", failed=3, lost=["event e"]))
    record(dataclasses.replace(row, requests=2000))
    written = (tmp_path / "out" / "faults.md").read_text()
    assert written == table(faults.measured())
    assert written.splitlines()[2:4] == [
        "| first | 1,000 | 3: why | 1 s | 2 s | event e |",
        "| second | 2,000 | 0 | 1 s | 2 s | nothing |",
    ]
    assert written.endswith("\nMeasured 1 May 2026 at commit abc.\n")
