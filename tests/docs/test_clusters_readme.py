"""What the documents of the clusters name is there: boxes, files, commands, and the tests that show what they say."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest
from slipway import paths
from slipway.cli import VERBS, cli

CLUSTERS = paths.CHECKOUT / "argocd" / "clusters"
DOCUMENTS = {"clusters": CLUSTERS / "README.md", "aws": CLUSTERS / "aws" / "README.md"}
TEXT = {name: file.read_text() for name, file in DOCUMENTS.items()}
DIAGRAM = (
    "developer",
    "GitHub",
    "webhook",
    "Jenkins",
    "image",
    "ECR",
    "Argo CD",
    "EKS",
    "EC2 nodes",
    "ALB",
    "users",
    "RDS",
    "IAM",
    "security groups",
    "monitoring",
    "automation",
)
"""The boxes of the architecture that this pair is made for."""
THREATS = (
    "A credential of the pipeline is stolen",
    "A malicious pull request",
    "A compromised image",
    "A webhook secret leaks",
    "A developer's account at the forge is stolen",
    "An administrator of Argo CD",
)
LOSSES = ("cluster", "Git", "registry", "Argo CD")


def section(title: str, text: str = TEXT["clusters"]) -> str:
    """What stands under a heading, without the next one of its level."""
    marks, rest = re.search(rf"^(#+) {re.escape(title)}\n(.*)", text, re.MULTILINE | re.DOTALL).groups()
    return re.split(rf"^#{{1,{len(marks)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    """What stands between backticks, outside of blocks of commands."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))


def named_commands() -> list[tuple[str, str]]:
    """Every `slipway …`, in the text and in blocks of commands, with the document it stands in."""
    found = []
    for name, text in TEXT.items():
        blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
        lines = [line.strip().removeprefix(".venv/bin/") for block in blocks for line in block.splitlines()]
        found += [(name, line) for line in [*quoted(text), *lines] if re.match(r"slipway [a-z]", line)]
    return found


@cache
def defined_tests(file: Path) -> set[str]:
    """The tests that a file defines."""
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("box", DIAGRAM)
def test_every_box_of_the_diagram_has_a_row_with_files_that_exist(box: str) -> None:
    """Found by its name, and each path of the last column is there."""
    found = [row for row in rows(section("Every box of the architecture")) if box in row[0]]
    assert found, box
    for row in found:
        assert quoted(row[3]), row[0]
        assert [path for path in quoted(row[3]) if not (paths.CHECKOUT / path).exists()] == []


@pytest.mark.parametrize("threat", THREATS)
def test_every_defence_is_shown_by_a_test_that_exists(threat: str) -> None:
    """Each row of a threat names at least one test; what remains is said."""
    text = section(threat)
    assert re.search(r"^Remains: ", text, re.MULTILINE)
    table = rows(text)
    assert len(table) >= 4
    for row in table:
        shown = [item for item in quoted(row[-1]) if "::" in item]
        assert shown, row
        for item in shown:
            file, _, test = item.partition("::")
            assert test in defined_tests(paths.CHECKOUT / file), item


def test_no_threat_is_without_a_check() -> None:
    """A new heading is a new parameter here."""
    headings = re.findall(r"^### (.+)$", section("Who could deploy what, and what stops them"), re.MULTILINE)
    assert tuple(headings) == THREATS


@pytest.mark.parametrize("lost", LOSSES)
def test_every_loss_has_a_row_and_steps(lost: str) -> None:
    """Time, what is lost for good, and a test, or the words that there is none."""
    (row,) = [row for row in rows(section("Disaster recovery")) if row[0] == lost]
    assert len(row) == 6 and all(row)
    tests = [item for item in quoted(row[5]) if "::" in item]
    assert tests or "not run" in row[5]
    for item in tests:
        file, _, test = item.partition("::")
        assert test in defined_tests(paths.CHECKOUT / file), item
    title = f"{'The ' if lost.islower() else ''}{lost} is lost"
    assert re.search(r"^1\. ", section(title), re.MULTILINE)


@pytest.mark.parametrize(("document", "line"), named_commands())
def test_every_command_parses(document: str, line: str) -> None:
    """Verb, sub-command, options and the number of arguments are those that `--help` shows."""
    words = shlex.split(line, comments=True)[1:]
    context = click.Context(cli, info_name="slipway")
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        assert command is not cli or words[0] in VERBS, line
        found = command.get_command(context, words.pop(0))
        assert found, line
        context = click.Context(found, info_name=found.name, parent=context)
        command = found
    if isinstance(command, click.Group) or not words:
        return  # named, not run
    given, left, _ = command.make_parser(context).parse_args(words)
    assert left == [], line
    lacking = [p.name for p in command.params if p.required and not p.envvar and not given.get(p.name)]
    assert lacking == [], line


def test_commands_are_found() -> None:
    """In both documents; an expression that finds none would let everything pass."""
    assert {document for document, _ in named_commands()} == set(DOCUMENTS)
    assert len(named_commands()) >= 20


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file, and where a heading is named, to a heading in it."""
    links = re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT[name])
    assert links
    for link in links:
        path, _, heading = link.partition("#")
        target = DOCUMENTS[name].parent / path if path else DOCUMENTS[name]
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}, link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_in_the_text_exists(name: str) -> None:
    """From the top of the repository or from the document's own folder, patterns included."""
    roots = (paths.CHECKOUT, DOCUMENTS[name].parent, paths.CHECKOUT / "tests" / "aws")
    looks_like = re.compile(r"(?:[\w.*-]*[a-z][\w.*-]*/)+[\w.*-]*|[\w-]+\.(?:py|ya?ml|sql|md|lock)")
    candidates = {
        item.partition("::")[0]
        for item in quoted(TEXT[name])
        if looks_like.fullmatch(item.partition("::")[0]) and item.split("/")[0] not in ELSEWHERE
    }
    assert len(candidates) > 20
    assert sorted(c for c in candidates if not any(any(root.glob(c)) for root in roots)) == []


ELSEWHERE = ("kube-system", "external-secrets", "jenkins", "slipway", "role", "build")
"""What looks like a path and is a ServiceAccount, a repository of the forge, a role, or made by a command."""
