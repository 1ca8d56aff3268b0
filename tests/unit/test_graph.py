"""What an overlay reaches decides its result, and a change reaches overlays."""

from __future__ import annotations

from slipway.gate.graph import Graph, Reach

CONTENT = {
    "overlays/dev/a/kustomization.yaml": "1",
    "overlays/dev/b/kustomization.yaml": "2",
    "base/a/kustomization.yaml": "3",
    "base/common/kustomization.yaml": "4",
}
A = Reach(
    ("base/a/kustomization.yaml", "base/common/kustomization.yaml", "overlays/dev/a/kustomization.yaml"),
    ("base/a/kustomization.yml",),
)
B = Reach(("base/common/kustomization.yaml", "overlays/dev/b/kustomization.yaml"))


def fingerprint(reach: Reach, **changed: str) -> str:
    """The fingerprint with some contents changed; `__` stands for a slash, `_` in front for the file's name."""
    content = CONTENT | {path.replace("__", "/"): text for path, text in changed.items()}
    return reach.fingerprint("salt", lambda path: content.get(path, ""))


def graph() -> Graph:
    """Two overlays with a base in common."""
    found = Graph()
    found.add("overlays/dev/a", A)
    found.add("overlays/dev/b", B)
    return found


def test_equal_content_gives_an_equal_fingerprint() -> None:
    """Whatever else is in the repository."""
    assert fingerprint(A) == fingerprint(A, unrelated="9")


def test_every_file_that_is_reached_changes_the_fingerprint() -> None:
    """A changed base, a removed patch."""
    for path in A.files:
        content = CONTENT | {path: "changed"}
        assert A.fingerprint("salt", lambda p, c=content: c.get(p, "")) != fingerprint(A), path
        removed = {other: text for other, text in CONTENT.items() if other != path}
        assert A.fingerprint("salt", lambda p, c=removed: c.get(p, "")) != fingerprint(A), path


def test_A24_a_file_that_was_looked_for_in_vain_changes_it_when_it_appears() -> None:
    """A second kustomization file beside the first."""
    content = CONTENT | {"base/a/kustomization.yml": "5"}
    assert A.fingerprint("salt", lambda path: content.get(path, "")) != fingerprint(A)


def test_tools_and_rules_change_it() -> None:
    """The salt names them."""
    assert A.fingerprint("other", lambda path: CONTENT.get(path, "")) != fingerprint(A)


def test_contents_cannot_be_moved_from_one_file_to_the_next() -> None:
    """`1`, `23` is not `12`, `3`; what is absent is not what is empty; findings name the paths."""
    two = Reach(("x", "y"))
    assert two.fingerprint("", {"x": "1", "y": "23"}.get) != two.fingerprint("", {"x": "12", "y": "3"}.get)
    assert Reach(("x", "y")).fingerprint("", lambda p: "") != Reach(("x",), ("y",)).fingerprint(
        "", lambda p: ""
    )


def test_a_base_that_was_renamed_is_another_result() -> None:
    """Its findings name the files."""
    assert Reach(("x",)).fingerprint("", lambda p: "1") != Reach(("y",)).fingerprint("", lambda p: "1")


def test_a_reach_survives_being_written_down() -> None:
    """With and without files that were looked for in vain."""
    assert Reach.load(A.dump()) == A
    assert Reach.load(B.dump()) == B


def test_a_changed_base_reaches_every_overlay_that_reads_it() -> None:
    """And no other."""
    assert graph().reached_by(["base/common/kustomization.yaml"]) == ["overlays/dev/a", "overlays/dev/b"]
    assert graph().reached_by(["base/a/kustomization.yaml"]) == ["overlays/dev/a"]
    assert graph().reached_by(["README.md"]) == []


def test_a_new_file_reaches_the_overlay_that_would_take_it() -> None:
    """A second kustomization file breaks the rendering of those that build on the folder."""
    assert graph().reached_by(["base/a/kustomization.yml"]) == ["overlays/dev/a"]


def test_a_path_stands_for_the_overlays_below_it_and_those_that_read_there() -> None:
    """A folder of overlays, a base, a single file."""
    assert graph().below(["overlays/dev"]) == ["overlays/dev/a", "overlays/dev/b"]
    assert graph().below(["overlays/dev/b"]) == ["overlays/dev/b"]
    assert graph().below(["base/a"]) == ["overlays/dev/a"]
    assert graph().below(["base/common/kustomization.yaml"]) == ["overlays/dev/a", "overlays/dev/b"]
    assert graph().below(["base/comm"]) == []


def test_the_inverse_names_the_readers_of_a_file() -> None:
    """For people who ask what a base is used for."""
    assert graph().readers()["base/common/kustomization.yaml"] == ["overlays/dev/a", "overlays/dev/b"]
