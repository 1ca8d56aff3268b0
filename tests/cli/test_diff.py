"""`slipway diff` as a reviewer runs it: between two commits of a deploy repository, from Git objects alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from slipway import paths
from slipway.commands.diff import command
from slipway.gate.check_cache import CheckCache
from slipway.gate.diff import compare
from slipway.gate.diff_result import COMMENT_LIMIT

from tests.perf import big_repo

OVERLAY = "overlays/{}/app-00000/kustomization.yaml"
DEPLOYMENT, SERVICE = "base/app-00000/deployment.yaml", "base/app-00000/service.yaml"
PROD = OVERLAY.format("prod")


class Deploy:
    """A Git repository with a deploy repository in it."""

    def __init__(self, root: Path):
        self.root = root

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, message: str = "a change") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two applications in three environments, committed as `base`."""
    deploy = Deploy(big_repo.build(tmp_path_factory.mktemp("diff") / "deploy", apps=2))
    deploy.git("init", "--quiet", "--initial-branch=main")
    deploy.commit("the beginning")
    deploy.git("branch", "base")
    return deploy.root


@pytest.fixture
def deploy(pristine: Path, tmp_path: Path) -> Deploy:
    return Deploy(Path(shutil.copytree(pristine, tmp_path / "deploy", symlinks=True)))


def allow(deploy: Deploy, percent: str) -> None:
    """Set the prune budget of every environment, in the base."""
    for env in ("dev", "staging", "prod"):
        file = deploy.root / f"overlays/{env}/environment.yaml"
        file.write_text(re.sub(r"pruneBudget: .*", f"pruneBudget: {percent}", file.read_text()))
    deploy.commit()
    deploy.git("branch", "--force", "base")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    (folder / "tools").symlink_to(paths.cache() / "tools")
    return folder


