"""`--lint`: every mistake in the fixtures is found as what it is, and nothing else is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "ci" / "harness" / "harness"
FIXTURES = ROOT / "tests" / "fixtures" / "pipelines"
VALID = sorted(FIXTURES.glob("valid/*/Jenkinsfile"))
INVALID = sorted(FIXTURES.glob("invalid/*/Jenkinsfile"))


@pytest.fixture(scope="module")
def found() -> dict[str, set[tuple[str, int]]]:
    """File to the rules and lines found in it; all files in one run of the harness."""
    files = [*VALID, *INVALID, ROOT / "ci" / "Jenkinsfile"]
    done = subprocess.run([HARNESS, "--lint", "--json", *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    result: dict[str, set[tuple[str, int]]] = {str(file): set() for file in files}
    for finding in json.loads(done.stdout):
        result[finding["file"]].add((finding["rule"], finding["line"]))
    return result


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.parent.name)
def test_a_mistake_is_found_by_its_rule_and_line_and_nothing_else_is(found, file):
    """The fixture's second line says which rule and line are expected."""
    expected = re.search(r"^// expect: (\S+):(\d+)$", file.read_text(), re.MULTILINE)
    assert expected, "the fixture says nothing of what is expected"
    assert found[str(file)] == {(expected[1], int(expected[2]))}


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.parent.name)
def test_a_valid_pipeline_has_no_finding(found, file):
    """The twins of the mistakes are accepted."""
    assert found[str(file)] == set()


def test_the_shipped_pipeline_follows_every_rule(found):
    """ci/Jenkinsfile itself has no finding, and is short."""
    file = ROOT / "ci" / "Jenkinsfile"
    assert found[str(file)] == set()
    assert len(file.read_text().splitlines()) <= 80


def test_every_rule_of_the_harness_has_an_invalid_fixture():
    """A rule that nothing violates might find nothing at all."""
    sources = [ROOT / "ci" / "harness" / name for name in ("Check.groovy", "Rules.groovy")]
    text = "\n".join(file.read_text() for file in sources)
    rules = set(re.findall(r"(?:refuse\([^,]+, |find\([^']*, |rule: )'([a-z-]+)'", text))
    rules |= {"unknown-step", "unknown-call", "unknown-option"}
    covered = {re.search(r"expect: (\S+):", file.read_text())[1] for file in INVALID}
    assert len(rules) > 15
    assert rules - covered == {"unknown-variable"}


def test_findings_are_lines_that_an_editor_understands(tmp_path):
    """`file:line: rule: message`, then a count; exit code 1."""
    file = INVALID[0]
    done = subprocess.run([HARNESS, "--lint", file], capture_output=True, text=True, timeout=60)
    first, last = done.stdout.splitlines()
    assert done.returncode == 1
    assert first.startswith(f"{file}:")
    assert last == "1 file(s), 1 finding(s)"
