"""The rules: each refuses the mistakes that its fixtures are named after, by its id and no other, and accepts the rest.

A fixture is the files in which a repository differs from `tests/fixtures/rules/_repository`, which every rule
accepts. Beside them, an invalid one has EXPECT: a line `<rule> <file>:<line>` for each finding.
"""

from __future__ import annotations

import ast
import copy
import random
import re
import shutil
from pathlib import Path

import pytest
from rules_lab import COMMON, FIXTURES, assemble, examine
from slipway import rules
from slipway.gate.check import Check
from slipway.gate.check_builtin import BUILT_IN
from slipway.gate.check_cache import CheckCache
from slipway.gate.check_overlay import as_overlay
from slipway.gate.findings import Finding
from slipway.gate.overlay import Object, Repository, Summary
from slipway.gate.render import Target, render
from slipway.rules import RULES

CASES = sorted(folder for folder in FIXTURES.glob("*/*/*") if folder.relative_to(FIXTURES).parts[0][0] != "_")
PACKAGE = Path(rules.__file__).parent


GIVEN = ("apiVersion", "kind", "name", "namespace")
"""Keys of objects that are texts whenever kustomize renders them at all."""


def name(folder: Path) -> str:
    """A fixture as a test's name shows it."""
    return "--".join(folder.relative_to(FIXTURES).parts)


def of(verdict: str) -> list[Path]:
    """The fixtures of one verdict."""
    return [folder for folder in CASES if folder.parent.name == verdict]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """What is found in every fixture, all of them rendered at once."""
    root = tmp_path_factory.mktemp("rules")
    common = Path(shutil.copytree(COMMON, root / COMMON.name))
    for folder in CASES:
        assemble(folder, root / name(folder), common)
    return examine(root, [name(folder) for folder in CASES])


@pytest.mark.parametrize("folder", of("invalid"), ids=name)
def test_a_mistake_is_named_by_its_rule_and_no_other(folder, found):
    """Rule, file and line are those that the fixture says."""
    expected = (folder / "EXPECT").read_text().splitlines()
    assert sorted({f"{one.rule} {one.file}:{one.line}" for one in found[name(folder)]}) == sorted(expected)
    assert {line.split()[0] for line in expected} == {folder.parts[-3]}


@pytest.mark.parametrize("folder", of("valid"), ids=name)
def test_what_is_right_is_accepted(folder, found):
    """Beside each mistake stands what looks like it and is none."""
    assert found[name(folder)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_fixtures_that_it_accepts_and_refuses(rule):
    """A rule that never refuses, or always does, shows nothing."""
    for verdict in ("valid", "invalid"):
        assert list((FIXTURES / rule.id / verdict).iterdir()), verdict


def test_every_folder_of_fixtures_is_of_a_rule():
    """A renamed rule takes its fixtures along."""
    known = {rule.id for rule in RULES} | set(BUILT_IN) | {COMMON.name}
    assert {folder.name for folder in FIXTURES.iterdir()} <= known
    assert {folder.parent.name for folder in CASES} == {"valid", "invalid"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_says_why_and_how(rule):
    """The reason is one sentence, the fix an instruction, the link official documentation; the id is the module's name."""
    assert rule.why[0].isupper() and rule.why.endswith(".") and ". " not in rule.why
    assert rule.fix and not rule.fix.endswith(".") and rule.fix[0].islower()
    assert re.match(r"https://[\w.-]+/\S+$", rule.link)
    assert Path(PACKAGE / f"{rule.id.replace('-', '_')}.py").is_file()
    assert rule.scope in ("overlay", "repository")


def test_ids_are_unique():
    """One rule, one name."""
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_rules_read_nothing_but_what_they_are_given():
    """No module of the package can open a file, start a process or look at the clock: results are kept by content."""
    allowed = {"__future__", "collections", "collections.abc", "dataclasses", "functools", "importlib", "json", "pkgutil",
               "posixpath", "re", "typing", "yaml"}  # fmt: skip
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {one for one in modules if not one.startswith("slipway")} <= allowed, file.name
            assert not (isinstance(node, ast.Name) and node.id in ("open", "eval", "exec")), file.name


@pytest.mark.parametrize("case", ["drain-time/invalid/C20-no-pre-stop", "sync-retry/invalid/C5-no-retry"])
def test_the_whole_check_says_the_same(case, tmp_path, found):
    """What is found in a fixture here is what `slipway check` finds in that repository."""
    assemble(FIXTURES / case, tmp_path / "repository")
    with CheckCache(None) as cache:
        report = Check(tmp_path / "repository", cache, workers=1).run()
    assert report.findings == found[name(FIXTURES / case)]
    assert report.failed


def test_no_shape_of_an_object_ends_a_rule():
    """What the schemas refuse reaches the rules all the same; they leave it to the schemas and go on."""
    (application,) = render(COMMON, [Target("argocd/environments")])
    (overlay,) = render(COMMON, [Target("overlays/prod/web")])
    chance = random.Random(7)
    for _ in range(250):
        one, argocd = copy.deepcopy(overlay), copy.deepcopy(application)
        changes = [_distort([*one.documents.values()], chance)]
        changes += [_distort([item["data"] for item in part.objects], chance) for part in (one, argocd, one)]
        seen = as_overlay(one, "prod", "web", None, lambda path: (COMMON / path).read_bytes())
        summary = Summary(seen.path, "prod", "web", tuple(one.files), ())
        objects = [Object(item["data"], item["file"], item["line"]) for item in argocd.objects]
        repository = Repository([summary], objects, [], lambda path: None)
        for rule in RULES:
            try:
                list(rule.check(seen if rule.scope == "overlay" else repository))
            except Exception as exc:
                raise AssertionError(f"{rule.id} ends at {changes}") from exc


def _distort(roots: list, chance: random.Random) -> tuple[list, object]:
    """Put something else into a random place of one of the values; the place and what is there now."""
    node, place = chance.choice(roots), []
    while True:
        keys = [key for key in node if key not in GIVEN] if isinstance(node, dict) else range(len(node))
        if not keys:
            node, place = chance.choice(roots), []
            continue
        key = chance.choice(keys)
        place.append(key)
        child = node[key]
        if not isinstance(child, dict | list) or not child or chance.random() < 0.15:
            node[key] = chance.choice(
                [None, True, 0, -1, "", "x", "*", 3.5, [], {}, ["x"], [None], [[]], {"x": None}, {"a": [1]}]
            )
            return place, node[key]
        node = child