@pytest.fixture
def diff(deploy: Deploy, cache: Path, monkeypatch: pytest.MonkeyPatch):
    """The verb in this process, from `base` to what is committed now."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(cache))

    def run(*arguments: str, base: str = "base") -> Result:
        return CliRunner().invoke(command, [base, "--repo", str(deploy.root), *arguments])

    return run


def answer(result: Result) -> dict:
    assert result.exit_code in (0, 1), result.exception
    return json.loads(result.stdout)


def places(found: dict) -> list[str]:
    return [f"{e['name']}/{a['name']}" for e in found["environments"] for a in e["applications"]]


def objects(found: dict) -> set[tuple[str, str]]:
    return {
        (one["change"], one["object"])
        for environment in found["environments"]
        for app in environment["applications"]
        for one in app["objects"]
    }


def test_no_change_says_so(diff, deploy):
    """A commit that touches nothing that is deployed changes nothing, and its files are named."""
    (deploy.root / "NOTES.md").write_text("hello\n")
    deploy.commit()
    found = answer(diff("--json"))
    assert not found["changes"] and found["environments"] == [] and found["other_files"] == ["NOTES.md"]
    assert "nothing that is deployed changes" in diff().stdout


def test_C24_a_base_reaches_every_environment_in_the_order_of_the_policies(diff, deploy):
    """One edit in a base is one change in each environment, and in no other application."""
    deploy.edit(SERVICE, "port: 80", "port: 81")
    deploy.commit()
    found = answer(diff("--json"))
    assert places(found) == ["dev/app-00000", "staging/app-00000", "prod/app-00000"]
    assert objects(found) == {("changed", f"Service/{env}/app-00000") for env in ("dev", "staging", "prod")}
    (one,) = found["environments"][0]["applications"][0]["objects"]
    assert [line for line in one["diff"] if line[0] in "+-"] == ["-  - port: 80", "+  - port: 81"] or any(
        "81" in line for line in one["diff"]
    )


def test_C24_a_hook_is_an_object_like_any_other(diff, deploy):
    """A Job that Argo CD runs around a sync is shown when it comes and when it changes."""
    hook = (
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: before\n  annotations:\n"
        "    argocd.argoproj.io/hook: PreSync\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n"
        "      containers: [{name: a, image: registry.example/a:1}]\n"
    )
    (deploy.root / "overlays/dev/app-00000/hook.yaml").write_text(hook)
    deploy.edit(OVERLAY.format("dev"), "resources:\n", "resources:\n- hook.yaml\n")
    deploy.commit()
    assert objects(answer(diff("--json"))) == {("added", "Job/dev/before")}
    deploy.git("branch", "--force", "base")
    deploy.edit("overlays/dev/app-00000/hook.yaml", "PreSync", "PostSync")
    deploy.commit()
    assert objects(answer(diff("--json"))) == {("changed", "Job/dev/before")}


def test_images_come_first_with_the_commits_between(diff, deploy, tmp_path):
    """Old and new pin, and the source commits from the bumps' trailers and the source repository's log."""
    source = Deploy(tmp_path / "source")
    source.root.mkdir()
    source.git("init", "--quiet", "--initial-branch=main")
    commits = []
    for number in range(3):
        (source.root / "file").write_text(str(number))
        commits.append(source.commit(f"feature {number}"))
    image = f"{big_repo.REGISTRY}/app-00000"

    def bump(tag: str, digest: str, commit: str) -> None:
        text = (deploy.root / PROD).read_text()
        text = re.sub(r'newTag: "[^"]*"', f'newTag: "{tag}"', text)
        text = re.sub(r'digest: "[^"]*"', f'digest: "sha256:{digest}"', text)
        (deploy.root / PROD).write_text(text)
        trailers = f"Image: {image}:{tag}\nDigest: sha256:{digest}\nSource-Commit: {commit}\nPrevious: prod/app-00000 x"
        deploy.commit(f"prod: app-00000 {tag}\n\n{trailers}")

    bump("v1", "a" * 64, commits[0])
    deploy.git("branch", "--force", "base")
    bump("v2", "b" * 64, commits[2])
    found = answer(diff("--json", "--source-repo", str(source.root)))
    (shown,) = found["environments"][0]["applications"][0]["images"]
    assert shown["new"] == f"{image}:v2@sha256:{'b' * 64}" and shown["old_commit"] == commits[0]
    assert [subject for _, subject in shown["commits"]] == ["feature 2", "feature 1"]
    text = diff("--source-repo", str(source.root)).stdout
    assert "image app-00000 v1@sha256:aaaaaaaaaaaa → v2@sha256:bbbbbbbbbbbb" in text
    assert text.index("image app-00000") < text.index("~ Deployment/prod") and "feature 1" in text


def test_C7_a_removal_beyond_the_prune_budget_blocks(diff, deploy):
    """An object fewer than the budget allows is refused, and passes with the approval that a label gives."""
    allow(deploy, "5%")
    deploy.edit("base/app-00000/kustomization.yaml", "- pod-disruption-budget.yaml\n", "")
    deploy.commit()
    result = diff("--json")
    found = answer(result)
    assert result.exit_code == 1 and len(found["blocked"]) == 3
    assert re.search(r"prod: 1 of \d+ objects \([\d.]+ %\) would be removed", "\n".join(found["blocked"]))
    approved = diff("--json", "--allow-prune")
    assert approved.exit_code == 0 and answer(approved)["approved"] == found["blocked"]


@pytest.mark.parametrize("percent,code", [("1%", 1), ("50%", 0)])
def test_C7_the_budget_is_the_environment_s_own(diff, deploy, percent, code):
    """What the policy of the base allows passes; the change cannot raise its own budget."""
    allow(deploy, percent)
    deploy.edit("base/app-00000/kustomization.yaml", "- pod-disruption-budget.yaml\n", "")
    for env in ("dev", "staging", "prod"):
        deploy.edit(f"overlays/{env}/environment.yaml", f"pruneBudget: {percent}", "pruneBudget: 100%")
    deploy.commit()
    assert diff().exit_code == code


@pytest.mark.parametrize("kind", ["Namespace", "application"])
def test_C7_what_holds_data_blocks_whatever_the_budget(diff, deploy, kind):
    """A namespace, and everything of an application that is deployed no more."""
    allow(deploy, "100%")
    folder = "overlays/prod/namespace" if kind == "Namespace" else "overlays/prod/app-00001"
    shutil.rmtree(deploy.root / folder)
    deploy.commit()
    result = diff("--json")
    found = answer(result)
    if kind == "Namespace":
        assert result.exit_code == 1 and any(
            "Namespace/prod would be removed" in why for why in found["blocked"]
        )
    else:
        assert found["environments"][0]["applications"][0]["status"] == "removed"
        assert len(objects(found)) == 5 and {change for change, _ in objects(found)} == {"removed"}


def test_an_object_that_moves_to_another_application_is_not_removed(diff, deploy):
    """The environment still has it."""
    text = (deploy.root / SERVICE).read_text()
    for env in ("dev", "staging", "prod"):
        (deploy.root / f"overlays/{env}/app-00001/moved.yaml").write_text(text)
        deploy.edit(
            OVERLAY.format(env).replace("00000", "00001"), "resources:\n", "resources:\n- moved.yaml\n"
        )
    deploy.edit("base/app-00000/kustomization.yaml", "- service.yaml\n", "")
    deploy.commit()
    result = diff("--json")
    assert result.exit_code == 0 and ("removed", "Service/prod/app-00000") in objects(answer(result))


def test_what_cannot_be_rendered_is_shown_and_fails(diff, deploy):
    """The others are compared all the same, and nothing of the broken one counts as removed."""
    deploy.edit(PROD, "resources:\n", "resources:\n- missing.yaml\n")
    deploy.edit(OVERLAY.format("dev"), "replicas: 2", "replicas: 4")
    deploy.commit()
    result = diff("--json")
    found = answer(result)
    assert result.exit_code == 1 and "missing.yaml" in " ".join(found["blocked"])
    assert ("changed", "Deployment/dev/app-00000") in objects(found)
    assert not any(change == "removed" for change, _ in objects(found))
    assert "cannot be rendered" in diff().stdout


def test_a_broken_applicationset_removes_nothing_and_fails(diff, deploy):
    """While nobody knows what Argo CD would deploy, the change is refused, not half shown."""
    deploy.edit("argocd/environments/dev/kustomization.yaml", "resources:", "resources:\n- missing.yaml\n#")
    deploy.commit()
    result = diff("--json")
    found = answer(result)
    assert result.exit_code == 1 and found["blocked"]
    assert not any(change == "removed" for change, _ in objects(found))


def test_an_application_that_argocd_deploys_no_more_is_removed(diff, deploy):
    """Its folder is still there, but no ApplicationSet takes it."""
    deploy.edit("argocd/environments/common/applicationset.yaml", "*", "app-00000")
    deploy.commit()
    found = answer(diff("--json"))
    statuses = {(app["name"], app["status"]) for e in found["environments"] for app in e["applications"]}
    assert ("app-00001", "removed") in statuses and any("Namespace" in why for why in found["blocked"])


def test_a_file_that_a_generator_reads_decides_what_is_deployed(diff, deploy):
    """A git files generator deploys by content, so a change of that content is looked at like one of Argo CD's own."""
    text = (deploy.root / "argocd/environments/common/applicationset.yaml").read_text()
    generator = "      files:\n      - path: overlays/environment/*/deploy.yaml\n"
    text = re.sub(r"      directories:\n      - path: overlays/environment/\*\n", generator, text)
    text = text.replace("path: '{{.path.path}}'", "path: '{{.folder}}'")
    (deploy.root / "argocd/environments/common/applicationset.yaml").write_text(text)
    replacements = deploy.root / "argocd/environments/common/name-after-project.yaml"
    replacements.write_text(replacements.read_text().replace("git.directories.0.path", "git.files.0.path"))
    for env in ("dev", "staging", "prod"):
        for number in (0, 1):
            folder = f"overlays/{env}/app-{number:05d}"
            (deploy.root / folder / "deploy.yaml").write_text(f"folder: {folder}\n")
    deploy.commit()
    deploy.git("branch", "--force", "base")
    deploy.edit("overlays/prod/app-00001/deploy.yaml", "app-00001", "app-00000")
    deploy.commit()
    found = answer(diff("--json"))
    assert ("app-00001", "removed") in {
        (a["name"], a["status"]) for e in found["environments"] for a in e["applications"]
    }


