"""Text of others in Markdown that forges render: nothing in it becomes a mention, a link or a closed issue."""

from __future__ import annotations

import re

_APART = "\u200b"


def code(text: str) -> str:
    """A code span of any one-line text; mentions and issue numbers in it are harmless wherever it is copied to."""
    shown = re.sub(r"\s+", " ", text).strip() or " "
    shown = re.sub(r"([@#!])(?=\w)", rf"\1{_APART}", shown)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table; a cell is Markdown on one line."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines]
