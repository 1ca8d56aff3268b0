"""Additions to files that people write: what is there keeps every byte."""

from __future__ import annotations

import yaml

from slipway.errors import EditRefused
from slipway.pipeline.config import FILE


def add_image(text: str, name: str, repository: str, dependencies: list[str]) -> str:
    """`ci/pipeline.yaml` with one more image behind the others.

    Raises `EditRefused` where `images` is not written as a block.
    """
    root = yaml.compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    images = next((value for key, value in pairs if key.value == "images"), None)
    if not isinstance(images, yaml.MappingNode) or images.flow_style or not images.value:
        raise EditRefused(
            "`images` is no block with an entry a line",
            path=FILE,
            fix=f"write it as a block, or add {name} by hand",
        )
    column = images.value[0][0].start_mark.column
    inner = images.value[-1][1]
    block = isinstance(inner, yaml.MappingNode) and not inner.flow_style
    step = inner.value[0][0].start_mark.column - column if block else 2
    lines = text.splitlines(keepends=True)
    last = _last_line(images)
    newline = "\r\n" if lines[last].endswith("\r\n") else "\n"
    entry = [
        f"{' ' * column}{name}:",
        f"{' ' * (column + step)}dockerfile: images/{name}/Dockerfile",
        *([f"{' ' * (column + step)}dependencies: [{', '.join(dependencies)}]"] if dependencies else []),
        f"{' ' * (column + step)}repository: {repository}",
    ]
    if not lines[last].endswith("\n"):
        lines[last] += newline
    return "".join([*lines[: last + 1], *(line + newline for line in entry), *lines[last + 1 :]])


def _last_line(node: yaml.Node) -> int:
    """The line that the last value below a node ends on; a block's own end mark lies behind the comments after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.line


def add_owner(text: str, folders: list[str], owner: str) -> str:
    """CODEOWNERS with an owner for folders; at the end, because the last line that matches counts."""
    width = max(map(len, folders))
    lines = "".join(f"{folder:<{width}}  {owner}\n" for folder in folders)
    return text + ("" if not text or text.endswith("\n") else "\n") + lines