def test_the_same_input_gives_the_same_bytes(diff, deploy, tmp_path):
    """Text, JSON, Markdown and HTML, from a cold cache, a warm one and none."""
    deploy.edit(SERVICE, "port: 80", "port: 81")
    deploy.edit(PROD, "replicas: 3", "replicas: 5")
    deploy.commit()
    seen = set()
    for number, more in enumerate(([], [], ["--no-cache"], ["--no-cache", "--workers", "1"])):
        page = tmp_path / f"{number}.html"
        comment = diff("--markdown", "-", "--html", str(page), *more).stdout
        seen.add((diff("--json", *more).stdout, diff(*more).stdout, comment, page.read_text()))
    assert len(seen) == 1


def test_a_warm_run_renders_only_what_the_change_reaches(deploy, cache, monkeypatch):
    """The first run learns what everything reaches; the second renders both sides of three overlays."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(cache))
    deploy.edit(SERVICE, "port: 80", "port: 8099")
    deploy.commit()
    counts = []
    for _ in range(2):
        done: list[int] = []
        with CheckCache(cache / "own.sqlite") as kept:
            compare(
                deploy.root, "base", "HEAD", cache=kept, progress=lambda now, _, done=done: done.append(now)
            )
        counts.append(len(done))
    argocd = 2
    assert counts[1] <= 6 + argocd < counts[0]


def test_a_bare_clone_is_enough(deploy, diff, tmp_path):
    """There is no work tree, and none is made."""
    deploy.edit(SERVICE, "port: 80", "port: 81")
    head = deploy.commit()
    bare = tmp_path / "bare.git"
    deploy.git("clone", "--quiet", "--bare", str(deploy.root), str(bare))
    before = sorted(bare.rglob("*"))
    run = CliRunner().invoke(command, [f"{head}~1", head, "--repo", str(bare), "--json"])
    assert places(answer(run)) == ["dev/app-00000", "staging/app-00000", "prod/app-00000"]
    assert sorted(bare.rglob("*")) == before


def test_what_came_to_the_base_meanwhile_is_not_the_change(diff, deploy):
    """The comparison begins where the branch left it; --as-is compares with the base as it stands."""
    deploy.git("checkout", "--quiet", "-b", "work")
    deploy.edit(OVERLAY.format("dev"), "replicas: 2", "replicas: 4")
    deploy.commit()
    deploy.git("checkout", "--quiet", "main")
    deploy.edit(PROD, "replicas: 3", "replicas: 9")
    deploy.commit()
    deploy.git("checkout", "--quiet", "work")
    assert places(answer(diff("--json", base="main"))) == ["dev/app-00000"]
    assert places(answer(diff("--json", "--as-is", base="main"))) == ["dev/app-00000", "prod/app-00000"]


def test_secrets_appear_in_no_form(diff, deploy, tmp_path):
    """Neither the plain value nor its base64, in none of the outputs."""
    for env in ("dev", "staging", "prod"):
        deploy.edit(
            OVERLAY.format(env),
            "images:\n",
            "secretGenerator:\n- name: s\n  literals: [key=geheim]\nimages:\n",
        )
    deploy.commit()
    page = tmp_path / "page.html"
    every = diff("--html", str(page)).stdout + diff("--json").stdout + diff("--markdown", "-").stdout
    assert not any(value in every + page.read_text() for value in ("geheim", "Z2VoZWlt"))
    assert "(hidden)" in every


def test_hostile_content_stays_text(diff, deploy, tmp_path):
    """Backticks do not end the block, tags do not become tags, control characters do not reach the terminal."""
    evil = "```\\n</details><script>alert(1)</script> @everyone \\u001b[31m"
    deploy.edit(SERVICE, "spec:", f'  annotations:\n    evil: "{evil}"\nspec:')
    deploy.commit()
    page = tmp_path / "page.html"
    text = diff("--html", str(page)).stdout
    assert "\x1b[31m" not in re.sub(r"\x1b\[\d+m(?=[ +~@-])", "", text)
    assert "<script>alert" not in page.read_text()
    comment = diff("--markdown", "-").stdout
    block = comment[comment.index("````diff") :]
    assert block.index("</details><script>") < block.index("\n````\n")


def test_C23_three_hundred_overlays_fit_into_a_comment_and_all_are_in_the_page(cache, tmp_path, monkeypatch):
    """The comment stays under the forge's limit and says what it leaves out; the page has every object."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(cache))
    big = Deploy(big_repo.build(tmp_path / "deploy", apps=100))
    big.git("init", "--quiet", "--initial-branch=main")
    big.commit()
    for number in range(100):
        for env, replicas in big_repo.REPLICAS.items():
            path = f"overlays/{env}/app-{number:05d}/kustomization.yaml"
            big.edit(path, f"replicas: {replicas}", f"replicas: {replicas + 1 + number}")
            big.edit(path, "main-", "next-")
    big.commit()
    page, comment = tmp_path / "page.html", tmp_path / "comment.md"
    more = ["--html", str(page), "--markdown", str(comment), "--details-url", "https://ci.example/7"]
    result = CliRunner().invoke(command, ["HEAD~1", "--repo", str(big.root), "--json", *more])
    assert len(places(answer(result))) == 300
    text = comment.read_text()
    assert len(text.encode()) <= COMMENT_LIMIT and "https://ci.example/7" in text
    assert "300 applications" in text and re.search(r"\d+ of \d+ details do not fit", text)
    assert text.count("<details>") == text.count("</details>") > 10
    shown = page.read_text()
    assert all(f"Deployment/{env}/app-{n:05d}" in shown for n in range(100) for env in big_repo.REPLICAS)


def test_an_unknown_commit_is_named(diff):
    result = diff("--json", base="no-such-branch")
    assert "no commit no-such-branch" in str(result.exception)
