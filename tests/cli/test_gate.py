"""`slipway gate` on pull requests of a real Gitea: statuses, the one comment, and what may be merged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from slipway import paths
from slipway.gate.gate_comment import MARKER

from tests.cli.bump_lab import git, invoke
from tests.cli.storm_lab import BOT, Gitea
from tests.perf import big_repo

PROD, SERVICE = "overlays/prod/app-00000/kustomization.yaml", "base/app-00000/service.yaml"
DEPLOYMENT = "base/app-00000/deployment.yaml"


@pytest.fixture(scope="module")
def gitea(tmp_path_factory):
    with Gitea(tmp_path_factory.mktemp("gitea")) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """The files of a deploy repository without findings."""
    root = big_repo.build(tmp_path_factory.mktemp("files") / "deploy", apps=1)
    return {file.relative_to(root).as_posix(): file.read_text() for file in root.rglob("*") if file.is_file()}


class World:
    """One repository, a clone in which a developer works, and the gate."""

    def __init__(self, gitea: Gitea, name: str, files: dict[str, str], folder: Path):
        self.gitea, self.name, self.folder = gitea, name, folder / "clone"
        self.deploy = gitea.repository(name, files)
        git("clone", "--quiet", str(self.deploy.path), str(self.folder))
        cache = folder / "cache"
        cache.mkdir()
        (cache / "tools").symlink_to(paths.cache() / "tools")
        self.env = gitea.login | {"SLIPWAY_CACHE": str(cache), "SLIPWAY_FORGE_TOKEN": ""}

    def push(
        self, branch: str, message: str = "a change", to: str = "", **edits: tuple[str, str, str]
    ) -> str:
        """Edit files (path, old, new), commit and push, to another branch if asked; the new commit."""
        if git("branch", "--list", branch, cwd=self.folder) == "":
            git("checkout", "--quiet", "-b", branch, "origin/main", cwd=self.folder)
        git("checkout", "--quiet", branch, cwd=self.folder)
        for path, old, new in edits.values():
            file = self.folder / path
            text = file.read_text()
            assert old in text
            file.write_text(text.replace(old, new))
        git("add", "--all", cwd=self.folder)
        git("commit", "--quiet", "-m", message, cwd=self.folder)
        # Through the forge, whose hooks note the new head of the pull request.
        url = self.deploy.url.replace("://", f"://{BOT}:{self.gitea.password}@")
        git("push", "--quiet", url, f"{branch}:{to or branch}", cwd=self.folder)
        return git("rev-parse", "HEAD", cwd=self.folder).strip()

    def open(self, branch: str) -> int:
        return self.api("POST", "/pulls", head=branch, base="main", title=branch)["number"]

    def api(self, method: str, path: str, **body):
        return self.gitea.api(method, f"/repos/{BOT}/{self.name}{path}", **body)

    def gate(self, number: int, *more: str):
        return invoke("gate", "--pr", str(number), "--repo", self.deploy.url, *more, **self.env)

    def statuses(self, sha: str) -> dict[str, str]:
        """The newest of each kind."""
        found = self.api("GET", f"/commits/{sha}/status")["statuses"] or []
        return {one["context"]: one["status"] for one in found}

    def comments(self, number: int) -> list[dict]:
        return self.api("GET", f"/issues/{number}/comments")


@pytest.fixture
def world(gitea, files, tmp_path, request) -> World:
    return World(gitea, re.sub(r"\W", "-", request.node.name.lower())[:60], files, tmp_path)


def test_a_broken_rule_fails_and_the_fix_passes_in_the_same_comment(world, tmp_path):
    """Statuses of each commit, one comment that is updated, and everything in files for the archive."""
    broken = world.push(
        "work", a=(DEPLOYMENT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
    )
    number, out = world.open("work"), tmp_path / "out"
    done = world.gate(number, "--out", str(out), "--details-url", "https://ci.example/7/diff.html")
    assert done.returncode == 1, done.stderr
    assert world.statuses(broken) == {"slipway/check": "failure", "slipway/diff": "success"}
    (first,) = world.comments(number)
    assert first["body"].startswith(MARKER) and "Must not be merged" in first["body"]
    assert DEPLOYMENT in first["body"] and "read-only-root" in first["body"] and broken[:12] in first["body"]
    assert (
        "+          readOnlyRootFilesystem: false" in first["body"]
        and "https://ci.example/7" in first["body"]
    )
    assert {file.name for file in out.iterdir()} == {"gate.json", "check.sarif", "check.xml", "diff.html"}

    fixed = world.push(
        "work",
        a=(DEPLOYMENT, "readOnlyRootFilesystem: false", "readOnlyRootFilesystem: true"),
        b=(PROD, "replicas: 3", "replicas: 4"),
    )
    assert world.gate(number).returncode == 0
    assert world.statuses(fixed) == {"slipway/check": "success", "slipway/diff": "success"}
    (second,) = world.comments(number)
    assert second["id"] == first["id"] and "May be merged" in second["body"] and fixed[:12] in second["body"]
    assert "replicas: 4" in second["body"] and "readOnlyRoot" not in second["body"]
    assert world.gate(number).returncode == 0 and len(world.comments(number)) == 1


def test_a_comment_of_somebody_else_is_left_alone(world):
    """Even one that looks like the gate's: only the own user's is updated."""
    world.push("work", a=(PROD, "replicas: 3", "replicas: 4"))
    number = world.open("work")
    other = world.api("POST", f"/issues/{number}/comments", body="looks good to me")
    world.gate(number)
    bodies = {one["id"]: one["body"] for one in world.comments(number)}
    assert len(bodies) == 2 and bodies[other["id"]] == "looks good to me"


def test_what_counts_is_the_state_after_the_merge(world):
    """A change that is fine alone and breaks together with what came to the base meanwhile is refused."""
    world.push(
        "work",
        a=("base/app-00000/kustomization.yaml", "- service.yaml\n", "- service.yaml\n- extra.yaml\n"),
    )
    number = world.open("work")
    done = world.gate(number, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["statuses"] == {"slipway/check": "failure", "slipway/diff": "failure"}
    assert any("extra.yaml" in why for why in found["diff"]["blocked"])
    extra = (world.folder / SERVICE).read_text().replace("name: app-00000\n", "name: more\n", 1)
    git("checkout", "--quiet", "-b", "main2", "origin/main", cwd=world.folder)
    (world.folder / "base/app-00000/extra.yaml").write_text(extra)
    world.push("main2", "the file that is missing", to="main")
    found = json.loads(world.gate(number, "--json").stdout)
    assert found["statuses"]["slipway/diff"] == "success" and found["diff"]["changes"]


def test_a_conflict_is_named(world):
    """Nothing is rendered, and both statuses say where it is."""
    head = world.push("work", a=(PROD, "replicas: 3", "replicas: 4"))
    number = world.open("work")
    git("checkout", "--quiet", "-b", "main2", "origin/main", cwd=world.folder)
    world.push("main2", "meanwhile", to="main", a=(PROD, "replicas: 3", "replicas: 5"))
    done = world.gate(number)
    assert done.returncode == 1 and set(world.statuses(head).values()) == {"failure"}
    assert f"`{PROD}`" in world.comments(number)[0]["body"]


def test_C7_the_label_lets_a_removal_pass(world):
    """Without it the removal blocks and the comment says how it passes; with it, it is listed as approved."""
    world.push("work", a=("base/app-00000/kustomization.yaml", "- service-account.yaml\n", ""))
    number = world.open("work")
    found = json.loads(world.gate(number, "--json").stdout)
    assert found["statuses"]["slipway/diff"] == "failure"
    assert "slipway/prune-approved" in world.comments(number)[0]["body"]
    label = world.api("POST", "/labels", name="slipway/prune-approved", color="#ff0000")["id"]
    world.api("POST", f"/issues/{number}/labels", labels=[label])
    found = json.loads(world.gate(number, "--json").stdout)
    assert (
        found["statuses"]["slipway/diff"] == "success"
        and "Approved removals" in world.comments(number)[0]["body"]
    )


def test_a_waiver_that_a_pull_request_brings_is_shown(world):
    """A reviewer sees what the change asks to be excused from."""
    waiver = '  annotations:\n    slipway.dev/waive-read-only-root: "a cache; until 2099-01-01"\nspec:'
    world.push("work", a=(DEPLOYMENT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    world.push("work", b=(SERVICE, "spec:", waiver))
    number = world.open("work")
    world.gate(number)
    body = world.comments(number)[0]["body"]
    assert "Waivers that this brings" in body and "waive-read-only-root" in body


def test_a_dry_run_tells_the_forge_nothing(world):
    head = world.push("work", a=(PROD, "replicas: 3", "replicas: 4"))
    number = world.open("work")
    done = world.gate(number, "--dry-run")
    assert done.returncode == 0 and "May be merged" in done.stdout
    assert world.statuses(head) == {} and world.comments(number) == []


def test_a_gate_that_cannot_run_leaves_an_error_and_never_a_success(world, monkeypatch):
    """A tool that is missing is the gate's failure, not the pull request's."""
    head = world.push("work", a=(PROD, "replicas: 3", "replicas: 4"))
    number = world.open("work")
    world.env["SLIPWAY_CACHE"] = str(world.folder.with_name("empty"))
    done = world.gate(number)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert set(world.statuses(head).values()) == {"error"}


def test_a_merged_pull_request_is_nothing_to_do(world):
    head = world.push("work", a=(PROD, "replicas: 3", "replicas: 4"))
    number = world.open("work")
    world.gitea.merge(f"/repos/{BOT}/{world.name}/pulls", number)
    done = world.gate(number)
    assert done.returncode == 0 and "not open" in done.stdout and world.statuses(head) == {}


def test_hostile_files_of_a_pull_request_reach_nothing(world, tmp_path):
    """A link to a file of the machine is refused by name, and its content appears nowhere."""
    secret = tmp_path / "secret.yaml"
    secret.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {k: geheim}\n")
    world.push("work", a=(PROD, "resources:\n", "resources:\n- link.yaml\n"))
    (world.folder / "overlays/prod/app-00000/link.yaml").symlink_to(secret)
    world.push("work", "and the link")
    number = world.open("work")
    done = world.gate(number, "--json")
    assert done.returncode == 1 and "geheim" not in done.stdout
    assert "geheim" not in world.comments(number)[0]["body"]
