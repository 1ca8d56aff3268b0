"""`slipway check` as a person or a pipeline runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from slipway import paths
from slipway.commands.check import command
from slipway.errors import InvalidInput
from slipway.gate.check import Check, default_cache
from slipway.gate.check_cache import CheckCache

from tests.perf import big_repo

Run = Callable[..., Result]
SLIPWAY = Path(sys.prefix) / "bin" / "slipway"


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without any finding: one application in three environments."""
    return big_repo.build(tmp_path_factory.mktemp("pristine") / "deploy", apps=1)


@pytest.fixture
def repo(pristine: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "deploy", symlinks=True))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for the results of these tests; the tools are where they are."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "tools").symlink_to(paths.cache() / "tools")
    return folder


@pytest.fixture
def run(repo: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The verb in this process, on the repository."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(cache))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(command, ["--repo", str(repo), *arguments])

    return call


def report(result: Result) -> dict:
    """What `--json` printed."""
    assert result.exit_code in (0, 1), result.exception
    return json.loads(result.stdout)


def rules(result: Result) -> set[str]:
    """The rules that were named."""
    return {one["rule"] for one in report(result)["findings"]}


def process(cache: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The verb in a process of its own."""
    env = {**os.environ, "SLIPWAY_CACHE": str(cache)}
    argv = [SLIPWAY, "check", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=cwd, timeout=120)


def edit(file: Path, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_the_shipped_repository_is_clean(cache: Path) -> None:
    """Every overlay, the ApplicationSets of both clusters, every rule."""
    done = process(cache, cwd=paths.CHECKOUT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = re.match(r"(\d+) overlays; objects: (\d+) valid, 0 invalid, 0 skipped; 0 findings", done.stdout)
    assert said and int(said[1]) >= 3 and int(said[2]) >= 68, done.stdout


def test_a_clean_repository_ends_with_0_and_counts(run: Run) -> None:
    """Six overlays, and Argo CD's own objects."""
    done = run("--json")
    assert (done.exit_code, report(done)["findings"]) == (0, [])
    assert report(done)["overlays"] == 6
    assert report(done)["counts"] == {"valid": 38, "invalid": 0, "skipped": 0}


def test_a_finding_ends_with_1_and_names_file_line_rule_why_and_fix(repo: Path, run: Run) -> None:
    """All three environments read the base; the finding points into it."""
    edit(repo / "base/app-00000/service.yaml", "port: 80", 'port: "80"')
    done = run()
    said = done.stdout.splitlines()
    assert done.exit_code == 1
    assert said[0] == (
        "base/app-00000/service.yaml:15: schema: spec.ports.0.port: got string, want integer "
        "(Service/dev/app-00000)"
    )
    assert said[1].startswith("  why: ")
    assert said[2].startswith("  fix: ")
    assert said[-1] == "6 overlays; objects: 35 valid, 3 invalid, 0 skipped; 3 findings"


def test_B16_every_broken_overlay_is_told_whatever_folder_it_is_in(repo: Path, run: Run) -> None:
    """All at once: one that does not render hides no other."""
    overlays = [file for file in repo.glob("overlays/*/*/kustomization.yaml")]
    for file in overlays[1:]:
        file.write_text(file.read_text() + "nonsense: true\n")
    edit(overlays[0], "kind: Kustomization", "kind: Kustomisation")
    found = [one["file"] for one in report(run("--json"))["findings"] if one["rule"] == "render-failed"]
    assert found == sorted(file.relative_to(repo).as_posix() for file in overlays)


def test_B17_an_unknown_kind_fails_unless_it_is_listed(repo: Path, run: Run) -> None:
    """Skipped is not passed."""
    edit(repo / "base/app-00000/kustomization.yaml", "resources:\n", "resources:\n- widget.yaml\n")
    widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w\n"
    (repo / "base/app-00000/widget.yaml").write_text(widget)
    before = run("--json", "overlays/dev")
    assert (before.exit_code, report(before)["counts"]["skipped"]) == (1, 1)
    assert "unknown-kind" in rules(before)
    (repo / "argocd/unchecked-kinds.yaml").write_text("- example.com/Widget\n")
    after = run("--json", "overlays/dev")
    assert (report(after)["counts"]["skipped"], report(after)["listed"]) == (0, 1)
    assert "unknown-kind" not in rules(after)


def test_a_folder_that_nothing_deploys_is_named(repo: Path, run: Run) -> None:
    """It would be reviewed and never run."""
    shutil.copytree(repo / "overlays/dev/app-00000", repo / "overlays/test/app-00000")
    (finding,) = report(run("--json"))["findings"]
    assert (finding["rule"], finding["file"]) == (
        "not-deployed",
        "overlays/test/app-00000/kustomization.yaml",
    )


def test_what_an_application_deploys_is_found_too(repo: Path, run: Run) -> None:
    """A single Application, in a file that no kustomization reads."""
    shutil.copytree(repo / "overlays/dev/app-00000", repo / "extra/overlay")
    edit(repo / "extra/overlay/kustomization.yaml", "../../../base", "../../base")
    (repo / "argocd/extra.yaml").write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: extra}\n"
        "spec: {source: {repoURL: https://github.com/slipway/deploy.git, path: extra/overlay}}\n"
    )
    assert report(run("--json"))["overlays"] == 7


