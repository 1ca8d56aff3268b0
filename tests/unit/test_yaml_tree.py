"""YAML from strangers: read, or refused before it does harm."""

from __future__ import annotations

import pytest
from slipway.yaml_tree import TreeError, load_documents, parse_tree

NESTED = {"brackets": "[" * 1000 + "]" * 1000, "open brackets": "{a: " * 100_000, "dashes": "- " * 100_000}


@pytest.mark.parametrize("text", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("read", [load_documents, parse_tree])
def test_what_is_nested_without_end_is_refused_at_once(read, text: str) -> None:
    """The parser would take minutes, or die."""
    with pytest.raises(TreeError, match="nested too deeply"):
        read(text)


@pytest.mark.parametrize(
    "text", ["a: [" + "[], " * 2000 + "]", "a: '" + "[" * 400 + "'", "# " + "- " * 200 + "\na: 1"]
)
def test_what_only_looks_nested_is_read(text: str) -> None:
    """Many short lists, brackets in a text, dashes in a comment."""
    assert load_documents(text)


def test_what_stands_for_more_than_memory_holds_is_refused() -> None:
    """Nine aliases a line, and what contains itself."""
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for text in ("a0: &a0 [x]\n" + "\n".join(lines), "a: &a [*a]"):
        with pytest.raises(TreeError, match="stands for more than"):
            load_documents(text)


def test_documents_come_as_plain_data() -> None:
    """Empty ones are left out, aliases that are few are written out."""
    assert load_documents("---\na: &x [1]\nb: *x\n---\n# nothing\n---\n- true\n") == [
        {"a": [1], "b": [1]},
        [True],
    ]


@pytest.mark.parametrize("text", ["a: [", "a: *b", "\x00", "!!python/object:os.system x", "2026-13-45"])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    """With one kind of error."""
    with pytest.raises(TreeError, match="not valid YAML"):
        load_documents(text)
