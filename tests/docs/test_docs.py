"""What the documents say is so."""

from __future__ import annotations

import re
import subprocess

import click
import pytest
from slipway import paths
from slipway.cli import VERBS, cli

from tests.platform.faults import FAULTS

README = (paths.CHECKOUT / "README.md").read_text()
FOLDERS = ("apps", "base", "overlays", "argocd", "ci", "images", "scripts", "tests")


def commands() -> list[tuple[str, click.Command]]:
    """Every verb and its sub-commands by full name."""
    context = click.Context(cli)
    found = []
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        found.append((verb, command))
        if isinstance(command, click.Group):
            found += [(f"{verb} {name}", sub) for name, sub in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_command_has_help_with_an_example_that_parses(name: str, command: click.Command) -> None:
    """The example names the command itself, and every option in it exists."""
    text = command.help or ""
    example = re.search(rf"Example: slipway ({re.escape(name)}\b.*)", text)
    assert example, f"`slipway {name} --help` has no `Example: slipway {name} …`"
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    if isinstance(command, click.Group):
        options |= {o for sub in command.commands.values() for p in sub.params for o in p.opts}
    for option in re.findall(r"(?<=\s)--[a-z-]+", example[1]):
        assert option in options, f"{option} in the example of `slipway {name}` does not exist"


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_every_option_has_a_help_text_of_its_own(name: str, command: click.Command) -> None:
    """A copied help text describes the wrong option."""
    texts = [p.help for p in command.params if isinstance(p, click.Option)]
    assert all(texts), name
    assert len(texts) == len(set(texts)), name


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_module_of_its_name(verb: str) -> None:
    """One verb, one file."""
    assert (paths.CHECKOUT / "scripts/slipway/commands" / f"{verb.replace('-', '_')}.py").is_file()


def test_decisions_have_unique_numbers_in_order_and_all_three_parts() -> None:
    """Number, context, decision, cost."""
    text = (paths.CHECKOUT / "scripts" / "DECISIONS.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    numbers = [int(section.partition(".")[0]) for section in sections]
    assert numbers == list(range(1, len(numbers) + 1))
    for section in sections:
        for part in ("Context: ", "Decision: ", "Cost: "):
            assert part in section, section.splitlines()[0]


def test_the_top_level_folders_are_those_of_the_pair() -> None:
    """A newcomer finds each in the README; nothing else lies at the top."""
    listed = subprocess.run(
        ["git", "-C", paths.CHECKOUT, "ls-files"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    top = {name.partition("/")[0] for name in listed if "/" in name and not name.startswith(".")}
    assert top <= set(FOLDERS)
    for folder in FOLDERS:
        assert f"`{folder}/`" in README, f"README does not say what {folder}/ is"


def test_links_in_documents_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    for file in (paths.CHECKOUT / "README.md", *paths.CHECKOUT.glob("*/*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_make_targets_in_the_readme_exist() -> None:
    """A command in the README can be typed as it stands."""
    targets = set(re.findall(r"^([a-z-]+):", (paths.CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE):
        assert target in targets


def test_the_readme_has_every_fault_and_what_it_cost() -> None:
    """The table of `make faults`: no fault left out, no request lost without its excuse, and when it was measured."""
    section = re.search(r"^## Faults\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    assert section, "README has no section Faults"
    cells = [[cell.strip() for cell in line.split("|")] for line in section[1].splitlines() if "|" in line]
    rows = {row[1]: row[2:-1] for row in cells[2:]}
    assert list(rows) == [fault.name for fault in FAULTS]
    for fault in FAULTS:
        requests, failed, heals, delivers, lost = rows[fault.name]
        assert int(requests.replace(",", "")) > 0 and heals.endswith(" s") and delivers.endswith(" s")
        assert failed == "0" or (fault.excuse and failed.endswith(f": {fault.excuse}")), fault.name
        assert lost == "nothing", fault.name
    assert re.search(r"^Measured \d+ \w+ \d{4} at commit [0-9a-f]{7,}", section[1], re.MULTILINE)


def test_no_file_names_a_package_registry() -> None:
    """Clients know where their registries are; a host written here would bypass what a machine is set to."""
    hosts = "|".join(
        ("pypi" + r"\.org", "pythonhosted" + r"\.org", "proxy" + r"\.golang\.org", "registry" + r"\.npmjs")
    )
    hosts += "|" + "|".join(("repo1?" + r"\.maven", "deb" + r"\.debian\.org", "index" + r"\.crates"))
    found = subprocess.run(
        ["git", "-C", paths.CHECKOUT, "grep", "-nE", hosts], capture_output=True, text=True
    )
    assert found.stdout == ""