def test_a_waiver_lifts_the_finding_until_it_ends(repo: Path, run: Run) -> None:
    """On the object, with a reason and a day."""
    deployment = repo / "base/app-00000/deployment.yaml"
    edit(deployment, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
    annotation = (
        "  annotations:\n    slipway.dev/waive-read-only-root: writes beside its code; until 2999-01-01\n"
    )
    edit(deployment, "  annotations:\n", annotation)
    assert rules(run("--json")) == set()
    edit(deployment, "until 2999", "until 1999")
    assert rules(run("--json")) == {"read-only-root", "waiver"}


def test_paths_choose_overlays_by_where_they_lie_and_what_they_read(run: Run) -> None:
    """A folder of overlays, one overlay, a base, a file, everything."""
    chosen = (
        "overlays/prod",
        "overlays/dev/app-00000",
        "base/app-00000",
        "base/namespace/namespace.yaml",
        ".",
    )
    assert [report(run("--json", path))["overlays"] for path in chosen] == [2, 1, 3, 3, 6]


def test_paths_are_taken_from_the_current_folder(
    repo: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository is the one around it."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(cache))
    monkeypatch.chdir(repo / "overlays" / "dev")
    assert report(CliRunner().invoke(command, ["--json", "app-00000"]))["overlays"] == 1


def test_only_what_a_change_reaches_is_reported(repo: Path, run: Run) -> None:
    """Committed or not, new files among it."""
    git = ["git", "-C", repo, "-c", "user.name=a", "-c", "user.email=a@example"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*git, *arguments], check=True)
    since = ("--json", "--changed-since", "HEAD")
    assert report(run(*since))["overlays"] == 0
    edit(repo / "base/app-00000/service.yaml", "port: 80", "port: 81")
    assert report(run(*since))["overlays"] == 3
    (repo / "overlays/dev/namespace/Kustomization").write_text("namespace: other\n")
    last = run(*since)
    assert report(last)["overlays"] == 4
    assert "multiple kustomization files" in last.stdout


def test_sarif_and_junit_are_written_beside_the_text(repo: Path, run: Run, tmp_path: Path) -> None:
    """For the forge and the build server."""
    edit(repo / "base/app-00000/service.yaml", "port: 80", 'port: "80"')
    sarif, junit = tmp_path / "check.sarif", tmp_path / "check.xml"
    assert run("--sarif", str(sarif), "--junit", str(junit)).exit_code == 1
    results = json.loads(sarif.read_text())["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["schema"] * 3
    suite = ElementTree.parse(junit).getroot()
    assert suite.get("failures") == "3"
    assert int(suite.get("tests")) > 40


def test_the_second_run_says_the_same(repo: Path, run: Run) -> None:
    """From the cache, byte for byte, and without one too."""
    edit(repo / "base/app-00000/service.yaml", "port: 80", 'port: "80"')
    said = [run(*arguments).stdout for arguments in ((), (), ("--no-cache", "--workers", "1"))]
    assert len(set(said)) == 1


def test_the_second_run_renders_nothing(repo: Path, run: Run) -> None:
    """And after a change of one base, three overlays."""
    run()
    with CheckCache(default_cache()) as kept:
        second = Check(repo, kept)
        second.run()
    assert second.rendered == 0
    edit(repo / "base/app-00000/service.yaml", "port: 80", "port: 82")
    with CheckCache(default_cache()) as kept:
        third = Check(repo, kept)
        third.run()
    assert third.rendered == 3


def test_every_change_is_seen_by_the_next_run(repo: Path, run: Run) -> None:
    """A base, what it builds on, an overlay, a policy, Argo CD's objects; all undone in the end."""
    changes = {
        "base/app-00000/service.yaml": ("port: 80", "port: 8o"),
        "overlays/prod/app-00000/kustomization.yaml": ("replicas: 3", "replicas: 0"),
        "overlays/dev/environment.yaml": ("delivery: direct", "delivery: dirict"),
        "argocd/environments/common/applicationset.yaml": ("limit: 5", "limit: x"),
        "base/app-00000/kustomization.yaml": ("- service.yaml", "- servise.yaml"),
    }
    seen = [run().stdout]
    for name, (old, new) in changes.items():
        edit(repo / name, old, new)
        seen.append(run().stdout)
    assert len(set(seen)) == len(seen)
    for name, (old, new) in changes.items():
        edit(repo / name, new, old)
    assert run().stdout == seen[0]


def test_what_is_read_besides_the_overlays_does_no_harm_either(repo: Path, run: Run) -> None:
    """Nested without end, more than there is memory for, endless: policies, Argo CD's objects, the list of kinds."""
    nested = "[" * 300_000
    (repo / "overlays/dev/environment.yaml").write_text(f"name: {nested}\n")
    (repo / "argocd/deep").mkdir()
    (repo / "argocd/deep/kustomization.yaml").write_text(f"resources: {nested}\n")
    (repo / "argocd/nested.yaml").write_text(f"kind: Application\nspec: {nested}\n")
    bomb = "\n".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    (repo / "argocd/bomb.yaml").write_text(f"kind: Application\nspec:\n  a0: &a0 []\n{bomb}\n")
    os.mkfifo(repo / "argocd/unchecked-kinds.yaml")
    found = {(one["rule"], one["file"]) for one in report(run("--json"))["findings"]}
    assert ("environment-policy", "overlays/dev/environment.yaml") in found
    for name in ("deep/kustomization.yaml", "nested.yaml", "bomb.yaml"):
        assert ("render-failed", f"argocd/{name}") in found


def test_a_list_of_kinds_that_is_none_is_an_error(repo: Path, run: Run) -> None:
    """Read as empty, or letter by letter, it would say something else."""
    for text in ("example.com/Widget\n", "- [x]\n", "a: [\n", "- a\n---\n- b\n"):
        (repo / "argocd/unchecked-kinds.yaml").write_text(text)
        with pytest.raises(InvalidInput, match="not a list of <group>/<Kind>"):
            raise run().exception


def test_a_damaged_cache_changes_nothing(repo: Path, tmp_path: Path) -> None:
    """It is begun anew."""
    (tmp_path / "cache" / "render").mkdir(parents=True)
    (tmp_path / "cache" / "tools").symlink_to(paths.cache() / "tools")
    (tmp_path / "cache" / "render" / "check.sqlite").write_bytes(b"damaged" * 1000)
    assert process(tmp_path / "cache", cwd=repo).returncode == 0


def test_nothing_to_check_is_an_error_not_a_success(tmp_path: Path, cache: Path) -> None:
    """Outside a deploy repository."""
    done = process(cache, cwd=tmp_path)
    assert (done.returncode, "no folder from here upwards has overlays and argocd" in done.stderr) == (
        2,
        True,
    )


def test_a_path_or_revision_that_is_not_there_is_an_error(run: Run) -> None:
    """A typing error is not a clean result."""
    with pytest.raises(InvalidInput, match="no such file or folder"):
        raise run("overlays/prd").exception
    with pytest.raises(InvalidInput, match="no commit nowhere"):
        raise run("--changed-since", "nowhere").exception


def test_a_helper_that_is_not_built_is_named_with_the_fix(repo: Path, tmp_path: Path) -> None:
    """Not a clean result either."""
    done = process(tmp_path, cwd=repo)
    assert done.returncode == 2
    assert "the pinned tool render is not built" in done.stderr
    assert "fix: run `slipway tools build`" in done.stderr
